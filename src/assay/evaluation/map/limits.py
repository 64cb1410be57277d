"""Limits of a map's episodes in tokens, from what the scripted experts say."""

from __future__ import annotations

import math
from collections.abc import Iterable

from assay.evaluation.map.cells import TaskLength

LEAST_MESSAGE_TOKENS = 32
"""Tokens that a message may take at least: room for a sentence around a short answer."""
TIMES_THE_EXPERT = 2
"""Tokens of a message over those of the expert's longest one."""
UNKNOWN_MESSAGE_TOKENS = 256
"""Tokens of a message where no expert says how long an answer is."""


def message_limit(lengths: Iterable[TaskLength]) -> int:
    """Return the token limit of one message of an environment, where none is asked for: twice the longest message that
    its expert says in the cells, and at least 32."""
    known = [length.message_tokens for length in lengths if length.message_tokens is not None]
    if not known:
        return UNKNOWN_MESSAGE_TOKENS
    return max(LEAST_MESSAGE_TOKENS, math.ceil(TIMES_THE_EXPERT * max(known)))


def episode_limit(length: TaskLength, message_tokens: int) -> int | None:
    """Return the token limit of an episode of a cell: `message_tokens` for each message that the expert says.

    None where there is no expert, and the environment's own number of turns is the limit.

    A model that says as little as the expert has turns to spare, and one that talks has as many as the expert needs.
    Without it one episode of a hundred turns decides how long a whole map takes.
    """
    return None if length.actions is None else math.ceil(length.actions) * message_tokens

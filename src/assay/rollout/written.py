"""Rollouts that somebody else wrote, by the loop's own door: what all such samplers share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from assay.rollout.collector import DROPPED_UNMEASURED
from assay.types import Completion, Group, Task, Turn

MAX_DROPPED = 256
"""Groups in a row that cannot be used, at which training stops."""


class WrittenGroups(ABC):
    """One group for each task, of rollouts that its data or an expert gives. Same methods as `Collector`.

    Nobody sampled these tokens, so their log-probabilities are NaN: unknown, not 0.

    Args:
        next_task: group id to task, asked once a group, in ascending order.
        max_context: of the model, or the recipe's limit on it, in tokens.
    """

    def __init__(self, next_task: Callable[[int], Task], max_context: int) -> None:
        self._next_task = next_task
        self._max_context = max_context
        self._next_group_id = 0
        self._dropped: list[Group] = []
        self._num_dropped = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    async def _group(self, group_id: int, task: Task) -> Group:
        """The group of a task."""

    @abstractmethod
    def _too_many_dropped(self, last: Group) -> Exception:
        """What is raised after `MAX_DROPPED` groups in a row that cannot be used."""

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next tasks with what was written for them; one that cannot be used is counted and replaced by the next.

        Raises:
            DataError: a task for which nothing was written.
            TrainingStoppedError, ContextLengthError: too many in a row that cannot be used.
        """
        groups: list[Group] = []
        self._dropped, in_a_row = [], 0
        while len(groups) < num_groups:
            group = await self._group(self._next_group_id, self._next_task(self._next_group_id))
            self._next_group_id += 1
            is_usable = len(group.measured) == len(group.rollouts)
            (groups if is_usable else self._dropped).append(group)
            in_a_row = 0 if is_usable else in_a_row + 1
            if in_a_row >= MAX_DROPPED:
                raise self._too_many_dropped(group)
        self._num_dropped = len(self._dropped)
        return groups

    def take_dropped(self) -> list[Group]:
        """Return the groups of the last step that could not be used; hands them out once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Return how many groups of the last step could not be used."""
        return {DROPPED_UNMEASURED: self._num_dropped}

    def state(self) -> dict[str, Any]:
        """Return the position among the tasks, as JSON."""
        return {"next_group_id": self._next_group_id}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._next_group_id = state["next_group_id"]


def written(token_ids: Sequence[int]) -> Completion:
    """The completion of tokens that nobody sampled."""
    return Completion(tuple(token_ids), (math.nan,) * len(token_ids), "stop", ((0, 0),))


def longest_sequence(turns: Sequence[Turn]) -> int:
    """Return the tokens of the longest sequence of a rollout: its own, or that of a fork."""
    longest = length = 0
    for turn in turns:
        length = (length if turn.extends_previous else 0) + len(turn.new_token_ids) + len(turn.completion.token_ids)
        longest = max(longest, length)
    return longest

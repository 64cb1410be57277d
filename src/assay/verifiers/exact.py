"""The exact verifier: the strict reading of an answer."""

from __future__ import annotations

from typing import ClassVar, Literal

import pydantic

from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case, builtin_cases
from assay.verifiers.text import MAX_RESPONSE, is_cut_off, normalise
from assay.verifiers.verifier import Verifier


class Exact(Verifier):
    """The whole response, or all that follows the last marker, must be the answer and nothing else.

    Compared as text after `normalise` (variants of one character, invisible characters) and without the white space
    around it. No final period, no other spelling of the same number: "82." and "082" are not "82". A response that was
    cut off at a limit fails, since nobody knows how it would have gone on.
    """

    name: Literal["exact"] = "exact"
    is_cheap: ClassVar[bool] = True
    after: str | None = pydantic.Field(default=None, min_length=1, max_length=100)
    """Read only what follows the last of these markers, such as "=" or "####"; a response without one is read whole.
    None: always the whole."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        gold = normalise(task.answer).strip()
        if not gold:
            raise DataError(f"task {task.task_id} has an empty answer; give it one or leave the task out")
        # The gold answer bounds what is read: a longer response cannot equal it, but it may have white space around it.
        if len(rollout.response) > MAX_RESPONSE + len(gold):
            return Score.failed("too long")
        response = normalise(rollout.response)
        if self.after is not None:
            response = response.rpartition(normalise(self.after))[2]
        response = response.strip()
        if response != gold:
            return Score.failed("empty" if not response else "wrong", evidence=response[:80])
        if is_cut_off(rollout):
            return Score.failed("cut off", evidence=response[:80])
        return Score.solved(evidence=response[:80])

    def cases(self) -> list[Case]:
        return builtin_cases("exact")

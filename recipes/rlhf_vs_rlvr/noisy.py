"""A verifier that errs at a known rate: how clean must a reward be?"""

from __future__ import annotations

from typing import ClassVar

import pydantic

from assay.seeds import derive_seed, uniform
from assay.types import Rollout, Score, Task
from assay.verifiers import AnyVerifier, Verifier


class Noisy(Verifier):
    """Another verifier whose verdicts are turned round by chance, drawn anew for each rollout.

    A wrong answer is paid `false_accepts` of the time and a right one refused `false_rejects` of the time, whatever it
    says. With equal chances for all wrong answers, the expected reward of an answer is that of the true verifier times
    1 - false_accepts - false_rejects, plus a constant: noise, not bias.
    """

    of: AnyVerifier
    """The verifier that says the truth."""
    false_accepts: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """The share of wrong answers that are paid."""
    false_rejects: float = pydantic.Field(default=0.0, ge=0.0, le=1.0)
    """The share of right answers that are not."""
    seed: int = pydantic.Field(default=0, ge=0)

    says_truth: ClassVar[bool] = False

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        """Return the verdict of `of`, turned round by chance."""
        score = await self.of(rollout, task)
        if not score.measured:
            return score
        # By the rollout's place in the run: a resumed run draws the same, and equal answers are drawn apart.
        draw = uniform(derive_seed(self.seed, "noisy", task.task_id, rollout.group_id, rollout.member), 0)
        right = score.value == 1.0
        if draw < (self.false_rejects if right else self.false_accepts):
            return Score.failed("refused by chance") if right else Score.solved()
        return score

    def gold_response(self, task: Task) -> None:
        """None: no answer is sure to be paid."""

"""The random verifier: a reward that has nothing to do with the response."""

from __future__ import annotations

from typing import ClassVar, Literal

import pydantic

from assay.seeds import derive_seed, uniform
from assay.types import Rollout, Score, Task
from assay.verifiers.verifier import Verifier


class Random(Verifier):
    """Each rollout is solved with the same probability, whatever it says. Never a reward of its own.

    A control: what a model gains on it comes from the update alone and not from the reward. Some models gain 21 points
    in mathematics this way, others none (Shao et al. 2025, https://arxiv.org/abs/2506.10947).
    """

    name: Literal["random"] = "random"
    says_truth: ClassVar[bool] = False
    probability: float = pydantic.Field(default=0.5, gt=0.0, lt=1.0)
    """Probability of being solved."""
    seed: int = pydantic.Field(default=0, ge=0)
    """Seed of the draws; the same rollout of the same run is drawn the same."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        # By the rollout's place in the run, so that a resumed run draws the same and equal responses draw apart.
        seed = derive_seed(self.seed, self.name, task.task_id, rollout.group_id, rollout.member)
        return Score.solved() if uniform(seed, 0) < self.probability else Score.failed("chance")

    def gold_response(self, task: Task) -> None:
        """None: no answer is sure to be solved."""

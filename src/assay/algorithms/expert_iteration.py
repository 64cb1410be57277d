"""Expert iteration, or rejection-sampling fine-tuning: imitate the attempts that succeeded.

Anthony et al. 2017, "Thinking Fast and Slow with Deep Learning and Tree Search", https://arxiv.org/abs/1705.08439; for
language models Zelikman et al. 2022 (STaR), https://arxiv.org/abs/2203.14465, and Yuan et al. 2023 (RFT),
https://arxiv.org/abs/2308.01825.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.errors import ConfigError
from assay.later import torch
from assay.types import Group, Rollout, Score, Verdict

if TYPE_CHECKING:
    from torch import Tensor


class ExpertIteration(Algorithm):
    """The negative log-likelihood of solved attempts; failed ones are left out, not pushed away."""

    name: Literal["expert_iteration"] = "expert_iteration"

    page: ClassVar[str] = "expert_iteration.md"
    without_effect: ClassVar[tuple[str, ...]] = ("ratio_against", "kl_in", "dynamic_sampling", "off_policy_mask")
    uses_rewards: ClassVar[bool] = False
    needs_verdicts: ClassVar[bool] = True

    def trains_on(self, rollout: Rollout, score: Score) -> bool:
        if score.verdict is Verdict.GRADED:
            raise ConfigError(
                "expert_iteration imitates what is solved, and the reward is a number without a verdict: set solved_at "
                "to the least reward that solves, or choose an algorithm that weighs rewards, such as rloo"
            )
        return score.verdict is Verdict.SOLVED and super().trains_on(rollout, score)

    def keep(self, group: Group) -> bool:
        """Groups without a success have nothing to imitate."""
        return any(self.trains_on(rollout, score) for rollout, score, _ in group.measured)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        return torch.ones_like(rewards_G)

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        return -inputs.advantages * inputs.policy_logprobs, {}

"""A reward model fitted to comparisons. Christiano et al. 2017, https://arxiv.org/abs/1706.03741; Ouyang et al. 2022,
https://arxiv.org/abs/2203.02155."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pydantic

from assay.algorithms.needs import Needs
from assay.algorithms.preference import Preference, Responses
from assay.errors import DataError
from assay.later import torch
from assay.losses import bradley_terry_loss
from assay.observe.metrics import metric
from assay.types import CreditedSample, Group, Sample

if TYPE_CHECKING:
    from torch import Tensor

CHOSEN_REWARD = metric("loss/chosen_reward", "Reward of the preferred response, of a tie the first: mean over pairs.")
REJECTED_REWARD = metric("loss/rejected_reward", "Reward of the other response: mean over pairs.")
TIE = 0.5


class RewardModelFit(Preference):
    """Bradley-Terry: the difference of two rewards is the log-odds that the first response is preferred. What is
    trained is the model's body, with a head of one number in place of its output matrix."""

    name: Literal["reward_model"] = "reward_model"
    tie_width: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    """Half the width, in rewards, of the range in which a tie is the likely word; 0 counts a tie as half a win for each
    side."""
    centring: float = pydantic.Field(default=0.01, ge=0, allow_inf_nan=False)
    """The weight of the squared sum of a pair's rewards, which keeps them near 0: pairs leave their level open."""
    reliability: Mapping[str, Annotated[float, pydantic.Field(gt=0.5, le=1)]] = pydantic.Field(default_factory=dict)
    """The share of judgements that are right, by annotator, as `assay prefer stats` estimates it; an annotator without
    one counts as always right. Empty to believe everybody."""
    margins: Literal["ignore", "add"] = "ignore"
    """Treatment of the data's margins, of how much better a response is. add: rewards are to be apart by as much."""

    page: ClassVar[str] = "reward_model.md"
    has_reference: ClassVar[bool] = False

    @pydantic.model_validator(mode="after")
    def _check_offline(self) -> RewardModelFit:
        if self.online:
            raise ValueError("online has no effect with reward_model, which samples nothing: leave it out")
        if self.reliability and self.margins == "add":
            raise ValueError('reliability and margins = "add" exclude each other: leave one out')
        return self

    @property
    def needs(self) -> Needs:
        return Needs(pairs=True, rewards=True, min_group_size=self.min_group_size)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return the marks of a pair's members: 1 and -1, or of a tie 0.5 and -0.5."""
        if len(rewards_G) == 2 and bool(rewards_G[0] == rewards_G[1]):
            return torch.tensor([TIE, -TIE], dtype=rewards_G.dtype)
        return super().advantages(rewards_G)

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Marks each pair: 1 on the preferred response and -1 on the other, with a margin 1 + margin and -1, by an
        annotator of a known reliability 1 and -reliability; 0.5 and -0.5 on the two of a tie."""
        credited = super().credit(groups, samples)
        if self.margins == "add":
            more = {group.group_id: _margin(group) for group in groups}
            side = 1
        elif self.reliability:
            more = {group.group_id: 1 - self._reliability_of(group) for group in groups}
            side = -1
        else:
            return credited
        return [
            sample.replace(  # pyright: ignore[reportReturnType]
                advantages=sample.advantages + more[sample.group_id] * (sample.advantages == side)
            )
            for sample in credited
        ]

    def _reliability_of(self, group: Group) -> float:
        annotator = group.task.metadata.get("annotator")
        if annotator is None:
            raise DataError(
                f"task {group.task.task_id} of {group.task.domain} does not say who judged it, and "
                "algorithm.reliability is by annotator: give a column `annotator`, or leave reliability out"
            )
        return self.reliability.get(annotator, 1.0)

    def pair_loss(self, chosen: Responses, rejected: Responses) -> Tensor:
        is_tie_P = chosen.marks < 1
        margins_P = (chosen.marks - 1).clamp(min=0) if self.margins == "add" else None
        # The mark of a tie is one half, and no reliability.
        reliability_P = torch.where(is_tie_P, 1.0, rejected.marks) if self.reliability else None
        return bradley_terry_loss(
            chosen.logprobs,
            rejected.logprobs,
            is_tie_P=is_tie_P if bool(is_tie_P.any()) else None,
            margins_P=margins_P,
            reliability_P=reliability_P,
            tie_width=self.tie_width,
            centring=self.centring,
        )

    def implicit_reward(self, responses: Responses) -> Tensor:
        return responses.logprobs

    def side_metrics(self, chosen: Responses, rejected: Responses) -> dict[str, Tensor]:
        return {CHOSEN_REWARD: chosen.logprobs, REJECTED_REWARD: rejected.logprobs}


def _margin(group: Group) -> float:
    margin = group.task.metadata.get("margin")
    if margin is None:
        raise DataError(
            f'task {group.task.task_id} of {group.task.domain} states no margin, and algorithm.margins = "add" needs '
            "one of every pair: give a column `margin` or scores, or leave margins out"
        )
    return float(margin)

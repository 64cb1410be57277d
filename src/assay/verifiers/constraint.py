"""A constraint on a reward of parts: one may not fall while another one rises."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import pydantic

from assay.config import Settings
from assay.observe.metrics import metric
from assay.types import Group

MULTIPLIER = metric(
    "reward/constraint_multiplier",
    "Multiplier of the reward's constraint, as the step's rewards have it: 0 while it is kept, larger the longer and "
    "the further it is violated.",
)
PROTECTED = metric(
    "reward/constraint_protected_mean", "Moving mean of the part that the constraint protects, this step included."
)
AGAINST = metric(
    "reward/constraint_against_mean", "Moving mean of the part that may not rise meanwhile, this step included."
)


class RewardConstraint(Settings):
    """A Lagrange multiplier on the part that may not fall while another one rises.

    With v and m the moving means over steps of the protected part and of the other one, and v0 and m0 where they began:

        gap        = v0 - slack - v
        multiplier = min(multiplier + rate gap, max_multiplier)     where gap > 0 and m > m0
                     max(multiplier + rate gap, 0)                  where gap <= 0
                     as it was                                      elsewhere: both fall, which is no exploited reward
        weights    = weight / (1 + multiplier), of the protected part (weight + multiplier) / (1 + multiplier)

    A step's rewards have the multiplier that the steps before it left. Dual ascent on the multiplier, and the division
    by 1 + multiplier, which keeps the size of rewards, are those of Dai et al. 2023, "Safe RLHF",
    https://arxiv.org/abs/2310.12773; bounds on single parts of a reward, against its exploitation, of Moskovitz et al.
    2023, https://arxiv.org/abs/2310.04373. Differs: Dai et al. update the multiplier's logarithm, which never comes
    back from 0, and the bound is where training began.
    """

    protects: str
    """The name of the part that may not fall, such as the verifier's."""
    against: str
    """The name of the part that may not rise meanwhile, such as the reward model's."""
    reference: float | Literal["start"] = "start"
    """The protected part's mean below which it has fallen. "start": its mean over the first `start_steps` steps."""
    start_steps: int = pydantic.Field(default=5, ge=1)
    """Steps whose means are the references that later ones are compared with."""
    slack: float = pydantic.Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """What the protected part may fall below its reference before it counts."""
    rate: float = pydantic.Field(default=0.5, gt=0.0, allow_inf_nan=False)
    """Change of the multiplier a step, for each unit that the protected part is below its reference."""
    max_multiplier: float = pydantic.Field(default=10.0, gt=0.0, allow_inf_nan=False)
    """Upper bound of the multiplier."""
    memory: float = pydantic.Field(default=0.5, ge=0.0, lt=1.0)
    """Share of the moving mean that each step keeps: single steps have other tasks. 0 for each step's own mean."""

    def check(self, weights: Mapping[str, float]) -> None:
        """Check the constraint against the parts' weights.

        Raises:
            ValueError: it names no part, one twice, or protects a penalty.
        """
        for what, part in (("protects", self.protects), ("against", self.against)):
            if part not in weights:
                raise ValueError(f"constraint.{what} {part!r} is none of the parts {', '.join(weights)}")
        if self.protects == self.against:
            raise ValueError(f"the constraint protects {self.protects!r} against itself: name two parts")
        if weights[self.protects] < 0:
            raise ValueError(f"the constraint protects {self.protects!r}, whose weight is below 0: it is a penalty")

    def weights(self, weights: Mapping[str, float], multiplier: float) -> dict[str, float]:
        """Return the parts' weights at a multiplier.

        Example:
            >>> RewardConstraint(protects="right", against="liked").weights({"right": 1.0, "liked": 1.0}, 1.0)
            {'right': 1.0, 'liked': 0.5}
        """
        return {
            name: (weight + multiplier * (name == self.protects)) / (1 + multiplier) for name, weight in weights.items()
        }


@dataclass(frozen=True)
class ConstraintState:
    """What a constraint remembers from step to step. Plain numbers, which a checkpoint keeps."""

    multiplier: float = 0.0
    num_steps: int = 0
    """Steps in which both parts were measured."""
    protected_start: float = 0.0
    """Mean of the protected part over the first steps."""
    against_start: float = 0.0
    protected: float = 0.0
    """Moving mean of the protected part."""
    against: float = 0.0

    def after(self, constraint: RewardConstraint, protected: float, against: float) -> Self:
        """Return the state after a step in which the two parts had these means.

        Example:
            >>> constraint = RewardConstraint(protects="right", against="liked", start_steps=1, memory=0.0)
            >>> state = ConstraintState().after(constraint, 0.6, 0.0).after(constraint, 0.2, 1.0)
            >>> round(state.multiplier, 6)
            0.2
        """
        count = self.num_steps + 1
        if count <= constraint.start_steps:
            started = self.protected_start + (protected - self.protected_start) / count
            risen = self.against_start + (against - self.against_start) / count
            return replace(
                self,
                num_steps=count,
                protected_start=started,
                against_start=risen,
                protected=started,
                against=risen,
            )
        keep = constraint.memory
        now = keep * self.protected + (1 - keep) * protected
        other = keep * self.against + (1 - keep) * against
        bound = self.protected_start if constraint.reference == "start" else constraint.reference
        gap = bound - constraint.slack - now
        multiplier = self.multiplier
        if gap <= 0 or other > self.against_start:
            multiplier = min(max(multiplier + constraint.rate * gap, 0.0), constraint.max_multiplier)
        return replace(self, num_steps=count, multiplier=multiplier, protected=now, against=other)

    def metrics(self, multiplier: float) -> dict[str, float]:
        """Return the metrics of a step whose rewards had this multiplier, after `after`."""
        means = {PROTECTED: self.protected, AGAINST: self.against} if self.num_steps else {}
        return {MULTIPLIER: multiplier, **means}

    def to_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def part_mean(groups: Sequence[Group], name: str) -> float:
    """Return the mean over groups of the mean of a part over their measured members; NaN where nobody has it."""
    means = []
    for group in groups:
        values = [score.parts[name] for _, score, _ in group.measured if name in score.weights]
        if values:
            means.append(sum(values) / len(values))
    return sum(means) / len(means) if means else math.nan

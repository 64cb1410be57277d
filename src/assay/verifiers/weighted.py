"""Several rewards as one: a weighted sum whose parts keep their names."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pydantic

from assay.config import Settings
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers.constraint import RewardConstraint
from assay.verifiers.score import score_together
from assay.verifiers.trl import DOES_NOT_APPLY
from assay.verifiers.verifier import AnyVerifier, Verifier

GIVEN_FAILED = "its condition is not met"
"""Evidence of a part that counts 0 because the part it depends on was not solved."""


class Part(Settings):
    """One reward of the sum."""

    weight: float = pydantic.Field(default=1.0, allow_inf_nan=False)
    """Factor of the part's value; below 0 for a penalty."""
    verifier: AnyVerifier
    """The verifier that gives the part's value."""
    scale: tuple[float, float] | None = None
    """The values that become 0 and 1, such as [-3, 3]; what is beyond them is held at 0 or 1. None leaves the value as
    it is."""
    only_if: str | None = None
    """The name of another part: where it is not solved, this part counts 0. None for a part that always counts."""
    unmeasured: Literal["whole", "leave_out"] | float = "whole"
    """What becomes of a rollout whose part is not measured. "whole": its whole score is not measured. "leave_out": the
    sum goes on without the part. A number stands for the part's value, after `scale`."""

    @pydantic.model_validator(mode="after")
    def _check_scale(self) -> Self:
        if self.scale is not None and not self.scale[0] < self.scale[1]:
            raise ValueError(f"scale {list(self.scale)} has no room: give the value of 0 and, above it, that of 1")
        return self

    def scaled(self, value: float) -> float:
        """Return a value after `scale`."""
        if self.scale is None:
            return value
        low, high = self.scale
        return (min(max(value, low), high) - low) / (high - low)


class Weighted(Verifier):
    """The sum of weight times value over named parts. Solved is what the part named by `solved_by` says; a sum is a
    number without a verdict where that part's is, or where no part decides.

    A part's value is what its verifier gives, by `scale` brought to 0 to 1, by `only_if` set to 0 where another part is
    not solved. A part that is not measured leaves the whole not measured, unless its `unmeasured` says otherwise: what
    is unknown is no 0. A `trl` part that says of a sample that it does not apply is left out of its sum, as in TRL;
    where that is the part named by `solved_by`, all parts with verdicts that apply and add to the sum must be solved;
    where no part applies, the sample is not measured. Each part's value is kept under its name beside the sum, and what
    a part is itself made of under NAME.PART.
    """

    name: Literal["weighted"] = "weighted"
    parts: dict[str, Part] = pydantic.Field(min_length=1)
    """Name to part, such as {"right": {"verifier": {"name": "math"}}}."""
    solved_by: str
    """The part that decides whether a rollout counts as solved: the one about truth, not about form. "none" where none
    decides: the sum is a number and says no verdict."""
    constraint: RewardConstraint | None = None
    """A part that may not fall while another one rises; None for none. It holds in training alone: held-out scores have
    the weights as they are written."""

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.solved_by not in self.parts and self.solved_by != "none":
            raise ValueError(
                f'solved_by {self.solved_by!r} is none of the parts {", ".join(self.parts)}; it may be "none" too, for '
                "a number without a verdict"
            )
        deep = [name for name, part in self.parts.items() if isinstance(part.verifier, Weighted)]
        if deep:
            raise ValueError(f"part {deep[0]!r} is a weighted sum itself: name its parts here")
        silent = [name for name, part in self.parts.items() if part.weight == 0]
        if silent:
            raise ValueError(f"part {silent[0]!r} has weight 0 and so no effect: leave it out")
        if self.solved_by in self.parts and self.parts[self.solved_by].unmeasured != "whole":
            raise ValueError(
                f"part {self.solved_by!r} decides what is solved, and cannot be left out or replaced by a number where "
                'it is not measured: leave its unmeasured at "whole"'
            )
        return self

    @pydantic.model_validator(mode="after")
    def _check_conditions(self) -> Self:
        for name, part in self.parts.items():
            if part.only_if is None:
                continue
            if part.only_if not in self.parts or part.only_if == name:
                raise ValueError(
                    f"only_if {part.only_if!r} of part {name!r} is no other part of {', '.join(self.parts)}"
                )
            if not self.parts[part.only_if].verifier.gives_verdicts:
                raise ValueError(
                    f"part {name!r} counts only where {part.only_if!r} is solved, and that one's scores are numbers "
                    "without a verdict: set its solved_at"
                )
        if self.constraint is not None:
            self.constraint.check({name: part.weight for name, part in self.parts.items()})
        return self

    @property
    def gives_verdicts(self) -> bool:
        return self.solved_by in self.parts and self.parts[self.solved_by].verifier.gives_verdicts

    @property
    def compares(self) -> bool:
        return any(part.verifier.compares for part in self.parts.values())

    @property
    def nested(self) -> Mapping[str, Verifier]:
        return {name: part.verifier for name, part in self.parts.items()}

    @property
    def identity(self) -> dict[str, Any]:
        plain = self.plain()
        for name, part in self.parts.items():
            plain["parts"][name]["verifier"] = part.verifier.identity
        return plain

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return self._sum({name: await part.verifier(rollout, task) for name, part in self.parts.items()})

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        """Each part is tried again by itself, so that what one rollout, or one part, lacks costs no other its score."""
        columns = await asyncio.gather(*(score_together(part.verifier, rollouts, task) for part in self.parts.values()))
        return [self._sum(dict(zip(self.parts, row, strict=True))) for row in zip(*columns, strict=True)]

    def _sum(self, scores: Mapping[str, Score]) -> Score:
        """The scores of the parts, by name, as one."""
        values: dict[str, float] = {}
        for name, score in scores.items():
            unmeasured = self.parts[name].unmeasured
            if score.value is not None:
                values[name] = self.parts[name].scaled(score.value)
            elif score.reason == DOES_NOT_APPLY or unmeasured == "leave_out":
                continue
            elif unmeasured == "whole":
                return Score.not_measured(f"{name}: {score.reason}")
            else:
                values[name] = float(unmeasured)
        failed = self._apply_conditions(scores, values)
        if not values:
            return Score.not_measured("no part applies to this sample")
        details: dict[str, Any] = {
            "parts": values | _parts_of_parts(scores),
            "weights": {name: self.parts[name].weight for name in values},
        }
        total = weighted_sum(details["parts"], details["weights"])
        if not self.gives_verdicts:
            said = {name: GIVEN_FAILED if name in failed else scores[name].evidence for name in values}
            evidence = "; ".join(f"{name}: {text}" for name, text in said.items() if text)
            return Score.graded(total, evidence=evidence, **details)
        with_verdict = [name for name in values if scores[name].has_verdict]
        rewarded = [name for name in with_verdict if self.parts[name].weight > 0]
        decides = [self.solved_by] if self.solved_by in values else rewarded or with_verdict or list(values)
        # The first that is not solved, else the first: it gives the verdict and why.
        deciding = min((scores[name] for name in decides), key=lambda score: score.verdict is Verdict.SOLVED)
        return Score(deciding.verdict, total, reason=deciding.reason, evidence=deciding.evidence, **details)

    def _apply_conditions(self, scores: Mapping[str, Score], values: dict[str, float]) -> list[str]:
        """Set parts whose condition is not met to 0, and take out those of which nobody knows; return the former."""
        failed = []
        for name in list(values):
            condition = self.parts[name].only_if
            if condition is None:
                continue
            if not scores[condition].measured:
                del values[name]
            elif scores[condition].verdict is not Verdict.SOLVED:
                values[name] = 0.0
                failed.append(name)
        return failed

    def gold_response(self, task: Task) -> str | None:
        return self.parts[self.solved_by].verifier.gold_response(task) if self.solved_by in self.parts else None


def weighted_sum(parts: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Return the sum of weight times part over the parts that have a weight."""
    return sum(weight * parts[name] for name, weight in weights.items())


def reweighted(score: Score, weights: Mapping[str, float]) -> Score:
    """Return a score whose parts are summed with other weights; one that is no weighted sum stays as it is.

    Args:
        weights: of each part by name; those that the score does not have are not asked for.
    """
    if not score.measured or not score.weights:
        return score
    own = {name: weights[name] for name in score.weights}
    return dataclasses.replace(score, value=weighted_sum(score.parts, own), weights=own)


def _parts_of_parts(scores: Mapping[str, Score]) -> dict[str, float]:
    """The parts that parts' own scores have, as NAME.PART."""
    return {
        f"{name}.{inner}": value
        for name, score in scores.items()
        if score.measured
        for inner, value in score.parts.items()
    }

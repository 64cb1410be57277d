"""Several rewards as one: a weighted sum whose parts keep their names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import pydantic

from assay.config import Settings
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers.score import score_group, score_rollout
from assay.verifiers.trl import DOES_NOT_APPLY
from assay.verifiers.verifier import AnyVerifier, Verifier


class Part(Settings):
    """One reward of the sum."""

    weight: float = pydantic.Field(default=1.0, allow_inf_nan=False)
    """Factor of the part's value; below 0 for a penalty."""
    verifier: AnyVerifier
    """The verifier that gives the part's value."""


class Weighted(Verifier):
    """The sum of weight times value over named parts. Solved is what the part named by `solved_by` says; a sum is a
    number without a verdict where that part's is, or where no part decides.

    A part that is not measured leaves the whole not measured: what is unknown is no 0. A `trl` part that says of a
    sample that it does not apply is left out of its sum, as in TRL; where that is the part named by `solved_by`, all
    parts with verdicts that apply and add to the sum must be solved; where no part applies, the sample is not measured.
    Each part's own value is kept under its name beside the sum.
    """

    name: Literal["weighted"] = "weighted"
    parts: dict[str, Part] = pydantic.Field(min_length=1)
    """Name to part, such as {"right": {"verifier": {"name": "math"}}}."""
    solved_by: str
    """The part that decides whether a rollout counts as solved: the one about truth, not about form. "none" where none
    decides: the sum is a number and says no verdict."""

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
        columns = await asyncio.gather(*(_column(part.verifier, rollouts, task) for part in self.parts.values()))
        return [self._sum(dict(zip(self.parts, row, strict=True))) for row in zip(*columns, strict=True)]

    def _sum(self, scores: Mapping[str, Score]) -> Score:
        """The scores of the parts, by name, as one."""
        values: dict[str, float] = {}
        for name, score in scores.items():
            if score.value is not None:
                values[name] = score.value
            elif score.reason != DOES_NOT_APPLY:
                return Score.not_measured(f"{name}: {score.reason}")
        if not values:
            return Score.not_measured("no part applies to this sample")
        total = sum(self.parts[name].weight * value for name, value in values.items())
        if not self.gives_verdicts:
            evidence = "; ".join(f"{name}: {scores[name].evidence}" for name in values if scores[name].evidence)
            return Score.graded(total, parts=values, evidence=evidence)
        with_verdict = [name for name in values if scores[name].has_verdict]
        rewarded = [name for name in with_verdict if self.parts[name].weight > 0]
        decides = [self.solved_by] if self.solved_by in values else rewarded or with_verdict or list(values)
        # The first that is not solved, else the first: it gives the verdict and why.
        deciding = min((scores[name] for name in decides), key=lambda score: score.verdict is Verdict.SOLVED)
        return Score(deciding.verdict, total, parts=values, reason=deciding.reason, evidence=deciding.evidence)

    def gold_response(self, task: Task) -> str | None:
        return self.parts[self.solved_by].verifier.gold_response(task) if self.solved_by in self.parts else None


async def _column(verifier: Verifier, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
    """Return one part's score of each rollout."""
    if verifier.compares:
        return await score_group(verifier, rollouts, task)
    return await asyncio.gather(*(score_rollout(verifier, rollout, task) for rollout in rollouts))

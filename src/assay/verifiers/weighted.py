"""Several rewards as one: a weighted sum whose parts keep their names."""

from __future__ import annotations

from typing import Annotated, Literal, Self

import pydantic

from assay.config import Settings
from assay.types import Rollout, Score, Task
from assay.verifiers.choice import Choice
from assay.verifiers.exact import Exact
from assay.verifiers.format import Format
from assay.verifiers.math import Math
from assay.verifiers.numeric import Numeric
from assay.verifiers.python import PythonReward
from assay.verifiers.reasoning_gym import ReasoningGymScorer
from assay.verifiers.trl import TRLReward

OneVerifier = Annotated[
    Exact | Numeric | Math | Choice | Format | PythonReward | TRLReward | ReasoningGymScorer,
    pydantic.Field(discriminator="name"),
]


class Part(Settings):
    """One reward of the sum."""

    weight: float = pydantic.Field(default=1.0, allow_inf_nan=False)
    """What the part's value is multiplied by; below 0 for a penalty."""
    verifier: OneVerifier


class Weighted(Settings):
    """The sum of weight times value over named parts. Solved is what the part named by `solved_by` says.

    A part that is not measured leaves the whole not measured: what is unknown is no 0. Each part's own value is kept
    under its name beside the sum.
    """

    name: Literal["weighted"] = "weighted"
    parts: dict[str, Part] = pydantic.Field(min_length=1)
    """Name to part, such as {"right": {"verifier": {"name": "math"}}}."""
    solved_by: str
    """The part that decides whether a rollout counts as solved: the one about truth, not about form."""

    @pydantic.model_validator(mode="after")
    def _check_parts(self) -> Self:
        if self.solved_by not in self.parts:
            raise ValueError(f"solved_by {self.solved_by!r} is none of the parts {', '.join(self.parts)}")
        silent = [name for name, part in self.parts.items() if part.weight == 0]
        if silent:
            raise ValueError(f"part {silent[0]!r} has weight 0 and so no effect: leave it out")
        return self

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        values: dict[str, float] = {}
        deciding = Score.not_measured("no part")
        for name, part in self.parts.items():
            score = await part.verifier(rollout, task)
            if score.value is None:
                return Score.not_measured(f"{name}: {score.reason}")
            values[name] = score.value
            if name == self.solved_by:
                deciding = score
        return Score(
            deciding.verdict,
            sum(part.weight * values[name] for name, part in self.parts.items()),
            parts=values,
            reason=deciding.reason,
            evidence=deciding.evidence,
        )

    def gold_response(self, task: Task) -> str | None:
        return self.parts[self.solved_by].verifier.gold_response(task)

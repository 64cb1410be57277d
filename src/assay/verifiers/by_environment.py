"""The verifier of several environments: each task by its own environment's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import pydantic

from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.score import score_together
from assay.verifiers.verifier import AnyVerifier, Verifier


class ByEnvironment(Verifier):
    """Scores each rollout by the verifier of the environment that its task is from."""

    name: Literal["by_environment"] = "by_environment"
    is_cheap: ClassVar[bool] = False
    verifiers: dict[str, AnyVerifier] = pydantic.Field(min_length=1)
    """Name of the environment, as its tasks bear it, to its verifier."""

    @property
    def compares(self) -> bool:
        """True where any of them does: a group is of one task, and so of one environment."""
        return any(verifier.compares for verifier in self.verifiers.values())

    @property
    def gives_verdicts(self) -> bool:
        return all(verifier.gives_verdicts for verifier in self.verifiers.values())

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return await self._of(task)(rollout, task)

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        return await score_together(self._of(task), rollouts, task)

    def gold_response(self, task: Task) -> str | None:
        return self._of(task).gold_response(task)

    @property
    def nested(self) -> Mapping[str, Verifier]:
        return self.verifiers

    def parts_for(self, task: Task) -> Sequence[Verifier]:
        return (self._of(task),)

    @property
    def identity(self) -> dict[str, Any]:
        parts = {name: verifier.identity for name, verifier in self.verifiers.items()}
        return {**self.plain(), "verifiers": parts}

    def cases(self) -> list[Case]:
        return [case for verifier in self.verifiers.values() for case in verifier.cases()]

    def _of(self, task: Task) -> Verifier:
        if task.domain not in self.verifiers:
            raise DataError(
                f"task {task.task_id} is from {task.domain!r}, and there are verifiers for "
                f"{', '.join(self.verifiers)} alone"
            )
        return self.verifiers[task.domain]

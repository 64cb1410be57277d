"""Repair: write a program, read how its tests fail, and mend it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import pydantic

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.episode import Episode
from assay.environments.programs.environment import Programs
from assay.environments.repair.episode import RepairEpisode, Writer
from assay.environments.script import Script
from assay.types import Split, Task
from assay.verifiers import EpisodeScore, Verifier
from assay.verifiers.code import suite_of

MAX_ATTEMPTS = 8


class Repair(Environment):
    """Functions to be written, as those of `programs`, with several attempts: each is run on visible tests in the
    sandbox, and the model reads how they fail. The last program must pass hidden tests too.

    Horizon is the number of attempts, 1 to 8. Complexity is that of `programs`, 1 to 10.
    """

    horizon_unit: ClassVar[str] = "attempts"
    name: Literal["repair"] = "repair"
    programs: Programs = Programs()
    """The generator of the functions."""
    visible_tests: int = pydantic.Field(default=4, ge=1, le=20)
    """Tests whose failures the model is told, of those that `programs` hides."""

    @property
    def max_turns(self) -> int:
        return MAX_ATTEMPTS

    def turns_of(self, task: Task) -> int:
        """As many as there are attempts."""
        return int(task.horizon or 1)

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeScore()}

    def levels(self) -> tuple[Level, ...]:
        return tuple((c, float(h)) for c in map(float, sorted(self.programs.complexities)) for h in (1, 2, 4, 8))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        attempts = whole_dial(self.name, "horizon", horizon, 4, MAX_ATTEMPTS)
        tasks = (self._task(task, attempts) for task in self.programs.tasks(split, complexity=complexity, seed=seed))
        return require_tasks(tasks, self, split, complexity, float(attempts))

    def _task(self, task: Task, attempts: int) -> Task:
        suite = suite_of(task)
        # At least one stays hidden.
        num_visible = min(self.visible_tests, len(suite.tests) - 1)
        # In words, since the task's id is made of it: how many tests are visible tells two tasks apart.
        world = {
            "attempts": attempts,
            "visible": list(suite.tests[:num_visible]),
            "hidden": list(suite.tests[num_visible:]),
            "entry_point": suite.entry_point,
        }
        return dataclasses.replace(task, domain=self.name, horizon=attempts, metadata={**task.metadata, "world": world})

    def episode(self, task: Task) -> Episode:
        world = task.metadata["world"]
        return RepairEpisode(task, world["attempts"], suite_of(task), len(world["visible"]))

    def expert(self, task: Task) -> Script:
        return Writer(suite_of(task).fenced_reference())

    def weak(self, task: Task) -> Script:
        return Writer(f"```python\ndef {suite_of(task).entry_point}(*values):\n    return None\n```")

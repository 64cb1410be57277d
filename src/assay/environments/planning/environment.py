"""Planning: the moves from a start to a goal, in worlds where every move can be played."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pydantic

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.planning.reward import WORLDS, ValidPlan
from assay.environments.planning.scripts import MAX_LOOKED, Searcher, Wisher, misses
from assay.environments.planning.world import PlanningWorld, Problem, shape, shortest
from assay.environments.script import Script
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier

MAX_COMPLEXITY = 3
MAX_HORIZON = {"blocks": 8, "routes": 12}
_MAX_REPEATS = 300
"""Starts in a row that give nothing new, after which a small split counts as given out."""
_PER_START = 4
"""Tasks that are given of one start."""


class Planning(Environment):
    """Write a plan, a move a line, that leads from a start to a goal.

    Horizon is the number of moves of a shortest plan. Complexity, 1 to 3, is how much there is to keep apart: 4, 5 or 6
    blocks; on routes, a van that has somewhere to be, or one or two parcels. A plan is played move by move. It may have
    `slack` times as many moves as it needs, which the prompt says; with a slack of 1 only shortest plans are right. A
    move that changes nothing is not allowed, which the prompt says too.

    Which split a task is in depends on its shape: neither other names nor another order of its facts carry it over.
    """

    name: Literal["planning"] = "planning"
    world: Literal["blocks", "routes"] = "blocks"
    slack: float = pydantic.Field(default=2.0, ge=1.0, le=10.0)
    """The number of moves that a plan may have, over the number that it needs; rounded down."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The whole response, and leniently its lines that are moves."""
        return {"strict": ValidPlan(), "lenient": ValidPlan(reading="moves")}

    def levels(self) -> tuple[Level, ...]:
        ranges = {"blocks": ((2, 4), (2, 6), (2, 6)), "routes": ((2, 8), (4, 8), (8, 8))}[self.world]
        return tuple(
            (float(complexity), float(horizon))
            for horizon in (2, 4, 6, 8)
            for complexity, (least, most) in enumerate(ranges, start=1)
            if least <= horizon <= most
        )

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level = whole_dial(self.name, "complexity", complexity, 1, MAX_COMPLEXITY)
        moves = whole_dial(self.name, "horizon", horizon, 4, MAX_HORIZON[self.world])
        return require_tasks(self._generate(split, level, moves, seed), self, split, level, moves)

    def expert(self, task: Task) -> Script:
        return Searcher(WORLDS[task.metadata["kind"]])

    def weak(self, task: Task) -> Script:
        return Wisher(WORLDS[task.metadata["kind"]])

    def limited(self, task: Task) -> Script:
        return Searcher(WORLDS[task.metadata["kind"]], MAX_LOOKED)

    def near_misses(self, task: Task) -> Sequence[str]:
        world, problem = WORLDS[task.metadata["kind"]], task.metadata["problem"]
        plan = [move for line in task.answer.split("\n") if (move := world.read(line)) is not None]
        return list(misses(world, problem, plan, task.metadata["max_moves"]))

    def _generate(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        world = WORLDS[self.world]
        rng = random.Random(derive_seed(seed, self.name, self.world, split, complexity, horizon))
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            repeats += 1
            given = 0
            for problem in world.problems(rng, complexity, horizon):
                canonical = world.text(problem).removesuffix(world.rules).strip()
                if canonical in seen or hashed_split(self.name, shape(world.facts(problem))) != split:
                    continue
                seen.add(canonical)
                repeats = 0
                yield self._task(world, problem, canonical, complexity)
                given += 1
                if given == _PER_START:
                    break

    def _task(self, world: PlanningWorld, problem: Problem, canonical: str, complexity: int) -> Task:
        plan = shortest(world, problem)
        assert plan is not None, "the goal was found from the start"
        max_moves = math.floor(len(plan) * self.slack)
        ask = f"Reach the goal in at most {max_moves} move{'s' * (max_moves > 1)}, and write nothing else."
        metadata: dict[str, Any] = {"canonical": canonical, "kind": world.name, "problem": problem}
        return Task(
            domain=self.name,
            prompt=(Message("user", f"{world.text(problem)} {ask}"),),
            answer="\n".join(map(world.said, plan)),
            complexity=complexity,
            horizon=len(plan),
            metadata={**metadata, "max_moves": max_moves},
        )

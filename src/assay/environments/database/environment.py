"""Database: questions that take one lookup after the other, on a real SQLite database."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from assay.environments.database.episode import DatabaseEpisode, Follower, Guesser, Walker
from assay.environments.database.world import MAX_HOPS, DatabaseWorld, generate
from assay.environments.dials import Generated, drawn_tasks
from assay.environments.episode import Episode
from assay.environments.script import Script
from assay.seeds import derive_seed
from assay.types import Message, Split, Task


class Database(Generated):
    """Answer a question, or make a change, by SQL queries with the tool `query`.

    Horizon is the number of hops: rows that must be looked up one after the other, since each names the next.
    Complexity 1 asks for a name, in tables of four rows; 2 asks for a count, in tables of six; 3 asks for a change, in
    tables of eight, and is judged by the state that the whole database is in afterwards. An answer after a change that
    nobody asked for has failed.
    """

    max_complexity: ClassVar[int] = 3
    max_horizon: ClassVar[int] = MAX_HOPS
    listed_horizons: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    default_horizon: ClassVar[int] = 2
    horizon_unit: ClassVar[str] = "rows that name each other"

    name: Literal["database"] = "database"
    extra_turns: int = 4
    """Turns beyond one a hop, one for the answer and one for a change: room for mistakes."""
    expert_in_one: bool = False
    """True for an expert that asks everything in one statement, in place of one a hop."""

    @property
    def max_turns(self) -> int:
        return MAX_HOPS + 2 + self.extra_turns

    def turns_of(self, task: Task) -> int:
        """One a hop, one for the answer, one for a change, and `extra_turns`."""
        return int(task.horizon or 1) + 2 + self.extra_turns

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""

        def draw(rng: random.Random) -> Task:
            world = generate(rng, complexity, horizon)
            text = f"A database has these tables:\n{world.schema}\n{world.question}"
            if not world.changed:
                text += " Then say the answer only."
            return Task(
                domain=self.name,
                prompt=(Message("user", text),),
                answer=world.answer,
                complexity=complexity,
                horizon=horizon,
                metadata={"canonical": f"{world.script}\n{world.question}", "world": _plain(world)},
            )

        return drawn_tasks(draw, split, derive_seed(seed, self.name, split, complexity, horizon))

    def episode(self, task: Task) -> Episode:
        return DatabaseEpisode(task, _world(task))

    def expert(self, task: Task) -> Script:
        world = _world(task)
        one_by_one = not self.expert_in_one and not world.answer.isdecimal()
        return Walker(world) if one_by_one else Follower(world)

    def weak(self, task: Task) -> Script:
        return Guesser(_world(task))


def _plain(world: DatabaseWorld) -> dict[str, Any]:
    return {**dataclasses.asdict(world), "tables": list(world.tables), "path": list(world.path)}


def _world(task: Task) -> DatabaseWorld:
    data = task.metadata["world"]
    return DatabaseWorld(**{**data, "tables": tuple(data["tables"]), "path": tuple(data["path"])})

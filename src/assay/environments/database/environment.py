"""Database: questions that take one lookup after the other, on a real SQLite database."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from assay.environments.database.episode import DatabaseEpisode, Follower, Guesser, Walker
from assay.environments.database.world import MAX_HOPS, DatabaseWorld, generate
from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.episode import Episode
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import EpisodeScore, Verifier

MAX_COMPLEXITY = 3
_MAX_REPEATS = 1000


class Database(Environment):
    """Answer a question, or make a change, by SQL queries with the tool `query`.

    Horizon is the number of hops: rows that must be looked up one after the other, since each names the next.
    Complexity 1 asks for a name, in tables of four rows; 2 asks for a count, in tables of six; 3 asks for a change, in
    tables of eight, and is judged by the state that the whole database is in afterwards. An answer after a change that
    nobody asked for has failed.
    """

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

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeScore()}

    def levels(self) -> tuple[Level, ...]:
        return tuple((float(c), float(h)) for h in (1, 2, 4, 8) for c in range(1, MAX_COMPLEXITY + 1))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        level = whole_dial(self.name, "complexity", complexity, 1, MAX_COMPLEXITY)
        hops = whole_dial(self.name, "horizon", horizon, 2, MAX_HOPS)
        return require_tasks(self._generate(split, level, hops, seed), self, split, level, hops)

    def _generate(self, split: Split, complexity: int, hops: int, seed: int) -> Iterator[Task]:
        rng = random.Random(derive_seed(seed, self.name, split, complexity, hops))
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            world = generate(rng, complexity, hops)
            canonical = f"{world.script}\n{world.question}"
            if canonical in seen or hashed_split(self.name, canonical) != split:
                repeats += 1
                continue
            seen.add(canonical)
            repeats = 0
            text = f"A database has these tables:\n{world.schema}\n{world.question}"
            if not world.changed:
                text += " Then say the answer only."
            yield Task(
                domain=self.name,
                prompt=(Message("user", text),),
                answer=world.answer,
                complexity=complexity,
                horizon=hops,
                metadata={"canonical": canonical, "world": _plain(world)},
            )

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

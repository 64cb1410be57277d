"""Files: find, add up and edit across the files of a folder, with a shell in the sandbox."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator, Mapping
from typing import Literal

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.episode import Episode
from assay.environments.files.episode import FilesEpisode, Reader, Starter
from assay.environments.files.world import MAX_HOPS, FilesWorld, generate
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import EpisodeScore, Verifier

MAX_COMPLEXITY = 3
_MAX_REPEATS = 1000


class Files(Environment):
    """Work on a folder of files with the tools `shell`, `read` and `write`; judged by the folder in the end.

    Horizon is the number of files that name each other, 1 to 12. Complexity 1 asks for the word in the last of them,
    among some four files; 2 for the sum of their numbers, among eight; 3 for the same change in each of them and in no
    other, among sixteen. Commands run in the sandbox, without a network, in a copy of the folder; what one leaves there
    is what the next finds.
    """

    name: Literal["files"] = "files"
    extra_turns: int = 6
    """Turns beyond those that the expert needs: room for mistakes."""

    @property
    def max_turns(self) -> int:
        return 2 * MAX_HOPS + 1 + self.extra_turns

    def turns_of(self, task: Task) -> int:
        """One to read each file, one to write each, one for the end, and `extra_turns`."""
        return 2 * int(task.horizon or 1) + 1 + self.extra_turns

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
            canonical = f"{sorted(world.files.items())} {world.request}"
            if canonical in seen or hashed_split(self.name, canonical) != split:
                repeats += 1
                continue
            seen.add(canonical)
            repeats = 0
            yield Task(
                domain=self.name,
                prompt=(Message("user", f"You have a folder of files. {world.request} Say done at the end."),),
                answer="done",
                complexity=complexity,
                horizon=hops,
                metadata={"canonical": canonical, "world": {**dataclasses.asdict(world), "path": list(world.path)}},
            )

    def episode(self, task: Task) -> Episode:
        return FilesEpisode(task, _world(task))

    def expert(self, task: Task) -> Script:
        return Reader(_world(task))

    def weak(self, task: Task) -> Script:
        return Starter(_world(task))


def _world(task: Task) -> FilesWorld:
    data = task.metadata["world"]
    return FilesWorld(**{**data, "path": tuple(data["path"])})

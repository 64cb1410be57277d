"""Files: find, add up and edit across the files of a folder, with a shell in the sandbox."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from typing import ClassVar, Literal

from assay.environments.dials import Generated, drawn_tasks
from assay.environments.episode import Episode
from assay.environments.files.episode import Blind, FilesEpisode, Reader
from assay.environments.files.world import MAX_HOPS, FilesWorld, generate
from assay.environments.script import Script
from assay.seeds import derive_seed
from assay.types import Message, Split, Task


class Files(Generated):
    """Work on a folder of files with the tools `shell`, `read` and `write`; judged by the folder in the end.

    Horizon is the number of files that name each other, 1 to 12. Complexity 1 asks for the word in the last of them,
    among some four files; 2 for the sum of their numbers, among eight; 3 for the same change in each of them and in no
    other, among sixteen. Commands run in the sandbox, without a network, in a copy of the folder; what one leaves there
    is what the next finds.
    """

    max_complexity: ClassVar[int] = 3
    max_horizon: ClassVar[int] = MAX_HOPS
    listed_horizons: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    default_horizon: ClassVar[int] = 2
    horizon_unit: ClassVar[str] = "files that name each other"

    name: Literal["files"] = "files"
    extra_turns: int = 6
    """Turns beyond those that the expert needs: room for mistakes."""

    @property
    def max_turns(self) -> int:
        return 2 * MAX_HOPS + 1 + self.extra_turns

    def turns_of(self, task: Task) -> int:
        """One to read each file, one to write each, one for the end, and `extra_turns`."""
        return 2 * int(task.horizon or 1) + 1 + self.extra_turns

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""

        def draw(rng: random.Random) -> Task:
            world = generate(rng, complexity, horizon)
            canonical = f"{sorted(world.files.items())} {world.request}"
            return Task(
                domain=self.name,
                prompt=(Message("user", f"You have a folder of files. {world.request} Say done at the end."),),
                answer="done",
                complexity=complexity,
                horizon=horizon,
                metadata={"canonical": canonical, "world": {**dataclasses.asdict(world), "path": list(world.path)}},
            )

        return drawn_tasks(draw, split, derive_seed(seed, self.name, split, complexity, horizon))

    def episode(self, task: Task) -> Episode:
        return FilesEpisode(task, _world(task))

    def expert(self, task: Task) -> Script:
        return Reader(_world(task))

    def weak(self, task: Task) -> Script:
        return Blind(_world(task))


def _world(task: Task) -> FilesWorld:
    data = task.metadata["world"]
    return FilesWorld(**{**data, "path": tuple(data["path"])})

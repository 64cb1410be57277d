"""A curriculum of levels: one after the other, as they are learned.

Levels are tried in their order. Most groups come from the frontier, the level being learned; a share comes from the
levels before it, so that they are not forgotten. The frontier moves on once enough of its recent rollouts were solved:
a threshold curriculum as in Reasoning Gym (Stojanovski et al. 2025, https://arxiv.org/abs/2505.24760), counted in
groups where they count steps. Solved shares under a curriculum say how hard its tasks are, not how good the model is:
progress is measured on a fixed held-out grid.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.curriculum import CurriculumSettings, LevelSettings, require_verdict
from assay.curriculum.stream import TaskStream
from assay.environments import Environment
from assay.errors import CheckpointError, ConfigError
from assay.observe.metrics import metric
from assay.seeds import derive_seed, uniform
from assay.types import Group, Task

FRONTIER = metric("curriculum/frontier_level", "Index of the level being learned, from 0 for the easiest.")
FRONTIER_SOLVED = metric(
    "curriculum/frontier_solved_share", "Mean solved share of the frontier's groups in the curriculum's window."
)


class LevelByLevel(CurriculumSettings):
    """A curriculum of one level after the other: the next begins once enough of the last was solved."""

    name: Literal["level_by_level"] = "level_by_level"
    advance_at: float = Field(default=0.7, gt=0.0, le=1.0)
    """Mean solved share of the frontier's last `window` groups at which the next level becomes the frontier."""
    window: int = Field(default=32, ge=1)
    """Groups that the solved share is a mean over."""
    replay_share: float = Field(default=0.2, ge=0.0, lt=1.0)
    """Share of groups drawn from the levels before the frontier, each equally likely."""

    @property
    def needs_verdicts(self) -> bool:
        return len(self.levels) > 1

    def begin(self, environment: Environment, seed: int) -> LevelCurriculum:
        return LevelCurriculum(self, environment, seed)


@dataclass
class _Level:
    """The position of the curriculum in one level."""

    tasks: TaskStream
    recent: deque[float]
    """Solved shares of the last `window` groups."""
    num_groups: int = 0

    @property
    def name(self) -> str:
        return self.tasks.name


class LevelCurriculum:
    """Hands out training tasks in a fixed order and moves on as they are solved.

    Which level a group gets depends on the seed, the group's id and the frontier; which task, on how many that level
    has given out. So a run is the same again from its seed, and from `state()` on. Within an epoch of a level no task
    comes twice; the next epoch has an order of its own.

    Raises:
        DataError: a level outside the environment's range, or with an empty train split.
        ConfigError: two levels that are the same to the environment.
    """

    def __init__(self, settings: LevelByLevel, environment: Environment, seed: int) -> None:
        self._settings = settings
        self._seed = seed
        self._frontier = 0
        self._issued: dict[int, tuple[int, Task]] = {}
        """Group to (index of its level, task), of groups that were not observed yet."""
        self._levels = [
            _Level(TaskStream(environment, level, seed=seed, index=index), deque(maxlen=settings.window))
            for index, level in enumerate(settings.levels)
        ]
        names = [level.name for level in self._levels]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"levels are {', '.join(names)} to {environment.name}: the same level twice; name each once"
            )

    @property
    def current_level_name(self) -> str:
        """The frontier, the level being learned, by its dials: "c2 h1"."""
        return self._levels[self._frontier].name

    def named_levels(self) -> list[tuple[str, LevelSettings]]:
        """Every level with its name, in the order of the settings."""
        return [(level.name, settings) for level, settings in zip(self._levels, self._settings.levels, strict=True)]

    def next_task(self, group_id: int) -> Task:
        """The task of this group. Asked again for a group that was not observed yet, it gives the same task again."""
        if group_id not in self._issued:
            index = self._choose_level(group_id)
            self._issued[group_id] = index, self._levels[index].tasks.draw()
        return self._issued[group_id][1]

    def observe(self, groups: Iterable[Group]) -> None:
        """Takes note of what a step's groups solved, and moves the frontier. Call it once a step, in order.

        Groups without a measured member say nothing. Groups come back in the order of their ids: one that is older than
        those observed was dropped, and its task is not given again.

        Raises:
            ValueError: a group at a level that is not in this curriculum.
        """
        indices = {level.tasks.dials: index for index, level in enumerate(self._levels)}
        newest = -1
        for group in groups:
            newest = max(newest, group.group_id)
            # Tasks of one level may be of several where the environment lists them: a file with a column of levels.
            index, _ = self._issued.get(
                group.group_id, (indices.get((group.task.complexity, group.task.horizon)), None)
            )
            if index is None:
                raise ValueError(f"group {group.group_id} is at level {group.task.level}, not in this curriculum")
            if self._settings.needs_verdicts:
                require_verdict(group, self._settings.name)
            if math.isnan(group.solved_share):
                continue
            level = self._levels[index]
            level.num_groups += 1
            level.recent.append(group.solved_share)
            if index == self._frontier < len(self._levels) - 1 and self._is_learned(level):
                self._frontier += 1
        self._issued = {group_id: task for group_id, task in self._issued.items() if group_id > newest}

    def metrics(self) -> dict[str, float]:
        """The frontier and, once it has any group, its solved share."""
        share = _mean(self._levels[self._frontier].recent)
        return {FRONTIER: float(self._frontier)} | ({} if math.isnan(share) else {FRONTIER_SOLVED: share})

    def state(self) -> dict[str, Any]:
        """Return everything that `load_state` needs, as JSON."""
        return {
            "frontier": self._frontier,
            "levels": [
                {**level.tasks.state(), "num_groups": level.num_groups, "recent": list(level.recent)}
                for level in self._levels
            ],
            "issued": [[group_id, index, task.to_dict()] for group_id, (index, task) in self._issued.items()],
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, exactly.

        Raises:
            CheckpointError: the state is of a curriculum with other levels.
        """
        saved = [level["name"] for level in state["levels"]]
        names = [level.name for level in self._levels]
        if saved != names:
            raise CheckpointError(
                f"the checkpoint's curriculum has the levels {', '.join(saved)}, this run's {', '.join(names)}; "
                "resume with the settings it was started with"
            )
        self._frontier = state["frontier"]
        for level, data in zip(self._levels, state["levels"], strict=True):
            level.tasks.load_state(data)
            level.num_groups = data["num_groups"]
            level.recent = deque(data["recent"], maxlen=self._settings.window)
        self._issued = {group_id: (index, Task.from_dict(task)) for group_id, index, task in state["issued"]}

    def _choose_level(self, group_id: int) -> int:
        if (
            self._frontier
            and uniform(derive_seed(self._seed, "curriculum", "replay"), group_id) < self._settings.replay_share
        ):
            return int(uniform(derive_seed(self._seed, "curriculum", "level"), group_id) * self._frontier)
        return self._frontier

    def _is_learned(self, level: _Level) -> bool:
        return len(level.recent) == self._settings.window and _mean(level.recent) >= self._settings.advance_at


def _mean(shares: Iterable[float]) -> float:
    values = list(shares)
    return math.fsum(values) / len(values) if values else math.nan

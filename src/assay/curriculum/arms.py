"""What curricula choose between that have more than an order of levels: arms, in the word of bandits.

An arm is one environment at one level. Of `[[environments]]` every environment is an arm of its own at every level, so
that each curriculum here mixes environments as it mixes levels.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.curriculum.curriculum import CurriculumSettings, LevelSettings
from assay.curriculum.stream import TaskStream
from assay.environments import Environment
from assay.environments.mixture import Mixture
from assay.errors import CheckpointError, ConfigError
from assay.observe.metrics import metric
from assay.seeds import derive_seed, uniform
from assay.types import Group, Task

SHARE = metric("curriculum/share/NAME", "Probability with which the next new task is of this environment and level.")
SCORE = metric(
    "curriculum/score/NAME",
    "What the curriculum reckons that training on this environment and level is worth, in the unit of its page.",
)


@dataclass(frozen=True)
class Arm:
    """One environment at one level, whose tasks a curriculum can hand out."""

    name: str
    """The level by its dials, after the environment where there are several: "chain c2 h1"."""
    tasks: TaskStream
    weight: float
    """Share of the groups that it would have if nothing were known: the environment's weight, split over its levels;
    the weights of all arms add up to 1."""


class ArmCurriculum(ABC):
    """Draws the arm of each group at random, with a probability that grows with what the arm is worth.

    P(arm) = u w + (1 - u) w s / sum of w s, for weight w, score s and the share u that is drawn without regard of
    scores. An arm of which nothing is known yet counts as the best of those that are known; where all are worth
    nothing, weights alone decide. The draw depends on the seed, the group's id, and on what was observed when the group
    was issued, so a run is the same again from its seed, and from `state()` on.

    A group comes back up to `max_staleness` steps after it was issued: other groups are then issued in between without
    its result. When it comes it counts as what it is, a measurement of the weights that sampled it: `learn` is told
    their version, and the version now.

    Raises:
        DataError: a level outside an environment's range, or with an empty train split.
        ConfigError: two levels that are the same to an environment.
    """

    def __init__(
        self, settings: CurriculumSettings, environment: Environment, seed: int, *, uniform_share: float = 0.0
    ) -> None:
        self.arms = make_arms(environment, settings.levels, seed)
        """The arms: environment by environment, each at every level in the order of the settings."""
        self.version = 0
        """Number of steps observed, and so the version of the weights now."""
        self._levels = settings.levels
        self._names = level_names(environment, settings.levels, seed)
        self._uniform_share = uniform_share
        self._draws = derive_seed(seed, "curriculum", "arm")
        self._issued: dict[int, tuple[int, Task]] = {}
        """Group to (index of its arm, task), of groups that were not observed yet."""
        self._chances: list[float] | None = None
        """The probabilities since the last step was observed; None until they are needed."""

    @abstractmethod
    def scores(self) -> list[float | None]:
        """Return what each arm is worth, at least 0; None where nothing is known."""

    @abstractmethod
    def learn(self, index: int, group: Group, version: int) -> None:
        """Takes note of a group with a measured member.

        Args:
            index: of its arm.
            version: of the oldest weights that sampled it, at most `self.version`.
        """

    def own_state(self) -> dict[str, Any]:
        """Return what the curriculum has learned, as JSON."""
        return {}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `own_state` gave."""
        assert not state, "a curriculum that has a state of its own takes it back"

    def choose(self, group_id: int) -> tuple[int, Task]:
        """Return the index of the group's arm, and its task."""
        if self._chances is None:
            self._chances = self.probabilities()
        index = drawn(self._chances, uniform(self._draws, group_id))
        return index, self.arms[index].tasks.draw()

    def probabilities(self) -> list[float]:
        """Return the probability of each arm."""
        known = self.scores()
        best = max((score for score in known if score is not None), default=0.0)
        worth = [arm.weight * (best or 1.0 if s is None else s) for arm, s in zip(self.arms, known, strict=True)]
        total = math.fsum(worth)
        if total <= 0.0:
            return [arm.weight for arm in self.arms]
        share = self._uniform_share
        return [share * arm.weight + (1 - share) * own / total for arm, own in zip(self.arms, worth, strict=True)]

    @property
    def current_level_name(self) -> str:
        """Empty: many levels are learned at once."""
        return ""

    def named_levels(self) -> list[tuple[str, LevelSettings]]:
        """Every level with its name, in the order of the settings."""
        return list(zip(self._names, self._levels, strict=True))

    def next_task(self, group_id: int) -> Task:
        """The task of this group. Asked again for a group that was not observed yet, it gives the same task again."""
        if group_id not in self._issued:
            self._issued[group_id] = self.choose(group_id)
        return self._issued[group_id][1]

    def observe(self, groups: Iterable[Group]) -> None:
        """Takes note of what a step's groups solved. Call it once a step, in order.

        Groups without a measured member say nothing. One that is older than those observed was dropped: its task is
        under way no longer.

        Raises:
            ValueError: a group that was not issued here.
        """
        newest = -1
        for group in groups:
            newest = max(newest, group.group_id)
            if group.group_id not in self._issued:
                raise ValueError(f"group {group.group_id}, at level {group.task.level}, was not issued here")
            if measured := group.measured:
                version = min(rollout.version for rollout, _, _ in measured)
                self.learn(self._issued[group.group_id][0], group, min(version, self.version))
        self._issued = {group_id: task for group_id, task in self._issued.items() if group_id > newest}
        self.version += 1
        self._chances = None

    def metrics(self) -> dict[str, float]:
        """The probability of each arm, and the score of those that have one."""
        found: dict[str, float] = {}
        for arm, share, score in zip(self.arms, self.probabilities(), self.scores(), strict=True):
            name = arm.name.replace(" ", "_")
            found[SHARE.replace("NAME", name)] = share
            if score is not None:
                found[SCORE.replace("NAME", name)] = score
        return found

    def state(self) -> dict[str, Any]:
        """Return everything that `load_state` needs, as JSON."""
        return {
            "version": self.version,
            "arms": [{**arm.tasks.state(), "name": arm.name} for arm in self.arms],
            "issued": [[group_id, index, task.to_dict()] for group_id, (index, task) in self._issued.items()],
            "own": self.own_state(),
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, exactly.

        Raises:
            CheckpointError: the state is of a curriculum with other levels or environments.
        """
        saved = [arm["name"] for arm in state["arms"]]
        names = [arm.name for arm in self.arms]
        if saved != names:
            raise CheckpointError(
                f"the checkpoint's curriculum chooses between {', '.join(saved)}, this run's between "
                f"{', '.join(names)}; resume with the settings it was started with"
            )
        self.version = state["version"]
        for arm, data in zip(self.arms, state["arms"], strict=True):
            arm.tasks.load_state(data)
        self._issued = {group_id: (index, Task.from_dict(task)) for group_id, index, task in state["issued"]}
        self.load_own_state(state["own"])
        self._chances = None


def make_arms(environment: Environment, levels: Sequence[LevelSettings], seed: int) -> list[Arm]:
    """The arms of an environment at these levels: of each part of a mixture, where it is one. A part whose own dials
    make levels the same has one arm for them.

    Raises:
        DataError, ConfigError: as `ArmCurriculum`.
    """
    found: list[tuple[str, TaskStream, float]] = []
    several = isinstance(environment, Mixture) and len(environment.parts) > 1
    parts = environment.parts if isinstance(environment, Mixture) else (None,)
    for part in parts:
        of_part = environment if part is None else Mixture(parts=(part,))
        own = levels
        if part is not None:
            own = [
                LevelSettings(
                    complexity=level.complexity if part.complexity is None else part.complexity,
                    horizon=level.horizon if part.horizon is None else part.horizon,
                )
                for level in levels
            ]
        streams = []
        for level in dict.fromkeys(own):
            streams.append(TaskStream(of_part, level, seed=seed, index=len(found) + len(streams)))
        names = [stream.name for stream in streams]
        if len(set(names)) < len(names):
            raise ConfigError(f"levels are {', '.join(names)} to {of_part.name}: the same level twice; name each once")
        label = f"{part.filed_as} " if part is not None and several else ""
        weight = 1.0 if part is None else part.weight
        found += [(f"{label}{stream.name}", stream, weight / len(streams)) for stream in streams]
    total = math.fsum(weight for *_, weight in found)
    return [Arm(name, stream, weight / total) for name, stream, weight in found]


def level_names(environment: Environment, levels: Sequence[LevelSettings], seed: int) -> list[str]:
    """Return the name of each level, as the tasks of the whole environment carry it."""
    return [TaskStream(environment, level, seed=seed, index=index).name for index, level in enumerate(levels)]


def drawn(probabilities: Sequence[float], at: float) -> int:
    """Return the index in whose share a number from 0 to 1 falls; the probabilities need not add up to 1.

    Example:
        >>> [drawn([0.5, 0.0, 0.5], at) for at in (0.0, 0.49, 0.5, 0.99)]
        [0, 0, 2, 2]
    """
    rest = at * math.fsum(probabilities)
    last = 0
    for index, probability in enumerate(probabilities):
        if probability <= 0.0:
            continue
        last = index
        rest -= probability
        if rest < 0.0:
            break
    return last

"""A learner with known curves, in place of a model: what a curriculum chooses can be checked against what it learns.

Skill at each level is a number; an attempt succeeds with p = ceiling / (1 + exp(difficulty - skill)). Training on a
group raises the skill of its level by `rate` times 4 k (n - k) / n^2 for k of n solved (no signal, no learning), and
that of the levels above by half of it, a quarter, ...: a skill helps with the next. Every group elsewhere takes
`forgetting` away.
"""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass, field

from assay.curriculum import Curriculum
from assay.types import Completion, Group, Message, Score, Task, Turn
from assay.verifiers import as_rollout


def group_of(group_id: int, task: Task, solved: list[bool], version: int = 0) -> Group:
    """A group whose members were sampled by these weights; they are one rollout, for speed."""
    completion = Completion((), (), "stop", ((0, version),))
    turn = Turn((), extends_previous=False, completion=completion, message=Message("assistant", ""))
    rollout = dataclasses.replace(as_rollout("", task), group_id=group_id, turns=(turn,))
    scores = tuple(Score.solved() if each else Score.failed() for each in solved)
    return Group(group_id, task, (rollout,) * len(solved), scores)


@dataclass
class SimulatedLearner:
    """A learner over levels by name, easiest first."""

    difficulties: dict[str, float]
    rate: float = 0.4
    forgetting: float = 0.0
    ceiling: dict[str, float] = field(default_factory=dict)
    """Largest solved share of a level; 1 where it is not said."""
    group_size: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        self.skill = dict.fromkeys(self.difficulties, 0.0)
        self.best = dict(self.skill)
        self.version = 0
        self.issued: list[str] = []
        self._random = random.Random(self.seed)
        self._next = 0

    @staticmethod
    def level(task: Task) -> str:
        """The environment and level of a task, as `difficulties` has them."""
        return f"{task.domain} {task.level}"

    def solved_share(self, level: str) -> float:
        """The probability that an attempt at this level succeeds now."""
        return self.ceiling.get(level, 1.0) / (1 + math.exp(self.difficulties[level] - self.skill[level]))

    def mean(self) -> float:
        """The mean solved share over levels: what a held-out probe of all would find."""
        return math.fsum(map(self.solved_share, self.skill)) / len(self.skill)

    def attempt(self, group_id: int, task: Task) -> Group:
        p = self.solved_share(self.level(task))
        return group_of(group_id, task, [self._random.random() < p for _ in range(self.group_size)], self.version)

    def train(self, groups: list[Group]) -> None:
        names = list(self.skill)
        for group in groups:
            level, share = self.level(group.task), group.solved_share
            gain = self.rate * share * (1 - share) * 4
            for name in names:
                self.skill[name] = max(0.0, self.skill[name] - (self.forgetting if name != level else 0.0))
            for distance, name in enumerate(names[names.index(level) :]):
                self.skill[name] += gain / 2**distance
        self.version += 1

    def step(self, curriculum: Curriculum, num_groups: int = 8) -> list[Group]:
        """One step of training: attempts by the weights as they are, then learning from them."""
        ids = range(self._next, self._next + num_groups)
        self._next += num_groups
        groups = [self.attempt(group_id, curriculum.next_task(group_id)) for group_id in ids]
        self.issued += [self.level(group.task) for group in groups]
        self.train(groups)
        curriculum.observe(groups)
        return groups

    def steps_until(self, curriculum: Curriculum, mean: float, limit: int = 400) -> int:
        """Steps until the mean solved share is reached; `limit` where it is not."""
        for step in range(limit):
            if self.mean() >= mean:
                return step
            self.step(curriculum)
        return limit

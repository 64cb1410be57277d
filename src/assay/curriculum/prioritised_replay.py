"""Prioritised replay: tasks that were worth training on come again, beside tasks that were not seen yet.

Jiang, Grefenstette and Rocktaeschel 2021, "Prioritized Level Replay", https://arxiv.org/abs/2010.03934. With P_S from
the ranks of the tasks' scores and P_C from how long ago each was trained on,

    P(task) = (1 - rho) P_S + rho P_C     P_S ~ (1 / rank) ** (1 / beta)     P_C ~ groups issued since the task was

Tasks come again as prompts, with fresh attempts by the policy of the day: nothing stored is trained on.

Differs: the score is the mean absolute advantage over the siblings' mean (a critic's, in the paper); of rewards 0 and 1
it is twice the unbiased estimate of p (1 - p). Tasks of equal score share the weights of their places. A task under way
is not issued again, so that no step trains on one task twice. beta is 1 by default (0.1 in the paper: nearly always the
best task of all).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.arms import ArmCurriculum, drawn
from assay.curriculum.curriculum import CurriculumSettings
from assay.environments import Environment
from assay.observe.metrics import metric
from assay.seeds import derive_seed, uniform
from assay.types import Group, Task

NUM_SEEN = metric("curriculum/seen_count", "Tasks that prioritised replay holds.")
SEEN_SCORE = metric("curriculum/seen_score_mean", "Mean score of the tasks that prioritised replay holds.")


class PrioritisedReplay(CurriculumSettings):
    """A curriculum that trains again on tasks whose attempts differed in their rewards, the most differing first."""

    name: Literal["prioritised_replay"] = "prioritised_replay"
    replay_share: float = Field(default=0.5, gt=0.0, lt=1.0)
    """Share of groups that are tasks seen before, once enough were; the others are new."""
    staleness_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of replayed tasks drawn by how long ago they were trained on, and not by their score (rho)."""
    temperature: float = Field(default=1.0, gt=0.0, allow_inf_nan=False)
    """Temperature of the ranks (beta): low values replay the best few alone."""
    capacity: int = Field(default=256, ge=1)
    """Number of tasks held; beyond it the one of the lowest score goes."""
    min_seen: int = Field(default=32, ge=1)
    """Number of tasks held before any is replayed."""

    @property
    def min_group_size(self) -> int:
        return 2

    def begin(self, environment: Environment, seed: int) -> PrioritisedReplayCurriculum:
        return PrioritisedReplayCurriculum(self, environment, seed)


@dataclass
class _Seen:
    """A task that was trained on."""

    index: int
    """Index of its arm."""
    task: Task
    score: float
    """Mean absolute advantage of its last group."""
    group_id: int
    """The last group that it was issued for."""


class PrioritisedReplayCurriculum(ArmCurriculum):
    """Draws each group's task anew, or from those seen before."""

    def __init__(self, settings: PrioritisedReplay, environment: Environment, seed: int) -> None:
        super().__init__(settings, environment, seed)
        self._settings = settings
        self._seen: dict[str, _Seen] = {}
        """Task id to what is known of it, in the order in which they were first observed."""
        self._decisions = derive_seed(seed, "curriculum", "replay")
        self._replays = derive_seed(seed, "curriculum", "replayed")

    def scores(self) -> list[float | None]:
        return [None for _ in self.arms]

    def choose(self, group_id: int) -> tuple[int, Task]:
        if (
            len(self._seen) >= self._settings.min_seen
            and uniform(self._decisions, group_id) < self._settings.replay_share
        ):
            under_way = {task.task_id for _, task in self._issued.values()}
            free = [seen for task_id, seen in self._seen.items() if task_id not in under_way]
            if free:
                chances = replay_probabilities(
                    [seen.score for seen in free],
                    [group_id - seen.group_id for seen in free],
                    temperature=self._settings.temperature,
                    staleness_share=self._settings.staleness_share,
                )
                chosen = free[drawn(chances, uniform(self._replays, group_id))]
                chosen.group_id = group_id
                return chosen.index, chosen.task
        return super().choose(group_id)

    def learn(self, index: int, group: Group, version: int) -> None:
        rewards = [reward for _, _, reward in group.measured]
        if len(rewards) < 2:
            return
        # As it was issued: what stands between, such as a scaffold, may have marked the group's.
        task, score = self._issued[group.group_id][1], mean_absolute_advantage(rewards)
        if task.task_id in self._seen:
            self._seen[task.task_id].score = score
            return
        self._seen[task.task_id] = _Seen(index, task, score, group.group_id)
        if len(self._seen) > self._settings.capacity:
            del self._seen[min(self._seen, key=lambda task_id: self._seen[task_id].score)]

    def metrics(self) -> dict[str, float]:
        """The number of tasks held, their mean score, and what arms have."""
        found = super().metrics() | {NUM_SEEN: float(len(self._seen))}
        if self._seen:
            found[SEEN_SCORE] = math.fsum(seen.score for seen in self._seen.values()) / len(self._seen)
        return found

    def own_state(self) -> dict[str, Any]:
        return {"seen": [[seen.index, seen.task.to_dict(), seen.score, seen.group_id] for seen in self._seen.values()]}

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        held = [_Seen(index, Task.from_dict(task), score, group_id) for index, task, score, group_id in state["seen"]]
        self._seen = {seen.task.task_id: seen for seen in held}


def mean_absolute_advantage(rewards_G: Sequence[float]) -> float:
    """Mean over a group of |r_i - mean of the other rewards|: what prioritised replay scores a task by.

    Of rewards 0 and 1, k of n of them 1, it is 2 k (n - k) / (n (n - 1)): twice the unbiased estimate of p (1 - p).

    Args:
        rewards_G: [G] rewards of the measured members, G >= 2.

    Example:
        >>> mean_absolute_advantage([1.0, 0.0, 0.0, 0.0])
        0.5
    """
    num, total = len(rewards_G), math.fsum(rewards_G)
    return math.fsum(abs(reward - (total - reward) / (num - 1)) for reward in rewards_G) / num


def replay_probabilities(
    scores: Sequence[float], staleness: Sequence[int], *, temperature: float, staleness_share: float
) -> list[float]:
    """Return P of each task that may be replayed (equation above).

    Args:
        scores: of each task; the highest has rank 1.
        staleness: groups issued since each task was.

    Example:
        >>> replay_probabilities([0.5, 0.1], [1, 3], temperature=1.0, staleness_share=0.0)
        [0.6666666666666666, 0.3333333333333333]
        >>> replay_probabilities([0.5, 0.1], [1, 3], temperature=1.0, staleness_share=1.0)
        [0.25, 0.75]
    """
    order = sorted(range(len(scores)), key=lambda index: -scores[index])
    by_rank = [0.0] * len(scores)
    place = 0
    for _, tied in itertools.groupby(order, key=lambda index: scores[index]):
        indices = list(tied)
        places = range(place + 1, place + len(indices) + 1)
        weight = math.fsum((1 / rank) ** (1 / temperature) for rank in places) / len(indices)
        place += len(indices)
        for index in indices:
            by_rank[index] = weight
    total, total_staleness = math.fsum(by_rank), math.fsum(staleness)
    rho = staleness_share if total_staleness > 0 else 0.0
    return [
        (1 - rho) * weight / total + (rho * stale / total_staleness if rho else 0.0)
        for weight, stale in zip(by_rank, staleness, strict=True)
    ]

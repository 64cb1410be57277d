"""A curriculum of one level after the other that rehearses what was learned, and most of all what is being forgotten.

The order is that of `level_by_level`; of `[[environments]]` each is learned at all its levels before the next begins.
What differs is the share that goes back to what was learned: there each earlier level is equally likely, here

    P(level) = (1 - rho) P_F + rho P_C     P_F ~ max(solved when learned - solved now, 0)     P_C ~ groups issued since

P_C keeps measuring what is not forgotten yet, as the staleness term of prioritised replay does (Jiang et al. 2021,
https://arxiv.org/abs/2010.03934). Rehearsal is of prompts, with fresh attempts by the policy of the day.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from assay.curriculum.arms import ArmCurriculum, drawn
from assay.curriculum.curriculum import CurriculumSettings, require_verdict
from assay.environments import Environment
from assay.observe.metrics import metric
from assay.seeds import derive_seed, uniform
from assay.types import Group, Task

FORGOTTEN = metric(
    "curriculum/forgotten_share", "Solved share lost since it was learned, mean over the levels learned so far."
)


class Rehearsal(CurriculumSettings):
    """A curriculum of one level after the other, with a share of groups for those learned before: for what was lost
    since, and for what was not looked at for long."""

    name: Literal["rehearsal"] = "rehearsal"
    advance_at: float = Field(default=0.7, gt=0.0, le=1.0)
    """Mean solved share of the frontier's last `window` groups at which the next level becomes the frontier."""
    window: int = Field(default=32, ge=1)
    """Groups that the frontier's solved share is a mean over."""
    rehearsal_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of groups from the levels before the frontier."""
    rehearsal_window: int = Field(default=8, ge=1)
    """Groups of a learned level that its solved share now is a mean over."""
    staleness_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of rehearsed groups drawn by how long ago their level was, and not by what was lost (rho)."""

    @property
    def measures_the_policy(self) -> bool:
        return True

    @property
    def needs_verdicts(self) -> bool:
        return True

    def begin(self, environment: Environment, seed: int) -> RehearsalCurriculum:
        return RehearsalCurriculum(self, environment, seed)


class RehearsalCurriculum(ArmCurriculum):
    """Learns at the frontier, and goes back to what it lost."""

    def __init__(self, settings: Rehearsal, environment: Environment, seed: int) -> None:
        super().__init__(settings, environment, seed)
        self._settings = settings
        self._frontier = 0
        self._recent: list[deque[float]] = [deque(maxlen=settings.window) for _ in self.arms]
        """Solved shares of each arm's last groups: of `window`, and once learned of `rehearsal_window`."""
        self._learned_at: list[float] = []
        """Solved share of each learned arm when it was: a mean over `window` groups."""
        self._last_group = [0 for _ in self.arms]
        """The last group issued at each arm."""
        self._rehearsals = derive_seed(seed, "curriculum", "replay")

    @property
    def current_level_name(self) -> str:
        """The frontier: "c2 h1", after the environment where there are several."""
        return self.arms[self._frontier].name

    def lost(self) -> list[float]:
        """Return the solved share that each learned arm has lost since; 0 where it was not seen since."""
        return [
            max(then - math.fsum(recent) / len(recent), 0.0) if recent else 0.0
            for then, recent in zip(self._learned_at, self._recent, strict=False)
        ]

    def rehearsed(self, group_id: int) -> list[float]:
        """Return the probability of each learned arm, given that one of them is rehearsed."""
        lost = self.lost()
        stale = [max(group_id - self._last_group[index], 0) for index in range(self._frontier)]
        total_lost, total_stale = math.fsum(lost), math.fsum(stale)
        rho = self._settings.staleness_share if total_lost > 0.0 else 1.0
        if total_stale <= 0.0:
            stale, total_stale = [1] * self._frontier, float(self._frontier)
        return [
            rho * old / total_stale + ((1 - rho) * gone / total_lost if rho < 1.0 else 0.0)
            for gone, old in zip(lost, stale, strict=True)
        ]

    def scores(self) -> list[float | None]:
        """The share lost of each learned arm; None of the others."""
        lost = self.lost()
        return [lost[index] if index < self._frontier else None for index in range(len(self.arms))]

    def probabilities(self) -> list[float]:
        """Return the probability of each arm in the next group that is issued."""
        share = self._settings.rehearsal_share if self._frontier else 0.0
        earlier = self.rehearsed(max(self._last_group) + 1) if self._frontier else []
        later = [0.0] * (len(self.arms) - self._frontier - 1)
        return [*(share * own for own in earlier), 1.0 - share, *later]

    def choose(self, group_id: int) -> tuple[int, Task]:
        index = self._frontier
        if self._frontier and uniform(self._rehearsals, group_id) < self._settings.rehearsal_share:
            index = drawn(self.rehearsed(group_id), uniform(self._draws, group_id))
        self._last_group[index] = group_id
        return index, self.arms[index].tasks.draw()

    def learn(self, index: int, group: Group, version: int) -> None:
        require_verdict(group, "rehearsal")
        recent = self._recent[index]
        recent.append(group.solved_share)
        if index != self._frontier or index == len(self.arms) - 1:
            return
        mean = math.fsum(recent) / len(recent)
        if len(recent) == self._settings.window and mean >= self._settings.advance_at:
            # What it is from now on is measured anew, beside what it was.
            self._learned_at.append(mean)
            self._recent[index] = deque(maxlen=self._settings.rehearsal_window)
            self._frontier += 1

    def metrics(self) -> dict[str, float]:
        """What arms have, and the mean share lost once there is a learned one."""
        lost = self.lost()
        return super().metrics() | ({FORGOTTEN: math.fsum(lost) / len(lost)} if lost else {})

    def own_state(self) -> dict[str, Any]:
        return {
            "frontier": self._frontier,
            "recent": [list(recent) for recent in self._recent],
            "learned_at": list(self._learned_at),
            "last_group": list(self._last_group),
        }

    def load_own_state(self, state: Mapping[str, Any]) -> None:
        self._frontier, self._learned_at = state["frontier"], list(state["learned_at"])
        self._last_group = list(state["last_group"])
        settings = self._settings
        self._recent = [
            deque(recent, maxlen=settings.rehearsal_window if index < self._frontier else settings.window)
            for index, recent in enumerate(state["recent"])
        ]

"""A day of jobs: what happens minute by minute, whatever the model does or thinks meanwhile."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Names of jobs; none that a sentence could hold as a word."""
JOBS_PER_ROUND = {1: 1.5, 2: 2.0, 3: 2.4, 4: 2.4}
"""Complexity to the number of jobs in six minutes."""
OTHER_VAN, CHANGES = 3, 4
"""Complexities from which on another van takes jobs, and from which on jobs change."""
MINUTES_PER_ROUND, MINUTES_AT_LEAST = 6, 4
_OTHER_EVERY = 5
"""Minutes between jobs that the other van takes."""


@dataclass(frozen=True)
class PaidJob:
    """A job: it pays if it is finished in time."""

    name: str
    arrives: int
    """The minute from which on it is shown."""
    minutes: int
    """Minutes that it takes."""
    by: int
    """The minute at which it must be finished."""
    worth: int


@dataclass(frozen=True)
class Change:
    """A change of a job that is still open at its minute."""

    at: int
    name: str
    by: int
    worth: int


@dataclass
class Day:
    """The clock and the jobs of one episode."""

    jobs: Mapping[str, PaidJob]
    changes: Sequence[Change]
    end: int
    other_every: int
    """Minutes between jobs that another van takes; 0 for no other van."""
    time: int = 0
    earned: int = 0
    gone: set[str] = field(default_factory=set)
    """Jobs that were started, taken or have expired."""
    news: list[str] = field(default_factory=list)
    """Return what happened since the model was last told."""

    @classmethod
    def of(cls, world: Mapping[str, Any]) -> Day:
        """The day that a task's metadata holds."""
        jobs = [PaidJob(*job) for job in world["jobs"]]
        changes = [Change(*change) for change in world["changes"]]
        return cls({job.name: job for job in jobs}, changes, world["end"], world["other_every"])

    @property
    def over(self) -> bool:
        return self.time >= self.end

    @property
    def open(self) -> list[PaidJob]:
        """Jobs that are shown: they have come, and nobody has begun them."""
        return [job for job in self.jobs.values() if job.arrives <= self.time and job.name not in self.gone]

    def pass_minutes(self, minutes: int) -> None:
        """Let time go by, at most to the end of the day."""
        for _ in range(min(minutes, self.end - self.time)):
            self.time += 1
            self._change()
            for job in self.open:
                if job.by <= self.time:
                    self.gone.add(job.name)
                    self.news.append(f"{job.name} expired.")
            if self.other_every and self.time % self.other_every == 0 and (left := self.open):
                taken = max(left, key=lambda job: (job.worth, job.name))
                self.gone.add(taken.name)
                self.news.append(f"Another van took {taken.name}.")

    def _change(self) -> None:
        for change in self.changes:
            if change.at == self.time and change.name not in self.gone:
                self.jobs = {
                    **self.jobs,
                    change.name: dataclasses.replace(self.jobs[change.name], by=change.by, worth=change.worth),
                }
                self.news.append(f"{change.name} changed.")

    def do(self, name: str) -> int:
        """Do a job that is open, and return what it paid: nothing where it was finished too late, or not at all."""
        job = self.jobs[name]
        self.gone.add(name)
        finished = self.time + job.minutes
        self.pass_minutes(job.minutes)
        paid = job.worth if finished <= min(job.by, self.end) else 0
        self.earned += paid
        return paid


def drawn(complexity: int, horizon: int, rng: random.Random) -> dict[str, Any]:
    """A day of this many rounds, as JSON."""
    end = MINUTES_AT_LEAST + MINUTES_PER_ROUND * horizon
    num_jobs = 1 + round(JOBS_PER_ROUND[complexity] * horizon)
    arrivals = sorted([0, 0, *(rng.randint(0, end - 5) for _ in range(num_jobs - 1))])
    jobs: list[PaidJob] = []
    for name, arrives in zip(LETTERS, arrivals, strict=False):
        minutes = rng.randint(1, 4)
        by = min(end, arrives + minutes + rng.randint(2, 7))
        jobs.append(PaidJob(name, arrives, minutes, by, rng.randint(1, 9)))
    changes: list[Change] = []
    if complexity >= CHANGES:
        for job in rng.sample(jobs, max(1, len(jobs) // 3)):
            at = job.arrives + rng.randint(1, 3)
            changes.append(Change(at, job.name, max(at + 1, job.by + rng.randint(-2, 2)), rng.randint(1, 9)))
    return {
        "jobs": [list(dataclasses.astuple(job)) for job in jobs],
        "changes": [list(dataclasses.astuple(change)) for change in changes],
        "end": end,
        "other_every": _OTHER_EVERY if complexity >= OTHER_VAN else 0,
    }

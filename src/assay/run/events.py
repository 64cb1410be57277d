"""Events of a run: what a step did, and the subscribers that are told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from assay.training import StepReport
from assay.types import Group


@dataclass(frozen=True)
class StepDone:
    """One step that was made: sampled, updated and published."""

    step: int
    """Number of the step, from 0; the run's position stands one further already."""
    groups: tuple[Group, ...]
    """Groups that were trained on, in issue order."""
    dropped: tuple[Group, ...]
    """Groups that were dropped and replaced on the way."""
    report: StepReport
    seconds: float
    """Wall clock of sampling, scoring, update and publishing."""
    counters: Mapping[str, float]
    """Counts of the sampler during the step: metrics by name."""
    canaries: tuple[Group, ...] = ()
    """Groups of tasks that no honest policy can solve; no part of `dropped`."""
    new_level: str = ""
    """The level that the curriculum began with this step; empty for none."""

    @property
    def num_sampled_tokens(self) -> int:
        """Tokens sampled for the step, dropped groups and canaries included."""
        return sum(group.num_sampled_tokens for group in [*self.groups, *self.dropped, *self.canaries])


class Subscriber(Protocol):
    """A subscriber is told of every step, after it was made and before the next begins; subscribers are told in their
    order."""

    async def step_done(self, done: StepDone) -> None: ...

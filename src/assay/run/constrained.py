"""A sampler whose rewards keep a constraint between their parts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from assay.run.services import Sampler
from assay.types import Group
from assay.verifiers.constraint import ConstraintState, part_mean
from assay.verifiers.weighted import Weighted, reweighted


class ConstrainedSampler:
    """Hands on the groups of another sampler, their rewards summed with the weights that the constraint asks for.

    The multiplier of a step is what the steps before it left: no group's reward depends on when it was sampled. Groups
    that the algorithm's `keep` refused were judged by the weights as they are written.

    Args:
        reward: has a constraint.
    """

    def __init__(self, sampler: Sampler, reward: Weighted) -> None:
        assert reward.constraint is not None
        self._sampler = sampler
        self._constraint = reward.constraint
        self._weights = {name: part.weight for name, part in reward.parts.items()}
        self._state = ConstraintState()
        self._applied = 0.0
        self._dropped: list[Group] = []

    async def __aenter__(self) -> Self:
        await self._sampler.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sampler.__aexit__(kind, error, traceback)

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next groups, at most `max_staleness` versions old."""
        groups = await self._sampler.next_groups(num_groups)
        dropped = self._sampler.take_dropped()
        self._applied = self._state.multiplier
        weights = self._constraint.weights(self._weights, self._applied)
        self._dropped = _reweighted(dropped, weights)
        protected, against = (
            part_mean([*groups, *dropped], name) for name in (self._constraint.protects, self._constraint.against)
        )
        if not (math.isnan(protected) or math.isnan(against)):
            self._state = self._state.after(self._constraint, protected, against)
        return _reweighted(groups, weights)

    def take_dropped(self) -> list[Group]:
        """Groups that were dropped and replaced since the last call."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Return the counts of the last `next_groups`, and what the constraint came to."""
        return {**self._sampler.counters(), **self._state.metrics(self._applied)}

    def state(self) -> dict[str, Any]:
        """Return the sampler's state, and the constraint's."""
        return {"sampler": self._sampler.state(), "constraint": self._state.to_dict()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""
        self._sampler.load_state(state["sampler"])
        self._state = ConstraintState(**state["constraint"])


def _reweighted(groups: Sequence[Group], weights: Mapping[str, float]) -> list[Group]:
    return [
        dataclasses.replace(group, scores=tuple(reweighted(score, weights) for score in group.scores))
        for group in groups
    ]

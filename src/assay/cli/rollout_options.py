"""Options that choose the rollouts that `assay show` shows, and the error where there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from assay.errors import RunFolderError

if TYPE_CHECKING:
    from assay.observe.records import RolloutRecord
    from assay.observe.store import RunStore

_MAX_RANGES = 8
"""Ranges of numbers that an error names."""


@dataclass(frozen=True)
class RolloutOptions:
    """Options that choose the rollouts to show."""

    rollouts: Annotated[bool, typer.Option("--rollouts", help="Show rollouts with their token masks.")] = False
    step: Annotated[int | None, typer.Option(help="Rollouts of this step only, counted from 1.", min=1)] = None
    group: Annotated[int | None, typer.Option(help="Rollouts of this group only.", min=0)] = None
    member: Annotated[int | None, typer.Option(help="This member of each group only.", min=0)] = None
    limit: Annotated[int, typer.Option(help="Most rollouts to show.", min=1)] = 8

    @property
    def given(self) -> bool:
        """True where any rollouts were asked for."""
        return self.rollouts or any(place is not None for place in (self.step, self.group, self.member))

    def find(self, store: RunStore) -> list[RolloutRecord]:
        """Return the rollouts that were asked for.

        Raises:
            RunFolderError: the run has none there.
        """
        step = None if self.step is None else self.step - 1
        found = store.rollouts(step, self.group, self.member, self.limit)
        if not found:
            raise _no_rollouts(store, self.step, self.group, self.member)
        return found


def _no_rollouts(store: RunStore, step: int | None, group: int | None, member: int | None) -> RunFolderError:
    """Names the first of the three that the run does not have, and those that it has."""
    places = [(kept + 1, *rest) for kept, *rest in store.rollout_places()]
    if not places:
        return RunFolderError("the run has no rollouts yet")
    where = "the run"
    for depth, (name, wanted) in enumerate((("step", step), ("group", group), ("member", member))):
        there = sorted({place[depth] for place in places})
        if wanted is not None and wanted not in there:
            return RunFolderError(
                f"{where} has no rollouts of {name} {wanted}; there are those of {name} {_ranges(there)}"
            )
        if wanted is not None:
            places = [place for place in places if place[depth] == wanted]
            where = f"{name} {wanted}" if where == "the run" else f"{where}, {name} {wanted}"
    raise AssertionError("there are such rollouts")


def _ranges(numbers: Sequence[int]) -> str:
    """[1, 2, 3, 5] as "1 to 3, 5"; the first of them where there are many."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    shown = ", ".join(" to ".join(map(str, each)) for each in ranges[:_MAX_RANGES])
    return f"{shown} ..." if len(ranges) > _MAX_RANGES else shown

"""The cells of a map: which levels of which environments, their tasks in a fixed order, and how long they are."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from assay.environments import Environment, choose_levels
from assay.environments.environment import Level
from assay.errors import DataError
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Task

MOST_COMPLEXITIES, MOST_HORIZONS = 3, 4
"""Settings of each dial that a map has where none are asked for."""
EXPERT_TASKS = 3
"""Tasks of a cell that the expert plays, to tell how long they are."""
HUMAN_MINUTES = "human_minutes"
"""Key of a task's metadata that holds how many minutes people take."""


class Axis(StrEnum):
    """The unit that a map's horizons are told in."""

    HORIZON = "horizon"
    ACTIONS = "actions"
    TOKENS = "tokens"
    MINUTES = "minutes"


@dataclass(frozen=True)
class TaskLength:
    """The length of a cell's tasks in each unit; None where it is not known."""

    horizon: float | None = None
    """The horizon in the environment's own unit."""
    actions: float | None = None
    """Messages that the scripted expert says, on average."""
    tokens: float | None = None
    """Tokens of those messages, in the first model's tokens."""
    minutes: float | None = None
    """Minutes that people take, on average, where tasks say so."""
    message_tokens: float | None = None
    """Tokens of the longest message that the scripted expert says."""

    def along(self, axis: Axis) -> float | None:
        return getattr(self, axis.value)

    def to_dict(self) -> dict[str, float | None]:
        return dict(vars(self))


@dataclass(frozen=True)
class MapCell:
    """One level of one environment, and its held-out tasks."""

    environment: str
    complexity: float | None
    horizon: float | None
    tasks: tuple[Task, ...] = field(repr=False, default=())
    """Held-out tasks in their fixed order: the pilot's first."""

    @property
    def name(self) -> str:
        dials = ((letter, dial) for letter, dial in (("c", self.complexity), ("h", self.horizon)) if dial is not None)
        return " ".join([self.environment, *(f"{letter}{dial:g}" for letter, dial in dials)])


def choose_cells(
    label: str,
    environment: Environment,
    complexities: list[float],
    horizons: list[float],
    *,
    num_tasks: int,
    seed: int,
) -> tuple[list[MapCell], list[str]]:
    """The cells of an environment, easiest first, and what is to be said of their choice.

    Where no dials are asked for, up to three complexities, of those that are listed with the most horizons, and up to
    four horizons, each evenly among what there is. Dials that the environment has not are no fault of its map: it then
    has one row or one column. Of levels that are asked for, those that it has not are named and left out, as long as
    some are there. A task that an easier cell has too is taken there.

    Args:
        num_tasks: most tasks of a cell.

    Raises:
        DataError: the environment has none of the levels, or no tasks at one that it lists.
    """
    listed = environment.levels()
    notes: list[str] = []
    has = [any(level[dial] is not None for level in listed) for dial in (0, 1)]
    for there, asked, dial in zip(has, (complexities, horizons), ("complexity", "horizon"), strict=True):
        if not there:
            without = "its map is one column" if dial == "horizon" else "its map is one row"
            notes.append(
                f"{label} has no {dial} dial: {without}{f', and --{dial} says nothing of it' if asked else ''}"
            )
    are_asked = any(has) and bool(complexities or horizons)
    if are_asked:
        levels = list(choose_levels(environment, complexities if has[0] else [], horizons if has[1] else []))
    else:
        levels = _thinned(listed)
    seen: set[str] = set()
    cells: list[MapCell] = []
    missing: list[tuple[str, DataError]] = []
    for complexity, horizon in levels:
        cell = MapCell(label, complexity, horizon)
        try:
            tasks = environment.tasks("test", complexity=complexity, horizon=horizon, seed=seed)
            fresh = tuple(itertools.islice((task for task in tasks if task.task_id not in seen), num_tasks))
            if not fresh:
                raise DataError(f"{label} has no held-out tasks of its own at {cell.name}; choose other levels")
        except DataError as error:
            if not are_asked:
                raise
            missing.append((cell.name, error))
            continue
        seen |= {task.task_id for task in fresh}
        cells.append(dataclasses.replace(cell, tasks=fresh))
    if not cells:
        raise missing[0][1]
    if missing:
        names = ", ".join(name for name, _ in missing)
        notes.append(f"there is no level {names}: left out ({missing[0][1]})")
    return cells, notes


def _thinned(listed: Sequence[Level]) -> list[Level]:
    by_complexity: dict[float | None, list[float | None]] = {}
    for complexity, horizon in listed:
        by_complexity.setdefault(complexity, []).append(horizon)
    most = max(len(each) for each in by_complexity.values())
    rich = [complexity for complexity, each in by_complexity.items() if len(each) == most]
    complexities = _spread(rich, MOST_COMPLEXITIES)
    horizons = list(dict.fromkeys(h for complexity in complexities for h in by_complexity[complexity]))
    kept = _spread(sorted(horizons, key=lambda h: -1.0 if h is None else h), MOST_HORIZONS)
    return [(c, h) for c in complexities for h in kept if h in by_complexity[c]]


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    """Up to so many of the values, the first and the last among them."""
    if len(values) <= most:
        return list(values)
    return [values[round(i * (len(values) - 1) / (most - 1))] for i in range(most)]


async def expert_units(
    environment: Environment, cell: MapCell, count_tokens: Callable[[ScriptedResult], Sequence[int]] | None
) -> TaskLength:
    """Return the length of a cell's tasks, as its expert plays the first of them.

    Args:
        count_tokens: of each message that the expert said; None where nobody knows the model's tokens.
    """
    plays: list[ScriptedResult] = []
    for task in cell.tasks[:EXPERT_TASKS]:
        script = environment.expert(task)
        if script is None:
            break
        played = await play_script(environment, task, script)
        if played.solved:
            plays.append(played)
    tokens = [] if count_tokens is None else [count_tokens(play) for play in plays]
    minutes = [value for task in cell.tasks if isinstance(value := task.metadata.get(HUMAN_MINUTES), int | float)]
    return TaskLength(
        horizon=cell.horizon,
        actions=_mean([len(play.rollout.turns) for play in plays]),
        tokens=_mean([sum(each) for each in tokens]),
        minutes=_mean(minutes) if len(minutes) == len(cell.tasks) else None,
        message_tokens=max((token for each in tokens for token in each), default=None),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

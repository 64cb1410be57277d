"""Which tasks a command works on: environment, levels and number, as options say."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.environments import Environment
    from assay.types import Task

Levels = Sequence[tuple[float | None, float | None]]


def choose_tasks(environment: Environment, split: Any, levels: Levels, num_tasks: int, seed: int) -> list[Task]:
    """The first tasks of each level; one that an easier level has too is taken there."""
    found: dict[str, Task] = {}
    for complexity, horizon in levels:
        tasks = environment.tasks(split, complexity=complexity, horizon=horizon, seed=seed)
        fresh = (task for task in tasks if task.task_id not in found)
        found |= {task.task_id: task for task in itertools.islice(fresh, num_tasks)}
    return list(found.values())


def choose_levels(environment: Environment, complexities: list[float], horizons: list[float]) -> Levels:
    """The listed levels that have the wanted dials; where none has them, the dials as they were asked for."""
    listed = [
        (complexity, horizon)
        for complexity, horizon in environment.levels()
        if (not complexities or complexity in complexities) and (not horizons or horizon in horizons)
    ]
    asked = list(itertools.product(complexities or [None], horizons or [None]))
    if complexities and horizons:
        return asked
    return listed or asked


def numbers(option: str, text: str | None) -> list[float]:
    """The numbers of an option such as 1,2,3; none where it was not given."""
    try:
        numbers = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option} {text}: expected numbers with commas between, such as 1,2,3")
    return numbers


def plain(settings: Any) -> dict[str, Any]:
    """What of a component's settings decides its results, as plain data."""
    from assay.verifiers import Verifier

    if isinstance(settings, Verifier):
        return settings.identity
    return settings.plain()


def tasks_hash(tasks: Sequence[Task]) -> str:
    """Names a list of tasks by their content."""
    return short_hash(" ".join(task.task_id for task in tasks).encode())


def short_hash(content: bytes) -> str:
    """The first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]

"""Learning-rate schedules: functions of how far a run is along, with no state of their own."""

from __future__ import annotations

import math
from typing import Literal

from assay.errors import ConfigError

Schedule = Literal["constant", "linear", "cosine"]


def learning_rate_factor(
    schedule: Schedule, update: int, warmup: int, num_updates: int | None, budget_spent: float = 0.0
) -> float:
    """Return the factor on the peak learning rate in one update.

    Warm-up rises in equal steps: update 0 has 1 / warmup, update warmup - 1 has 1. After it, "constant" stays at 1;
    "linear" and "cosine" fall so that the update after the last would have 0, and stay at 0 from there. A run that a
    budget of time or tokens ends before its last update falls over the budget: whichever is further along counts.

    Args:
        update: from 0.
        warmup: updates of warm-up; fewer than `num_updates`.
        num_updates: of the whole run; only "constant" can do without.
        budget_spent: share of the run's budget that is spent, from 0 to 1; 0 where it has none.

    Example:
        >>> [learning_rate_factor("linear", update, 2, 6) for update in range(6)]
        [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]
        >>> learning_rate_factor("linear", 2, 2, 6, budget_spent=0.75)
        0.25
    """
    if update < warmup:
        return (update + 1) / warmup
    if schedule == "constant":
        return 1.0
    assert num_updates is not None
    assert num_updates > warmup
    progress = min(1.0, max((update - warmup) / (num_updates - warmup), budget_spent))
    return 1.0 - progress if schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * progress))


def check_schedule(schedule: Schedule, warmup: int, num_updates: int | None) -> None:
    """Refuses a schedule that falls where nobody says until when, or where its warm-up leaves nothing to fall over.

    Raises:
        ConfigError: one of the two.
    """
    if schedule == "constant":
        return
    if num_updates is None:
        raise ConfigError(f"schedule {schedule!r} needs the number of steps; set num_steps, or use 'constant'")
    if warmup >= num_updates:
        raise ConfigError(
            f"warmup_steps {warmup} leaves nothing of {num_updates} updates for schedule {schedule!r}; lower it, or "
            "use 'constant'"
        )

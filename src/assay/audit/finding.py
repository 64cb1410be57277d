"""Finding: something that a reward pays and should not."""

from __future__ import annotations

from dataclasses import dataclass

from assay.statistics import Interval


@dataclass(frozen=True)
class Finding:
    """A trick that the reward pays."""

    trick: str
    paid: int
    tried: int
    rate: Interval
    """Share of the tasks on which it was tried that paid it."""
    example: str
    """The shortest response that was paid."""
    task_id: str
    """The task that paid it."""
    reason: str
    """Why it is a finding, in a clause."""
    judged_by: str
    """Who says that it is wrong."""

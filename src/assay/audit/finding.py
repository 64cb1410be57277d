"""Finding: something that a reward pays and should not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from assay.statistics import Interval

MAX_EXAMPLE = 4000
"""Characters of an example that are written to JSON."""


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

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "trick": self.trick,
            "rate": self.rate.value,
            "low": self.rate.low,
            "high": self.rate.high,
            "paid": self.paid,
            "tried": self.tried,
            "task": self.task_id,
            "example": self.example[:MAX_EXAMPLE],
            "why": self.reason,
            "judged_by": self.judged_by,
        }

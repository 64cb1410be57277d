"""A number with its 95 % interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import scipy.special

CONFIDENCE = 0.95
"""Every interval of Assay is a two-sided 95 % interval."""
NORMAL_QUANTILE = 1.959963984540054
"""The 0.975 quantile of the standard normal distribution."""


@cache
def t_quantile(freedom: int) -> float:
    """The 0.975 quantile of Student's t."""
    # Not scipy.stats, which calls this and takes a second to import.
    return float(scipy.special.stdtrit(freedom, (1 + CONFIDENCE) / 2))


@dataclass(frozen=True)
class Interval:
    """An estimate and the two ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} is not between {self.low} and {self.high}")

    @property
    def width(self) -> float:
        return self.high - self.low

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}

    def as_percent(self) -> str:
        """Return the interval in percent, for tables of proportions: "41.5 % [34.9, 48.4]"."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def __str__(self) -> str:
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"

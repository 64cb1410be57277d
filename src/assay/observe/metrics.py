"""Names of metrics, each explained where it is made.

    CLIP_SHARE = metric("loss/clip_share", "Share of trained-on tokens whose ratio left the clip range.")

Names are `area/thing_unit`. Those in the areas of OF_THE_MACHINE are left out when two runs are compared. One that ends
in NAME stands for every metric whose name begins as it does: those of what a recipe names.
"""

from __future__ import annotations

OF_THE_MACHINE = ("time/", "memory/")
"""Prefixes of the metrics that a run at the same seed need not repeat."""

METRICS: dict[str, str] = {}
"""Explanation by name, of every metric whose module was imported."""


def metric(name: str, explanation: str) -> str:
    """Registers the explanation of a metric and returns its name."""
    METRICS[name] = explanation
    return name


def explanation(name: str) -> str:
    """Return the explanation of a metric; empty where nobody registered it."""
    begins = next((known for known in METRICS if known.endswith("/NAME") and name.startswith(known[:-4])), "")
    return METRICS.get(name) or METRICS.get(begins, "")

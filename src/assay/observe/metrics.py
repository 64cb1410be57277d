"""Names of metrics, each explained where it is made.

    CLIP_SHARE = metric("loss/clip_share", "Share of trained-on tokens whose ratio left the clip range.")

Names are `area/thing_unit`. Those that start with `time/` are clock readings, left out when two runs are compared.
"""

from __future__ import annotations

METRICS: dict[str, str] = {}
"""Name to explanation, of every metric whose module was imported."""


def metric(name: str, explanation: str) -> str:
    """Registers the explanation of a metric and returns its name."""
    METRICS[name] = explanation
    return name

"""Names of metrics, each explained where it is made.

    CLIP_SHARE = metric("loss/clip_share", "Share of trained-on tokens whose ratio left the clip range.")

Names are `area/thing_unit`. Those in the areas of OF_THE_MACHINE are left out when two runs are compared. NAME stands
for whatever a recipe names, as in `environment/NAME/solved_share`.
"""

from __future__ import annotations

import re

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
    if name in METRICS:
        return METRICS[name]
    fitting = [k for k in METRICS if "NAME" in k and re.fullmatch(re.escape(k).replace("NAME", ".+"), name, re.DOTALL)]
    return METRICS[max(fitting, key=len)] if fitting else ""

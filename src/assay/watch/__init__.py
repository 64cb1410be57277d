"""The watch: looks, while a reward is optimised, for signs that it is hacked."""

from __future__ import annotations

from assay.watch.canaries import Canaries, canary_of
from assay.watch.settings import WatchSettings
from assay.watch.signals import SIGNALS, Baseline, Signal, Watched
from assay.watch.streams import Alarm, Example, Streams

__all__ = [
    "SIGNALS",
    "Alarm",
    "Baseline",
    "Canaries",
    "Example",
    "Signal",
    "Streams",
    "WatchSettings",
    "Watched",
    "canary_of",
]

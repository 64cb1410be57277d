"""Rollouts: `run_rollout` plays one episode; `Collector` plays groups of them and is the only owner of tasks, queues
and timeouts. `Demonstrations` hands out what somebody else wrote."""

from __future__ import annotations

from assay.rollout.collector import Collector
from assay.rollout.comparisons import Comparisons
from assay.rollout.demonstrations import Demonstrations
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import MaxTurns, run_rollout

__all__ = ["Collector", "Comparisons", "Demonstrations", "EpisodeLimits", "MaxTurns", "run_rollout"]

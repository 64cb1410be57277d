"""Rollouts: `run_rollout` plays one episode; `Collector` plays groups of them and is the only owner of tasks, queues
and timeouts. `Demonstrations` hands out what somebody else wrote."""

from __future__ import annotations

from assay.rollout.collector import Collector
from assay.rollout.demonstrations import Demonstrations
from assay.rollout.given_responses import GivenResponses
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import MaxTurns, run_rollout

__all__ = ["Collector", "Demonstrations", "EpisodeLimits", "GivenResponses", "MaxTurns", "run_rollout"]

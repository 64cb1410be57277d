"""Advantage estimators, from rewards to the advantage of each rollout: pure functions, no state, no policy."""

from __future__ import annotations

from assay.estimators.gae import gae
from assay.estimators.group import group_mean, leave_one_out, no_baseline, standardised, standardised_apart
from assay.estimators.overlong import overlong_penalty
from assay.estimators.pass_at_k import best_of_k
from assay.estimators.turns import anchored, at_turn, in_state, returns_to_go, visits
from assay.estimators.whiten import whitened

__all__ = [
    "anchored",
    "at_turn",
    "best_of_k",
    "gae",
    "group_mean",
    "in_state",
    "leave_one_out",
    "no_baseline",
    "overlong_penalty",
    "returns_to_go",
    "standardised",
    "standardised_apart",
    "visits",
    "whitened",
]

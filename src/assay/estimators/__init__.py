"""From the rewards of one group to the advantage of each member: pure tensor functions, no state, no policy."""

from __future__ import annotations

from assay.estimators.group import group_mean, leave_one_out, no_baseline, standardised

__all__ = ["group_mean", "leave_one_out", "no_baseline", "standardised"]

"""Error bars: intervals of proportions and means, paired differences, pass@k. Every number gets its interval here.

Pure functions of numbers, without torch. Bad input is a ValueError that names it. Which interval is used where, and how
often each covers the truth: docs/concepts/intervals.md.
"""

from __future__ import annotations

from assay.statistics.interval import Interval
from assay.statistics.mean import t_interval
from assay.statistics.paired import PairedDifference, mcnemar_exact, paired_difference, sign_flip_test
from assay.statistics.pass_at_k import pass_at_k, pass_at_k_interval, pass_hat_k, pass_hat_k_interval
from assay.statistics.power import detectable_difference
from assay.statistics.proportion import clustered_mean, clustered_proportion, wilson
from assay.statistics.seeds import difference_over_seeds, proportion_over_seeds, seeds_excess

__all__ = [
    "Interval",
    "PairedDifference",
    "clustered_mean",
    "clustered_proportion",
    "detectable_difference",
    "difference_over_seeds",
    "mcnemar_exact",
    "paired_difference",
    "pass_at_k",
    "pass_at_k_interval",
    "pass_hat_k",
    "pass_hat_k_interval",
    "proportion_over_seeds",
    "seeds_excess",
    "sign_flip_test",
    "t_interval",
    "wilson",
]

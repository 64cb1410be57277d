"""Error bars: intervals of proportions and means, paired differences and tests, pass@k, pass^k and majority@k,
horizons, ratings from comparisons, intervals that hold under stopping, power. Every number gets its interval here.

Pure functions of numbers, without torch. Bad input is a ValueError that names it. Which interval is used where, and how
often each covers the truth: docs/concepts/intervals.md.
"""

from __future__ import annotations

from assay.statistics.agreement import Agreement, krippendorff_alpha
from assay.statistics.bootstrap import nested_rows, paired_bootstrap
from assay.statistics.bradley_terry import Comparisons, Ratings, fit_bradley_terry
from assay.statistics.confidence_sequence import ConfidenceSequence
from assay.statistics.firth import LogisticFit, fit_with_covariance
from assay.statistics.frontier import Frontier, fit_frontier
from assay.statistics.hazard import Hazard, fit_hazard
from assay.statistics.horizon import Horizon, HorizonRows, fit_horizons
from assay.statistics.interval import Interval
from assay.statistics.length_control import LengthControlled, length_controlled_rate
from assay.statistics.logistic import fit_logistic
from assay.statistics.majority import Votes, majority_at_k, majority_at_k_difference, majority_at_k_interval
from assay.statistics.mean import t_interval
from assay.statistics.multiple import holm
from assay.statistics.noise_floor import noise_floor
from assay.statistics.paired import PairedDifference, mcnemar_exact, paired_difference, paired_mean_difference
from assay.statistics.pass_at_k import (
    pass_at_k,
    pass_at_k_difference,
    pass_at_k_interval,
    pass_hat_k,
    pass_hat_k_difference,
    pass_hat_k_interval,
)
from assay.statistics.permutation import permutation_test, sign_flip_test
from assay.statistics.power import Design, Spread, detectable_difference, detectable_gain, power_of, tasks_needed
from assay.statistics.prediction_powered import PredictionPowered, prediction_powered_mean
from assay.statistics.profile import Estimate
from assay.statistics.proportion import clustered_mean, clustered_proportion, wilson
from assay.statistics.ratio import ratio_over_seeds
from assay.statistics.reliability import Reliability, annotator_reliability
from assay.statistics.seeds import (
    difference_over_seeds,
    difference_test_over_seeds,
    proportion_over_seeds,
    seeds_excess,
)

__all__ = [
    "Agreement",
    "Comparisons",
    "ConfidenceSequence",
    "Design",
    "Estimate",
    "Frontier",
    "Hazard",
    "Horizon",
    "HorizonRows",
    "Interval",
    "LengthControlled",
    "LogisticFit",
    "PairedDifference",
    "PredictionPowered",
    "Ratings",
    "Reliability",
    "Spread",
    "Votes",
    "annotator_reliability",
    "clustered_mean",
    "clustered_proportion",
    "detectable_difference",
    "detectable_gain",
    "difference_over_seeds",
    "difference_test_over_seeds",
    "fit_bradley_terry",
    "fit_frontier",
    "fit_hazard",
    "fit_horizons",
    "fit_logistic",
    "fit_with_covariance",
    "holm",
    "krippendorff_alpha",
    "length_controlled_rate",
    "majority_at_k",
    "majority_at_k_difference",
    "majority_at_k_interval",
    "mcnemar_exact",
    "nested_rows",
    "noise_floor",
    "paired_bootstrap",
    "paired_difference",
    "paired_mean_difference",
    "pass_at_k",
    "pass_at_k_difference",
    "pass_at_k_interval",
    "pass_hat_k",
    "pass_hat_k_difference",
    "pass_hat_k_interval",
    "permutation_test",
    "power_of",
    "prediction_powered_mean",
    "proportion_over_seeds",
    "ratio_over_seeds",
    "seeds_excess",
    "sign_flip_test",
    "t_interval",
    "tasks_needed",
    "wilson",
]

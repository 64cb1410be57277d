"""Which pair an annotator is shown next: the one that tells most, with a share of repeats and of pairs that others have
judged."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from assay.preferences.collected import Key
from assay.preferences.pair import Pair
from assay.seeds import derive_seed
from assay.statistics.bradley_terry import Comparisons, fit_bradley_terry, names_and_numbers
from assay.statistics.firth import sigmoid
from assay.statistics.interval import NORMAL_QUANTILE

Uncertainty = Callable[[str | None, str | None], float]


def pair_uncertainty(judged: Sequence[Pair]) -> Uncertainty:
    """Return how much a comparison of two models would tell, from the judgements so far: Fisher's information of one
    more comparison, p (1 - p), times the variance of the difference of their Bradley-Terry ratings (taken as that of
    independent ratings). Infinite where the judgements do not bound it, 0 where the models are not known or are one."""
    known = [
        pair for pair in judged if pair.first_model and pair.second_model and pair.first_model != pair.second_model
    ]
    rated: Mapping[str, tuple[float, float, int]] = {}
    if known:
        names, first, second = names_and_numbers(
            [str(pair.first_model) for pair in known], [str(pair.second_model) for pair in known]
        )
        preference = np.array([pair.preference for pair in known])
        ratings = fit_bradley_terry(Comparisons(first, second, preference, len(names)))
        part_of = {item: number for number, part in enumerate(ratings.parts) for item in part}
        rated = {
            name: (each.value or 0.0, _variance(each.low, each.high), part_of[number])
            for number, (name, each) in enumerate(zip(names, ratings.estimates, strict=True))
        }

    def uncertainty(first: str | None, second: str | None) -> float:
        if not first or not second or first == second:
            return 0.0
        if first not in rated or second not in rated or rated[first][2] != rated[second][2]:
            return math.inf
        (one, variance, _), (other, other_variance, _) = rated[first], rated[second]
        win = float(sigmoid(np.array(other - one)))
        return win * (1 - win) * (variance + other_variance)

    return uncertainty


def _variance(low: float | None, high: float | None) -> float:
    return math.inf if low is None or high is None else ((high - low) / (2 * NORMAL_QUANTILE)) ** 2


def due_repeat(own: Sequence[Key], judged: set[Key], share: float, apart: int, all_done: bool) -> Key | None:
    """Return the pair that an annotator is to judge once more, the earliest of those judged once; None where no repeat
    is due.

    Args:
        own: the pairs of the annotator's judgements, in order, repeats included.
        judged: those of them that can be shown.
        share: of an annotator's pairs, those that are judged twice.
        apart: judgements that lie between at least, unless there is nothing else left (`all_done`).
    """
    times = Counter(own)
    if len(own) - len(times) >= num_repeats(len(times), share):
        return None
    earlier = own if all_done else own[: max(0, len(own) - apart)]
    return next((key for key in earlier if times[key] == 1 and key in judged), None)


def num_repeats(num_pairs: int, share: float) -> int:
    """Return how many of an annotator's pairs are judged twice."""
    return math.floor(share * num_pairs + 1e-9)


def best_pair(
    candidates: Mapping[Key, Pair], times_judged: Mapping[Key, int], uncertainty: Uncertainty, seed: int
) -> Key:
    """Return the pair to show: the least judged first, among these the most uncertain, and where that leaves several
    one by chance, which the seed decides."""
    known: dict[tuple[str | None, str | None], float] = {}

    def order(key: Key) -> tuple[int, float, int]:
        pair = candidates[key]
        models = (pair.first_model, pair.second_model)
        if models not in known:
            known[models] = uncertainty(*models)
        return times_judged.get(key, 0), -known[models], derive_seed(seed, "collect", *key)

    return min(candidates, key=order)

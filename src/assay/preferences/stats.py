"""What a set of comparisons says of itself: ties, biases, repeats, agreement, and the time that it took."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special

from assay.errors import DataError
from assay.preferences.pair import TIE, Pair, text_of_messages
from assay.preferences.read import contradictions
from assay.statistics.agreement import Agreement, krippendorff_alpha
from assay.statistics.firth import clustered_errors, fit_with_covariance
from assay.statistics.interval import NORMAL_QUANTILE, Interval
from assay.statistics.profile import Estimate
from assay.statistics.proportion import clustered_proportion, wilson
from assay.statistics.reliability import Reliability, annotator_reliability

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Bias:
    """A bias of comparisons: how often it decides, and how strong it is."""

    num: int
    """Comparisons that tell."""
    share: Interval | None
    """The share of strict preferences that go with the bias; a half for none."""
    coefficient: Interval | None
    """Log odds: of a length twice that of the other, or of the second place over the first at equal lengths; 0 for
    none."""
    is_separated: bool = False
    """True where the bias explains every comparison, and Firth's penalty keeps the coefficient finite."""


@dataclass(frozen=True)
class Repeats:
    """Pairs that one annotator has judged more than once."""

    num: int
    """Such pairs, counted for each annotator."""
    same: Interval | None
    """The share of them whose judgements all agree; None for no repeat."""
    swapped: Interval | None
    """The same of those that were seen in both orders; None where orders are not known, or were not changed."""


@dataclass(frozen=True)
class Annotator:
    """What one annotator did."""

    num: int
    num_ties: int
    longer: Interval | None
    """The share of strict preferences for the longer response."""
    second: Interval | None
    """The share of strict preferences for the response that was shown second."""
    repeats: Repeats
    seconds: Estimate
    """The median of seconds for a judgement."""
    reliability: Reliability | None = None
    """The share of judgements that are right, by what others said of the same pairs; None where nobody else judged."""


@dataclass(frozen=True)
class PairStats:
    """What a set of comparisons says of itself."""

    num: int
    num_prompts: int
    num_distinct: int
    """Pairs that differ in their prompt or a response, whatever the order."""
    num_ties: int
    ties: Interval
    length: Bias
    position: Bias
    repeats: Repeats
    num_contradictions: int
    """Pairs that one annotator (or nobody says who) judged both ways."""
    agreement: Agreement
    num_timed: int
    seconds: Estimate
    """The median of seconds for a judgement; unknown where nobody took the time."""
    annotators: dict[str, Annotator]
    """By name, most judgements first; empty where nobody says who judged."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what is not known is null."""
        found = _plain(self)
        found["agreement"] |= {"alpha": self.agreement.alpha.to_dict()}
        return found


def _plain(value: Any) -> Any:
    if isinstance(value, Interval | Estimate):
        return value.to_dict()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return {key: _plain(each) for key, each in vars(value).items()} if hasattr(value, "__dict__") else value


def pair_stats(pairs: Sequence[Pair], seed: int = 0) -> PairStats:
    """Return what comparisons say of themselves. Intervals allow for several pairs of one prompt.

    Args:
        seed: of the bootstrap of the agreement.

    Raises:
        DataError: there are no pairs.
    """
    if not pairs:
        raise DataError("there are no pairs to count")
    keys = [pair.key for pair in pairs]
    by_annotator: dict[str, list[int]] = defaultdict(list)
    for number, pair in enumerate(pairs):
        if pair.annotator is not None:
            by_annotator[pair.annotator].append(number)
    units = units_of(pairs, keys)
    reliabilities = annotator_reliability(units, seed=seed)
    annotators = {
        name: _annotator(
            [pairs[number] for number in numbers], [keys[number] for number in numbers], reliabilities.get(name)
        )
        for name, numbers in sorted(by_annotator.items(), key=lambda item: (-len(item[1]), item[0]))
    }
    timed = [pair.seconds for pair in pairs if pair.seconds is not None]
    return PairStats(
        num=len(pairs),
        num_prompts=len({key[0] for key in keys}),
        num_distinct=len(set(keys)),
        num_ties=sum(pair.is_tie for pair in pairs),
        ties=_share([float(pair.is_tie) for pair in pairs], [key[0] for key in keys]),
        length=length_bias(pairs, keys),
        position=position_bias(pairs, keys),
        repeats=repeats_of(pairs, keys),
        num_contradictions=len(contradictions(pairs)),
        agreement=krippendorff_alpha(units, seed=seed),
        num_timed=len(timed),
        seconds=median(timed),
        annotators=annotators,
    )


def _annotator(pairs: Sequence[Pair], keys: Sequence[Key], reliability: Reliability | None) -> Annotator:
    known = [number for number, pair in enumerate(pairs) if pair.order_known]
    return Annotator(
        num=len(pairs),
        num_ties=sum(pair.is_tie for pair in pairs),
        longer=_longer_share(pairs, keys),
        second=_second_share([pairs[number] for number in known], [keys[number] for number in known]),
        repeats=repeats_of(pairs, keys),
        seconds=median([pair.seconds for pair in pairs if pair.seconds is not None]),
        reliability=reliability,
    )


def length_bias(pairs: Sequence[Pair], keys: Sequence[Key]) -> Bias:
    """How much longer responses are preferred. The coefficient is that of the logarithm to base 2 of the ratio of their
    lengths, in characters, in a logistic regression of the preference without a constant, so that it is the same
    whichever response stands first."""
    ratios = np.array([_log_ratio(pair) for pair in pairs])
    tells = np.flatnonzero(ratios != 0)
    coefficient, separated = _coefficient(ratios[tells, None], pairs, keys, tells)
    return Bias(len(tells), _longer_share(pairs, keys), coefficient, separated)


def position_bias(pairs: Sequence[Pair], keys: Sequence[Key]) -> Bias:
    """How much the response that was shown second is preferred, at equal lengths: the constant beside `length_bias`'s
    term. Only of pairs whose order is known."""
    known = [number for number, pair in enumerate(pairs) if pair.order_known]
    if not known:
        return Bias(0, None, None)
    own, own_keys = [pairs[number] for number in known], [keys[number] for number in known]
    ratios = np.array([_log_ratio(pair) for pair in own])
    design = np.stack([np.ones(len(own)), ratios], axis=1) if np.ptp(ratios) > 0 else np.ones((len(own), 1))
    coefficient, separated = _coefficient(design, own, own_keys, np.arange(len(own)))
    return Bias(len(known), _second_share(own, own_keys), coefficient, separated)


def _coefficient(
    design: np.ndarray, pairs: Sequence[Pair], keys: Sequence[Key], rows: np.ndarray
) -> tuple[Interval | None, bool]:
    """The first coefficient with its interval, clustered by prompt, and whether the rows are separated."""
    preference = np.array([pairs[number].preference for number in rows])
    prompts = np.array([keys[number][0] for number in rows])
    try:
        fit = fit_with_covariance(design, preference)
    except ValueError:
        return None, False
    value = float(fit.coefficients[0])
    half = NORMAL_QUANTILE * float(clustered_errors(fit, design, preference, prompts)[0])
    return Interval(value, value - half, value + half), fit.is_separated


def _log_ratio(pair: Pair) -> float:
    lengths = [max(len(text_of_messages(side)), 1) for side in (pair.first, pair.second)]
    return math.log2(lengths[1] / lengths[0])


def _longer_share(pairs: Sequence[Pair], keys: Sequence[Key]) -> Interval | None:
    return _strict_share([(pair.preference, _log_ratio(pair)) for pair in pairs], keys)


def _second_share(pairs: Sequence[Pair], keys: Sequence[Key]) -> Interval | None:
    return _strict_share([(pair.preference, 1.0) for pair in pairs], keys)


def _strict_share(preferences: Sequence[tuple[float, float]], keys: Sequence[Key]) -> Interval | None:
    """The share of strict preferences for the side that a sign names: above 0 the second."""
    tells = [
        (float((preference > TIE) == (sign > 0)), key[0])
        for (preference, sign), key in zip(preferences, keys, strict=True)
        if preference != TIE and sign != 0
    ]
    return _share([value for value, _ in tells], [prompt for _, prompt in tells]) if tells else None


def _share(values: Sequence[float], prompts: Sequence[str]) -> Interval:
    """A share over pairs, each prompt weighing the same, with its interval over prompts."""
    of_prompt: dict[str, list[float]] = defaultdict(list)
    for value, prompt in zip(values, prompts, strict=True):
        of_prompt[prompt].append(value)
    means = [sum(each) / len(each) for each in of_prompt.values()]
    return clustered_proportion(means, len(values))


def repeats_of(pairs: Sequence[Pair], keys: Sequence[Key]) -> Repeats:
    """How one annotator's judgements of the same pair agree: better, worse or a tie, whatever the order."""
    judged: dict[Any, list[Pair]] = defaultdict(list)
    for pair, key in zip(pairs, keys, strict=True):
        judged[(key, pair.annotator)].append(pair)
    same, swapped = [], []
    for again in judged.values():
        if len(again) < 2:
            continue
        verdicts = {_verdict(pair) for pair in again}
        same.append(len(verdicts) == 1)
        if len({pair.is_in_key_order for pair in again if pair.order_known}) == 2:
            swapped.append(len(verdicts) == 1)
    shares = [wilson(sum(each), len(each)) if each else None for each in (same, swapped)]
    return Repeats(len(same), shares[0], shares[1])


def _verdict(pair: Pair) -> int:
    """-1, 0 or 1: which response of `Pair.key` is better."""
    sign = (pair.preference > TIE) - (pair.preference < TIE)
    return sign if pair.is_in_key_order else -sign


def units_of(pairs: Sequence[Pair], keys: Sequence[Key]) -> list[dict[str, float]]:
    """Return of each distinct pair what each annotator preferred, in the order of its key; of repeats the first
    judgement counts. Krippendorff's alpha of these has a tie a quarter as far from a win as a loss is."""
    units: dict[Key, dict[str, float]] = defaultdict(dict)
    for pair, key in zip(pairs, keys, strict=True):
        if pair.annotator is not None:
            preference = pair.preference if pair.is_in_key_order else 1 - pair.preference
            units[key].setdefault(pair.annotator, preference)
    return list(units.values())


def median(values: Sequence[float]) -> Estimate:
    """The median, with the interval between two of the values that covers it whatever their distribution is; open where
    there are too few values for one (fewer than six).

    The ends are the k-th smallest and the k-th largest value with the largest k for which a binomial of one half is
    below k no more often than 2.5 % (David and Nagaraja 2003, "Order Statistics", section 7.1).
    """
    ordered = sorted(values)
    if not ordered:
        return Estimate(None, None, None)
    count = len(ordered)
    below = scipy.special.bdtr(np.arange(count), count, 0.5)
    k = int((below <= 0.025).sum())
    low, high = (None, None) if k == 0 else (ordered[k - 1], ordered[count - k])
    return Estimate(float(np.median(ordered)), low, high)

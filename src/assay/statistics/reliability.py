"""How often each annotator judges right, from judgements of the same units alone: nobody need know the truth.

Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM algorithm", Applied Statistics
28, with two answers and one error rate an annotator:

    each unit has a true answer, either as likely
    annotator k says it with probability r_k, independently of the others

A tie is half of either answer. One judgement right and one wrong are added to each annotator's, so that nobody is at 0
or 1. Annotators who share a bias look more reliable than they are: what all of them get wrong is the truth here.

Shape letters: J judgements, U units, K annotators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from assay.statistics.profile import Estimate
from assay.statistics.proportion import wilson

_START = 0.8
"""Above one half: what most say is true."""
_TOLERANCE = 1e-9
_MAX_ROUNDS = 1000
_ROUNDS_OF_A_DRAW = 50
NUM_DRAWS = 400


@dataclass(frozen=True)
class Reliability:
    """The share of one annotator's judgements that are right."""

    share: Estimate
    """With its 95 % interval; no value where it is not defined."""
    num_units: int
    """Units that another annotator judged too."""
    undefined: str = ""
    """Why there is no value; empty where there is one."""


def annotator_reliability(
    values: Sequence[Mapping[str, float]], *, num_draws: int = NUM_DRAWS, seed: int = 0
) -> dict[str, Reliability]:
    """Return the reliability of each annotator, by name.

    Two who judged the same units tell how often they agree and not which of them errs: an annotator has a value where
    two others judged units with it and with each other. The interval is that of a bootstrap over units, and never
    narrower than Wilson's of the share if the truth were known: of annotators who agree throughout a bootstrap has no
    spread.

    Args:
        values: of each unit the answer that each annotator gave: 0, 1, or 0.5 for a tie.

    Raises:
        ValueError: a value outside [0, 1].

    Example:
        >>> three = [{"ada": 1, "bob": 1, "eve": 1}] * 8 + [{"ada": 1, "bob": 1, "eve": 0}] * 2
        >>> {name: round(found.share.value, 2) for name, found in annotator_reliability(three).items()}
        {'ada': 0.91, 'bob': 0.91, 'eve': 0.75}
    """
    names = sorted({name for unit in values for name in unit})
    place = {name: number for number, name in enumerate(names)}
    given = [(name, value) for unit in values for name, value in unit.items()]
    if bad := next(((name, value) for name, value in given if not 0 <= value <= 1), None):
        raise ValueError(f"an answer is from 0 to 1, got {bad[1]} of {bad[0]!r}")
    units = [unit for unit in values if len(unit) > 1]
    judgements = _Judgements(
        np.array([number for number, unit in enumerate(units) for _ in unit], dtype=np.int64),
        np.array([place[name] for unit in units for name in unit], dtype=np.int64),
        np.array([2 * value - 1 for unit in units for value in unit.values()], dtype=np.float64),
        len(units),
        len(names),
    )
    is_told_K = judgements.in_triangles()
    share_K = judgements.shares(np.ones(len(units)), np.full(len(names), _START), _MAX_ROUNDS)
    random = np.random.default_rng(seed)
    draws = [
        judgements.shares(
            np.bincount(random.integers(len(units), size=len(units)), minlength=len(units)), share_K, _ROUNDS_OF_A_DRAW
        )
        for _ in range(num_draws if is_told_K.any() else 0)
    ]
    num_units_K = np.bincount(judgements.annotators, minlength=len(names))
    found = {}
    for name, number in place.items():
        num_units = int(num_units_K[number])
        if not is_told_K[number]:
            why = (
                "no two others judged pairs with it and with each other"
                if num_units
                else "nobody else judged its pairs"
            )
            found[name] = Reliability(Estimate(None, None, None), num_units, why)
            continue
        share = float(share_K[number])
        low, high = np.quantile([draw[number] for draw in draws], (0.025, 0.975))
        known = wilson(min(max(share * (num_units + 2) - 1, 0.0), num_units), num_units)
        low, high = min(float(low), known.low), max(float(high), known.high)
        found[name] = Reliability(Estimate(share, low, high), num_units)
    return found


@dataclass(frozen=True)
class _Judgements:
    """J judgements of U units by K annotators."""

    units: np.ndarray
    """[J] number of the unit."""
    annotators: np.ndarray
    """[J] number of the annotator."""
    signs: np.ndarray
    """[J] 1 for the answer 1, -1 for 0, 0 for a tie."""
    num_units: int
    num_annotators: int

    def in_triangles(self) -> np.ndarray:
        """[K] whether two others judged units with an annotator and with each other."""
        shape = (self.num_units, self.num_annotators)
        judged = scipy.sparse.csr_array((np.ones(len(self.units)), (self.units, self.annotators)), shape=shape)
        together = (judged.T @ judged > 0).astype(np.int64)
        together.setdiag(0)
        return np.asarray((together @ together).multiply(together).sum(axis=1)).ravel() > 0

    def shares(self, weights_U: np.ndarray, start_K: np.ndarray, max_rounds: int) -> np.ndarray:
        """[K] the share of each annotator's judgements that are right, by expectation and maximisation from a start.

        Args:
            weights_U: how often each unit counts.
        """
        weights_J = weights_U[self.units]
        counts_K = np.bincount(self.annotators, weights_J, self.num_annotators)
        share_K = start_K
        for _ in range(max_rounds):
            # Log-odds that the true answer is 1, and with it how often each annotator is expected to have been right.
            log_odds_J = self.signs * np.log(share_K / (1 - share_K))[self.annotators]
            truth_U = np.tanh(np.bincount(self.units, log_odds_J, self.num_units) / 2)
            agreed_J = weights_J * truth_U[self.units] * self.signs
            right_K = (counts_K + np.bincount(self.annotators, agreed_J, self.num_annotators)) / 2
            updated_K = (right_K + 1) / (counts_K + 2)
            if float(np.abs(updated_K - share_K).max(initial=0.0)) < _TOLERANCE:
                return updated_K
            share_K = updated_K
        return share_K

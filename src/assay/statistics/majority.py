"""majority@k: solved by the commonest of k answers. Unbiased from n >= k samples a task, as pass@k is."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.statistics.interval import Interval
from assay.statistics.paired import PairedDifference, paired_difference
from assay.statistics.pass_at_k import num_draws_of
from assay.statistics.proportion import clustered_proportion


@dataclass(frozen=True)
class Votes:
    """The answers of a task's samples, counted."""

    num_correct: int
    """Samples whose answer is right, in whatever words."""
    wrong: tuple[int, ...] = ()
    """How many samples gave each wrong answer."""
    num_silent: int = 0
    """Samples without an answer, which do not vote."""

    def __post_init__(self) -> None:
        if min(self.num_correct, self.num_silent, *self.wrong, 0) < 0:
            raise ValueError(f"counts cannot be negative: {self}")

    @property
    def num_samples(self) -> int:
        return self.num_correct + sum(self.wrong) + self.num_silent

    @classmethod
    def of(cls, answers: Iterable[tuple[str | None, bool]]) -> Votes:
        """Votes of (answer, whether it is right); answers that are right are one, None and blank ones are silent."""
        correct, silent, wrong = 0, 0, Counter[str]()
        for answer, right in answers:
            if right:
                correct += 1
            elif answer is None or not answer.strip():
                silent += 1
            else:
                wrong[answer.strip()] += 1
        return cls(correct, tuple(sorted(wrong.values(), reverse=True)), silent)


def majority_at_k(votes: Votes, k: int) -> float:
    """Probability that the commonest answer of k samples, drawn without replacement, is right; ties are drawn by lot.

    The sum over j right ones among the k of the share of subsets in which no wrong answer is commoner, each counted as
    1 / (1 + t) where t wrong ones are as common. A subset in which nobody votes is not solved. The vote is that of
    Wang et al. 2022, "Self-consistency improves chain of thought reasoning in language models",
    https://arxiv.org/abs/2203.11171; averaged over all subsets of n samples it has no bias (a U-statistic, Hoeffding
    1948), as pass@k.

    Raises:
        ValueError: k outside [1, number of samples].

    Example:
        >>> majority_at_k(Votes(2, (2,)), 3)
        0.5
    """
    if not 1 <= k <= votes.num_samples:
        raise ValueError(f"k must be between 1 and the number of samples ({votes.num_samples}), got {k}")
    total = 0.0
    for j in range(1, min(votes.num_correct, k) + 1):
        # ways[t, s]: of choosing s wrong samples so that t answers have j of them and none more.
        most_tied = min(k // j, sum(count >= j for count in votes.wrong))
        ways = np.zeros((most_tied + 1, k - j + 1))
        ways[0, 0] = 1.0
        for count in votes.wrong:
            after = np.zeros_like(ways)
            for chosen in range(min(count, j, k - j) + 1):
                tied = int(chosen == j)
                source = ways[: ways.shape[0] - tied, : k - j + 1 - chosen]
                after[tied:, chosen:] += math.comb(count, chosen) * source
            ways = after
        silent = np.array([float(math.comb(votes.num_silent, k - j - chosen)) for chosen in range(k - j + 1)])
        by_tied = ways @ silent
        total += math.comb(votes.num_correct, j) * float((by_tied / np.arange(1, len(by_tied) + 1)).sum())
    return min(total / math.comb(votes.num_samples, k), 1.0)


def majority_at_k_interval(votes_P: Sequence[Votes], k: int) -> Interval:
    """Mean of majority@k over tasks, with an interval over tasks; as `pass_at_k_interval`.

    Raises:
        ValueError: no tasks, or as `majority_at_k`.
    """
    return clustered_proportion([majority_at_k(votes, k) for votes in votes_P], _num_draws(votes_P, k))


def majority_at_k_difference(before_P: Sequence[Votes], after_P: Sequence[Votes], k: int) -> PairedDifference:
    """Difference in majority@k of the same tasks in the same order, after - before; as `paired_difference`.

    Raises:
        ValueError: other tasks before than after, or as `majority_at_k`.
    """
    sides = [[majority_at_k(votes, k) for votes in side] for side in (before_P, after_P)]
    sizes = (_num_draws(before_P, k), _num_draws(after_P, k))
    return paired_difference(*sides, num_samples=sizes, are_shares=False)


def _num_draws(votes_P: Sequence[Votes], k: int) -> int:
    return num_draws_of([votes.num_samples for votes in votes_P], k)

"""Permutation tests: exact where all arrangements can be tried, and never a p-value of 0 where they cannot."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

NUM_PERMUTATIONS = 20_000
MAX_ENUMERATED = 14
"""Most changed tasks for which all 2^n sign patterns are tried; beyond, `NUM_PERMUTATIONS` random ones."""


def sign_flip_test(differences_P: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided paired permutation test: the share of sign patterns whose sum is at least as far from zero.

    All patterns are tried for up to `MAX_ENUMERATED` tasks that changed; beyond, random ones from a fixed seed, the
    observed pattern counted among them, so that the p-value is never 0 (Phipson and Smyth 2010, "Permutation p-values
    should never be zero", Statistical Applications in Genetics and Molecular Biology 9).

    Raises:
        ValueError: a difference that is not finite.
    """
    differences = np.asarray(differences_P, dtype=np.float64)
    if not np.isfinite(differences).all():
        raise ValueError("a difference is not finite")
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    # A pattern that ties with the observed one must count, whatever order it was summed in.
    observed = abs(float(changed.sum())) - 1e-9 * float(np.abs(changed).sum())
    if len(changed) <= MAX_ENUMERATED:
        patterns = np.arange(2 ** len(changed))[:, None] >> np.arange(len(changed)) & 1
        sums = (2 * patterns - 1) @ changed
        return float((np.abs(sums) >= observed).mean())
    generator = np.random.default_rng(seed)
    at_least, block = 0, 1000
    for _ in range(NUM_PERMUTATIONS // block):
        signs = 2.0 * generator.integers(0, 2, size=(block, len(changed))) - 1.0
        at_least += int((np.abs(signs @ changed) >= observed).sum())
    return (at_least + 1) / (NUM_PERMUTATIONS + 1)


def permutation_test(first: Sequence[float], second: Sequence[float], *, seed: int = 0) -> float:
    """Two-sided p-value that two groups without pairs, such as the seeds of two recipes, are alike: the share of all
    ways to part their values into groups of these sizes whose means are at least as far apart.

    Exact for up to `NUM_PERMUTATIONS` ways; beyond, so many random ones, the observed one among them. Three values
    against three can have no p-value below 0.1: there are 20 ways. Fisher 1935, "The Design of Experiments".

    Raises:
        ValueError: an empty group, or a value that is not finite.

    Example:
        >>> permutation_test([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
        0.1
    """
    values = np.concatenate([np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)])
    size, count = len(first), len(values)
    if not 0 < size < count or not np.isfinite(values).all():
        raise ValueError(f"a permutation test needs two groups of finite values, got {list(first)} and {list(second)}")
    # Over all ways the total stays, so the first group's sum says how far the means are apart.
    expected, slack = size * float(values.mean()), 1e-9 * float(np.abs(values).sum())
    observed = abs(float(values[:size].sum()) - expected) - slack
    if math.comb(count, size) <= NUM_PERMUTATIONS:
        ways = np.array(list(itertools.combinations(range(count), size)))
        return float((np.abs(values[ways].sum(1) - expected) >= observed).mean())
    generator = np.random.default_rng(seed)
    at_least = 0
    for _ in range(NUM_PERMUTATIONS):
        at_least += abs(float(generator.permutation(values)[:size].sum()) - expected) >= observed
    return (at_least + 1) / (NUM_PERMUTATIONS + 1)

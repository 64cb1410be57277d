from __future__ import annotations

import itertools

import pytest

from assay.environments.arithmetic.permutation import permuted


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 45, 64, 65, 4095, 5000])
def test_visits_every_number_exactly_once(size: int) -> None:
    assert sorted(permuted(size, seed=3)) == list(range(size))


def test_order_is_fixed_by_the_seed() -> None:
    assert list(permuted(1000, seed=1)) == list(permuted(1000, seed=1))
    assert list(permuted(1000, seed=1)) != list(permuted(1000, seed=2))


def test_order_looks_random() -> None:
    # Mean of a sample without replacement: standard error 1000 / sqrt(12 * 100) = 29; neighbours do not follow on.
    first = list(itertools.islice(permuted(1000, seed=5), 100))
    assert abs(sum(first) / 100 - 499.5) < 120
    assert sum(abs(a - b) < 10 for a, b in itertools.pairwise(first)) < 15


def test_a_space_larger_than_memory() -> None:
    first = list(itertools.islice(permuted(10**200, seed=0), 50))
    assert len(set(first)) == 50
    assert max(first) > 10**198

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from assay.statistics import fit_logistic


@pytest.mark.parametrize("num_columns", [2, 3])
def test_is_the_minimum_that_scipy_finds(num_columns: int):
    generator = np.random.default_rng(0)
    design = np.column_stack([np.ones(40), generator.normal(0, 1, (40, num_columns - 1))])
    weights = generator.integers(0, 4, (6, 40)).astype(float)
    successes = weights * generator.random((6, 40))
    ridge = np.array([0.0, *[0.3] * (num_columns - 1)])
    found = fit_logistic(design, weights, successes, ridge)
    for fit, w, s in zip(found, weights, successes, strict=True):

        def loss(beta: np.ndarray, w: np.ndarray = w, s: np.ndarray = s) -> float:
            logits = design @ beta
            return float((w * np.logaddexp(0, logits) - s * logits).sum() + (ridge * beta**2).sum() / 2)

        best = optimize.minimize(loss, np.zeros(num_columns), tol=1e-12)
        assert loss(fit) <= best.fun + 1e-9
        assert fit == pytest.approx(best.x, abs=1e-4)


def test_a_far_start_comes_home():
    design = np.column_stack([np.ones(30), np.linspace(-1, 1, 30)])
    weights, successes = np.ones((1, 30)), (np.linspace(-1, 1, 30) < 0.1).astype(float)[None]
    successes[0, 3] = 0.0
    ridge = np.array([0.0, 0.1])
    near = fit_logistic(design, weights, successes, ridge)
    for start in ([30.0, 30.0], [-50.0, 80.0], [0.0, 200.0]):
        assert fit_logistic(design, weights, successes, ridge, np.array(start)) == pytest.approx(near, abs=1e-6)


def test_nothing_but_successes_ends():
    design = np.column_stack([np.ones(5), np.arange(5.0)])
    found = fit_logistic(design, np.ones((1, 5)), np.ones((1, 5)), np.array([0.0, 0.1]))
    assert np.isfinite(found).all()
    assert found[0, 0] > 10

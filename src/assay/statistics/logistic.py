"""Logistic regression with a ridge, for many reweightings of the same rows at once.

Shape letters: U distinct rows of the design, B reweightings (bootstrap samples), D coefficients.
"""

from __future__ import annotations

import numpy as np

_MOST_STEPS = 60
_TOLERANCE = 1e-10
"""Largest gradient, per unit of weight, of a fit that has converged."""


def fit_logistic(
    design_UD: np.ndarray,
    weights_BU: np.ndarray,
    successes_BU: np.ndarray,
    ridge_D: np.ndarray,
    start_D: np.ndarray | None = None,
) -> np.ndarray:
    """Coefficients that minimise, for each reweighting,

        sum_u w_u log(1 + exp(x_u beta)) - s_u x_u beta  +  sum_d ridge_d beta_d^2 / 2

    by Newton's method, its step halved while the gradient does not become smaller. With a ridge of lambda on all but
    the intercept these are scikit-learn's `LogisticRegression(C=1 / lambda)` with sample weights: fractional
    successes are a success of weight s and a failure of weight w - s in one row. Like there, the ridge stands beside
    the *sum* of the weights.

    Args:
        design_UD: [U, D] with a column of ones for the intercept.
        weights_BU: [B, U] total weight of each row, 0 or more.
        successes_BU: [B, U] the part of it that succeeded.
        ridge_D: [D] 0 for the intercept.
        start_D: [D] coefficients to start from, near those that are sought. Default: zeros.

    Returns:
        [B, D]; where the minimum is at infinity (only successes or only failures) the steps end on the way there.
    """
    num_fits, num_coefficients = len(weights_BU), design_UD.shape[1]
    upper = np.triu_indices(num_coefficients)
    products_UE = design_UD[:, upper[0]] * design_UD[:, upper[1]]
    fitted_BD = np.tile(np.zeros(num_coefficients) if start_D is None else start_D, (num_fits, 1))
    explained_BD = successes_BU @ design_UD
    scale_B = np.maximum(weights_BU.sum(1), 1e-300)
    before_BD, size_B = fitted_BD.copy(), np.full(num_fits, np.inf)
    active = np.arange(num_fits)
    for step in range(_MOST_STEPS):
        weights = weights_BU if len(active) == num_fits else weights_BU[active]
        if step == 0:
            # All fits start from one place: what the rows are expected to do there is the same for all.
            expected_U = _sigmoid(design_UD @ fitted_BD[0])
            gradient = weights @ (design_UD * expected_U[:, None])
            curvature = weights @ (products_UE * (expected_U * (1 - expected_U))[:, None])
        else:
            expected = _sigmoid(fitted_BD[active] @ design_UD.T)
            weighted = weights * expected
            gradient = weighted @ design_UD
            weighted *= 1 - expected
            curvature = weighted @ products_UE
        gradient += ridge_D * fitted_BD[active] - explained_BD[active]
        size = np.abs(gradient).max(1) / scale_B[active]
        worse = ~(size < size_B[active])
        # The gradient falls along Newton's direction, so a step that was too long is halved until it does.
        halved = active[worse]
        fitted_BD[halved] = (before_BD[halved] + fitted_BD[halved]) / 2
        better = active[~worse]
        before_BD[better], size_B[better] = fitted_BD[better], size[~worse]
        moving = ~worse & (size > _TOLERANCE)
        fitted_BD[active[moving]] -= _solved(curvature[moving], gradient[moving], ridge_D, upper)
        active = active[worse | moving]
        if not len(active):
            break
    # Of fits that did not converge the best place that was seen.
    fitted_BD[active] = before_BD[active]
    return fitted_BD


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-logits))


def _solved(
    curvature_BE: np.ndarray, gradient_BD: np.ndarray, ridge_D: np.ndarray, upper: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Newton's step of each fit."""
    num_coefficients = gradient_BD.shape[1]
    hessian = np.zeros((len(gradient_BD), num_coefficients, num_coefficients))
    hessian[:, upper[0], upper[1]] = curvature_BE
    hessian[:, upper[1], upper[0]] = curvature_BE
    diagonal = np.arange(num_coefficients)
    # Where every row is certain nothing is left of the curvature, and a little of it keeps the step finite.
    hessian[:, diagonal, diagonal] += ridge_D + 1e-12 * (1 + np.abs(hessian[:, diagonal, diagonal]))
    return np.linalg.solve(hessian, gradient_BD[:, :, None])[:, :, 0]

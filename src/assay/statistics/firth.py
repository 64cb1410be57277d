"""Logistic regression with fractional successes, offsets and covariances; with Firth's penalty it is finite where the
rows are separated.

Shape letters: N rows, D coefficients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_MOST_STEPS = 200
_TOLERANCE = 1e-9
_MOST_HALVINGS = 40
_LONGEST_STEP = 3.0
"""Largest change of a coefficient's part of a logit in one step: from far away Newton's own overshoots."""
SEPARATED_LOGIT = 15.0
"""Log odds beyond which a fitted row is as good as certain: the maximum is at infinity."""


@dataclass(frozen=True)
class LogisticFit:
    """Coefficients of a logistic regression."""

    coefficients: np.ndarray
    """[D]"""
    covariance: np.ndarray
    """[D, D] inverse of Fisher's information at the coefficients: as if rows were independent successes and
    failures."""
    is_separated: bool
    """True where the likelihood has no maximum, and the coefficients are those of Firth's penalty."""


def fit_with_covariance(
    design_ND: np.ndarray,
    successes_N: np.ndarray,
    weights_N: np.ndarray | None = None,
    offsets_N: np.ndarray | None = None,
) -> LogisticFit:
    """Fit by maximum likelihood; where that has no maximum (the rows are separated), by Firth's penalised likelihood.

    Firth 1993, "Bias reduction of maximum likelihood estimates", Biometrika 80, adds half the logarithm of the
    determinant of Fisher's information; Heinze and Schemper 2002, "A solution to the problem of separation in logistic
    regression", Statistics in Medicine 21. For one proportion of k of n it is (k + 1/2) / (n + 1).

    Args:
        design_ND: [N, D], a column of ones for an intercept.
        successes_N: [N] from 0 to 1, such as a half for a tie.
        weights_N: [N] number of comparisons that each row stands for. Default: ones.
        offsets_N: [N] log odds that are known beforehand. Default: zeros.

    Raises:
        ValueError: the design does not tell the coefficients apart, or there are no rows.

    Example:
        >>> fit = fit_with_covariance(np.ones((10, 1)), np.ones(10))
        >>> round(float(np.exp(fit.coefficients[0])), 6), fit.is_separated
        (21.0, True)
    """
    num_rows, num_coefficients = design_ND.shape
    weights = np.ones(num_rows) if weights_N is None else weights_N
    offsets = np.zeros(num_rows) if offsets_N is None else offsets_N
    if np.linalg.matrix_rank(design_ND * (weights > 0)[:, None]) < num_coefficients:
        raise ValueError(f"{num_rows} rows do not tell {num_coefficients} coefficients apart")
    fitted = _newton(design_ND, successes_N, weights, offsets, penalised=False)
    separated = fitted is None or bool(np.abs(design_ND @ fitted + offsets).max() > SEPARATED_LOGIT)
    if separated:
        fitted = _newton(design_ND, successes_N, weights, offsets, penalised=True)
        if fitted is None:
            raise ValueError("the penalised likelihood did not converge")
    assert fitted is not None
    return LogisticFit(fitted, np.linalg.inv(_information(design_ND, weights, offsets, fitted)[0]), separated)


def clustered_errors(
    fit: LogisticFit, design_ND: np.ndarray, successes_N: np.ndarray, clusters_N: np.ndarray
) -> np.ndarray:
    """Return the standard error of each coefficient when clusters, such as prompts, are what was drawn: [D], never
    below those of independent rows.

    The sandwich of Liang and Zeger 1986, "Longitudinal data analysis using generalized linear models", Biometrika 73,
    times G / (G - 1) for G clusters. With one cluster there is no spread between clusters, and it is left out.
    """
    plain = np.sqrt(np.diag(fit.covariance))
    at = np.unique(clusters_N, return_inverse=True)[1].ravel()
    count = int(at.max()) + 1
    if count < 2:
        return plain
    scores_ND = design_ND * (successes_N - sigmoid(design_ND @ fit.coefficients))[:, None]
    scores_GD = np.stack([np.bincount(at, column, count) for column in scores_ND.T], axis=1)
    spread = fit.covariance @ (scores_GD.T @ scores_GD) @ fit.covariance * count / (count - 1)
    return np.maximum(plain, np.sqrt(np.maximum(np.diag(spread), 0)))


def _information(
    design_ND: np.ndarray, weights_N: np.ndarray, offsets_N: np.ndarray, coefficients_D: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fisher's information [D, D], and the expected success of each row [N]."""
    expected_N = sigmoid(design_ND @ coefficients_D + offsets_N)
    spread_N = weights_N * expected_N * (1 - expected_N)
    return (design_ND * spread_N[:, None]).T @ design_ND, expected_N


def _newton(
    design_ND: np.ndarray, successes_N: np.ndarray, weights_N: np.ndarray, offsets_N: np.ndarray, *, penalised: bool
) -> np.ndarray | None:
    """The maximum of the (penalised) likelihood, by Newton's steps, halved while it does not rise; None where the steps
    do not get there."""

    def objective(at_D: np.ndarray) -> float:
        logit_N = design_ND @ at_D + offsets_N
        found = float((weights_N * (successes_N * logit_N - np.logaddexp(0, logit_N))).sum())
        if penalised:
            sign, log_determinant = np.linalg.slogdet(_information(design_ND, weights_N, offsets_N, at_D)[0])
            found += float(log_determinant) / 2 if sign > 0 else -np.inf
        return found

    coefficients = np.zeros(design_ND.shape[1])
    best = objective(coefficients)
    scale = max(float(np.abs(design_ND).max()), 1e-300)
    for _ in range(_MOST_STEPS):
        information, expected_N = _information(design_ND, weights_N, offsets_N, coefficients)
        residual_N = weights_N * (successes_N - expected_N)
        try:
            if penalised:
                # A row's leverage: how much of a success more it counts as, half of it a failure.
                solved = np.linalg.solve(information, design_ND.T)
                leverage_N = weights_N * expected_N * (1 - expected_N) * np.einsum("nd,dn->n", design_ND, solved)
                residual_N = residual_N + leverage_N * (0.5 - expected_N)
                # Of that score with leverages held: without it steps of rows that stand alone are twice too long.
                more_N = leverage_N * expected_N * (1 - expected_N)
                information = information + (design_ND * more_N[:, None]).T @ design_ND
            score = design_ND.T @ residual_N
            step = np.linalg.solve(information, score)
        except np.linalg.LinAlgError:
            return None
        if np.abs(score).max() <= _TOLERANCE * scale * max(float(weights_N.sum()), 1.0):
            return coefficients
        longest = float(np.abs(design_ND @ step).max())
        if not np.isfinite(longest):
            return None
        step *= min(1.0, _LONGEST_STEP / max(longest, 1e-300))
        for halvings in range(_MOST_HALVINGS):
            moved = coefficients + step / 2**halvings
            found = objective(moved)
            if found > best:
                break
        else:
            # Rounding leaves nothing to gain: as near as doubles get.
            return coefficients if np.abs(score).max() <= 1e-5 * scale * max(float(weights_N.sum()), 1.0) else None
        coefficients, best = moved, found
        if not penalised and np.abs(design_ND @ coefficients + offsets_N).max() > 2 * SEPARATED_LOGIT:
            return None
    return None


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logit)), without overflow."""
    return np.exp(-np.logaddexp(0, -logits))

"""A table of METR's shape (agents, families, tasks, runs, weights, fractional scores), and scikit-learn's fits of it.

    python -m venv /tmp/sk && /tmp/sk/bin/pip install scikit-learn==1.9.1
    /tmp/sk/bin/python tests/foreign/horizon_table.py

prints, for each agent and way of weighting, coefficient, intercept, p50 and p80, as
tests/unit/statistics/test_horizon.py has them. Fractional scores are split into a success and a failure, as METR's
utils/logistic.py does.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

AGENTS = {"strong": 9.0, "middle": 5.0, "weak": 1.5}
"""Logarithm to base 2 of the horizon in minutes."""


def metr_rows() -> list[dict[str, Any]]:
    """Rows of 3 agents on 60 tasks of 12 families, 5 runs each; METR's weights, 1 / (runs sqrt(tasks of the family)),
    scaled to sum to 1 for each agent; one family is scored in fractions."""
    generator = np.random.default_rng(2503)
    sizes = [1, 1, 2, 2, 3, 4, 5, 6, 8, 8, 10, 10]
    total = sum(size * 1 / np.sqrt(size) for size in sizes)
    rows = []
    for family, size in enumerate(sizes):
        shift = generator.normal(0, 1.0)
        for task in range(size):
            minutes = float(np.round(np.exp2(generator.uniform(-4, 11)), 4))
            hardness = shift + generator.normal(0, 1.0)
            for agent, horizon in AGENTS.items():
                chance = 1 / (1 + np.exp(-0.8 * (horizon - np.log2(minutes)) + 0.7 * hardness))
                for _ in range(5):
                    score = float(generator.random() < chance)
                    if family == 9:
                        score = float(np.round(generator.beta(8 * chance + 0.1, 8 * (1 - chance) + 0.1), 3))
                    rows.append(
                        {
                            "alias": agent,
                            "task_family": f"family{family}",
                            "task_id": f"family{family}/task{task}",
                            "human_minutes": minutes,
                            "score_cont": score,
                            "score_binarized": float(score >= 0.5),
                            "invsqrt_task_weight": 1 / (5 * np.sqrt(size) * total),
                        }
                    )
    return rows


def by_scikit_learn(success: np.ndarray, minutes: np.ndarray, weights: np.ndarray, ridge: float) -> list[float]:
    """[coefficient, intercept, p50, p80]"""
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

    x = np.log2(np.concatenate([minutes, minutes]))[:, None]
    y = np.repeat([1, 0], len(success))
    w = np.concatenate([weights * success, weights * (1 - success)])
    kept = w > 0
    model = LogisticRegression(C=1 / ridge, tol=1e-12, max_iter=10_000).fit(x[kept], y[kept], sample_weight=w[kept])
    slope, intercept = float(model.coef_[0][0]), float(model.intercept_[0])
    points = [float(np.exp2((logit - intercept) / slope)) for logit in (0.0, np.log(4))]
    return [slope, intercept, *points]


if __name__ == "__main__":
    rows = metr_rows()
    found = {}
    for agent in AGENTS:
        own = [row for row in rows if row["alias"] == agent]
        minutes = np.array([row["human_minutes"] for row in own])
        weights = np.array([row["invsqrt_task_weight"] for row in own])
        for score in ("score_cont", "score_binarized"):
            success = np.array([row[score] for row in own])
            found[f"{agent} {score} weights"] = by_scikit_learn(success, minutes, weights, 0.1)
            found[f"{agent} {score} ones"] = by_scikit_learn(success, minutes, np.ones(len(own)), 0.1)
            found[f"{agent} {score} ridge 5"] = by_scikit_learn(success, minutes, weights, 5.0)
    print(json.dumps(found, indent=1))

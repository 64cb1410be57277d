"""`assay horizon` beside a loop over scikit-learn, as METR's analysis is: the same table, the same nested bootstrap.

    python -m venv /tmp/sk && /tmp/sk/bin/pip install scikit-learn==1.9.1
    python benchmarks/horizon.py --scikit-learn /tmp/sk/bin/python [--loop 20] [--json FILE]

10,000 rows of five models on 500 tasks in 50 families, four runs each, 1,000 bootstrap samples, seconds of CPU on one
thread each. The
loop is run for `--loop` samples, and its time for 1,000 is that of one sample 1,000 times. `--distinct` gives every row
a difficulty of its own, the worst case for us: nothing can be gathered.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

NUM_DRAWS = 1000
MODELS, FAMILIES, TASKS, RUNS = 5, 50, 500, 4
HERE = Path(__file__).resolve()


def table(distinct: bool) -> dict[str, np.ndarray]:
    """Columns of the table."""
    generator = np.random.default_rng(0)
    task = np.repeat(np.arange(TASKS), MODELS * RUNS)
    model = np.tile(np.repeat(np.arange(MODELS), RUNS), TASKS)
    family = np.sort(generator.integers(0, FAMILIES, TASKS))[task]
    x = generator.uniform(-4, 10, TASKS)[task]
    if distinct:
        x = x + generator.normal(0, 0.01, len(x))
    chance = 1 / (1 + np.exp(-0.7 * (2 * model - x) - generator.normal(0, 1, TASKS)[task]))
    success = (generator.random(len(task)) < chance).astype(float)
    return {"success": success, "minutes": np.exp2(x), "model": model, "family": family, "task": task}


def ours(columns: dict[str, np.ndarray]) -> dict[str, Any]:
    from assay.statistics import HorizonRows, fit_horizons

    rows = HorizonRows(
        columns["success"],
        columns["minutes"],
        np.ones(len(columns["task"])),
        columns["model"].astype(str),
        (columns["family"], columns["task"]),
    )
    began = time.process_time()
    found = fit_horizons(rows, num_draws=NUM_DRAWS)
    seconds = time.process_time() - began
    return {"seconds": seconds, "p50": {name: each.p50 for name, each in found.items()}}


def theirs(columns: dict[str, np.ndarray], num_draws: int) -> dict[str, Any]:
    """One fit a model and sample; samples are drawn as METR's bootstrap_sample draws them."""
    from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingImports]

    generator = np.random.default_rng(0)
    x, y = np.log2(columns["minutes"])[:, None], columns["success"]
    began = time.process_time()
    for _ in range(num_draws):
        indices, parts = np.arange(len(y)), np.zeros(len(y), dtype=int)
        for level in ("family", "task"):
            chosen, numbers, number = [], [], 0
            for part in np.unique(parts):
                inside = indices[parts == part]
                values, places = np.unique(columns[level][inside], return_inverse=True)
                for value in generator.choice(len(values), size=len(values)):
                    taken = inside[places == value]
                    chosen.append(taken)
                    numbers.append(np.full(len(taken), number))
                    number += 1
            indices, parts = np.concatenate(chosen), np.concatenate(numbers)
        cells = columns["task"][indices] * MODELS + columns["model"][indices]
        _, places, counts = np.unique(cells, return_inverse=True, return_counts=True)
        order = np.argsort(places, kind="stable")
        starts = np.repeat(np.cumsum(counts) - counts, counts)
        drawn = (generator.random(len(order)) * np.repeat(counts, counts)).astype(int)
        indices = indices[order[starts + drawn]]
        for model in range(MODELS):
            own = indices[columns["model"][indices] == model]
            LogisticRegression(C=10).fit(x[own], y[own], sample_weight=np.ones(len(own)))
    seconds = time.process_time() - began
    fits = {
        m: LogisticRegression(C=10, tol=1e-10).fit(x[columns["model"] == m], y[columns["model"] == m])
        for m in range(MODELS)
    }
    p50 = {str(m): float(np.exp2(-fit.intercept_[0] / fit.coef_[0][0])) for m, fit in fits.items()}
    return {"seconds": seconds / num_draws * NUM_DRAWS, "p50": p50}


def side(python: str, *arguments: str) -> dict[str, Any]:
    """A side in a process of its own, on one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    said = subprocess.run([python, str(HERE), *arguments], check=True, capture_output=True, text=True, env=environment)
    return json.loads(said.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scikit-learn", help="python of a virtual environment that has it")
    parser.add_argument("--loop", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--distinct", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=("ours", "theirs"))
    options = parser.parse_args()
    if options.side:
        columns = table(options.distinct)
        print(json.dumps(ours(columns) if options.side == "ours" else theirs(columns, options.loop)))
        return
    distinct = ["--distinct"] if options.distinct else []
    pairs = [
        (
            side(sys.executable, "--side", "ours", *distinct),
            side(options.scikit_learn, "--side", "theirs", "--loop", str(options.loop), *distinct),
        )
        for _ in range(options.repeats)
    ]
    ratios = [other["seconds"] / own["seconds"] for own, other in pairs]
    for name, p50 in pairs[0][0]["p50"].items():
        assert abs(p50 / pairs[0][1]["p50"][name] - 1) < 1e-3, (name, p50, pairs[0][1]["p50"][name])
    found = {
        "ours_seconds": [own["seconds"] for own, _ in pairs],
        "scikit_learn_seconds": [other["seconds"] for _, other in pairs],
        "times_as_fast": {"median": statistics.median(ratios), "low": min(ratios), "high": max(ratios)},
        "distinct": options.distinct,
    }
    print(json.dumps(found, indent=1))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""The matrix of transfer: what training on each environment did to each, over seeds and tasks.

Every number comes from evaluations of the same held-out tasks before and after training, in pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.evaluation.also import verdict_of
from assay.evaluation.evaluation import Evaluation
from assay.statistics import (
    Estimate,
    difference_over_seeds,
    difference_test_over_seeds,
    holm,
    paired_difference,
    ratio_over_seeds,
)


@dataclass(frozen=True)
class ArmResults:
    """The measurements of the models that one arm has made."""

    name: str
    trained_on: tuple[str, ...]
    """Names of the environments: one, or those of a mixture."""
    after: Mapping[int, Mapping[str, Evaluation]]
    """Seed to environment to evaluation, of the models that could be measured."""


Shares = Mapping[str, float]
"""Task to the share of its samples that were solved, of the tasks that were measured."""


def shares_of(evaluation: Evaluation, reading: str) -> dict[str, float]:
    """Task to solved share, of the tasks that were measured, in their order."""
    return {task: solved / measured for task, (measured, solved) in evaluation.counts(reading).items() if measured}


def transfer_matrix(
    base: Mapping[str, Evaluation], arms: Sequence[ArmResults], environments: Sequence[str], reading: str
) -> list[dict[str, Any]]:
    """Every arm on every environment: before, after, the gain with its interval and p-value corrected over all of them
    (Holm), what each seed gained, the efficiency of transfer, and whether something was forgotten.

    Args:
        base: environment to evaluation, of the model that training begins with.
        reading: that all is about; the gain under each other reading stands beside it.

    Returns:
        A dictionary for each cell, arm by arm. A cell without a measured model has no gain: None, not 0.
    """
    before = {name: _by_reading(base[name]) for name in environments}
    after = {
        (arm.name, name): {seed: _by_reading(found[name]) for seed, found in arm.after.items() if name in found}
        for arm in arms
        for name in environments
    }
    cells = [
        _cell(arm.name, name, before[name], after[arm.name, name], reading) for arm in arms for name in environments
    ]
    known = [cell for cell in cells if cell["gain"] is not None]
    for cell, corrected in zip(known, holm([cell["gain"]["p_value"] for cell in known]), strict=True):
        cell["gain"]["p_holm"] = corrected
        cell["verdict"] = verdict_of(cell["gain"])
    itself = {arm.trained_on[0]: arm.name for arm in arms if len(arm.trained_on) == 1}
    for cell in cells:
        name = cell["environment"]
        if name not in itself:
            cell["efficiency"] = _undefined(f"no arm was trained on {name} by itself")
        elif itself[name] == cell["arm"]:
            cell["efficiency"] = _undefined("it is 1 by definition")
        else:
            sides = after[cell["arm"], name], after[itself[name], name]
            cell["efficiency"] = _efficiency(name, before[name][reading], sides, reading)
    return cells


def gain_of(before: Sequence[Shares], after: Sequence[Shares]) -> tuple[dict[str, Any] | None, list[float | None]]:
    """The gain over the tasks that all measured, over seeds and tasks where there are two seeds, and else over tasks;
    and that of each seed. None where nothing was measured on both sides.

    Args:
        before: of each seed, each task's one answer; the same one for each where training began with one model.
        after: of each seed.
    """
    of_seeds = [_mean_gain(one, other) for one, other in zip(before, after, strict=True)]
    tasks = _common([*before, *after])
    if not tasks:
        return None, of_seeds
    sides = [[[one[task] for task in tasks] for one in side] for side in (before, after)]
    num_samples = (len(tasks) * len({id(one) for one in before}), len(tasks) * len(after))
    if len(after) > 1 and len(tasks) > 1:
        interval = difference_over_seeds(*sides, num_samples=num_samples)
        p_value, covers = difference_test_over_seeds(*sides, num_samples=num_samples), "seeds and tasks"
    else:
        found = paired_difference(*(np.mean(side, axis=0).tolist() for side in sides), num_samples=num_samples)
        interval, p_value, covers = found.interval, found.p_value, "tasks"
    told = {"p_value": p_value, "num_tasks": len(tasks), "num_seeds": len(after), "covers": covers}
    return {**interval.to_dict(), **told}, of_seeds


def _by_reading(evaluation: Evaluation) -> dict[str, Shares]:
    return {reading: shares_of(evaluation, reading) for reading in evaluation.readings}


def _cell(
    arm: str,
    environment: str,
    before: Mapping[str, Shares],
    after: Mapping[int, Mapping[str, Shares]],
    reading: str,
) -> dict[str, Any]:
    gains = {
        name: gain_of([before[name]] * len(after), [of_seed[name] for of_seed in after.values()]) for name in before
    }
    gain, of_seeds = gains.pop(reading)
    tasks = _common([before[reading], *(of_seed[reading] for of_seed in after.values())])
    shares = [of_seed[reading][task] for of_seed in after.values() for task in tasks]
    return {
        "arm": arm,
        "environment": environment,
        "seeds": list(after),
        "before": _mean([before[reading][task] for task in tasks]),
        "after": _mean(shares),
        "gain": gain,
        "gain_of_seeds": of_seeds,
        "other_readings": {name: found for name, (found, _) in gains.items()},
        "verdict": "not measured",
    }


def _efficiency(
    environment: str,
    before: Shares,
    sides: tuple[Mapping[int, Mapping[str, Shares]], Mapping[int, Mapping[str, Shares]]],
    reading: str,
) -> dict[str, Any]:
    """Gain on j from training on i, over gain on j from training on j."""
    seeds = [seed for seed in sides[0] if seed in sides[1]]
    arm, itself = ([of_arm[seed][reading] for seed in seeds] for of_arm in sides)
    tasks = _common([before, *arm, *itself])
    if not seeds or len(tasks) < 2:
        return _undefined("no seed, or fewer than two tasks, were measured for both")
    own_gain, _ = gain_of([before] * len(seeds), itself)
    assert own_gain is not None
    if own_gain["low"] <= 0 <= own_gain["high"]:
        return _undefined(f"no gain on {environment} from training on it is shown: its interval contains 0")
    if own_gain["high"] < 0:
        return _undefined(f"training on {environment} lost on it, and a loss is no gain to divide by")
    ratio = ratio_over_seeds(
        *([[one[task] - before[task] for task in tasks] for one in side] for side in (arm, itself))
    )
    if ratio == Estimate(None, None, None):
        return _undefined(f"the gain on {environment} from training on it is too uncertain to divide by")
    return {**ratio.to_dict(), "why_undefined": ""}


def _undefined(why: str) -> dict[str, Any]:
    return {"value": None, "low": None, "high": None, "why_undefined": why}


def _mean_gain(before: Shares, after: Shares) -> float | None:
    return _mean([after[task] - before[task] for task in _common([before, after])])


def _common(shares: Sequence[Shares]) -> list[str]:
    """Return the tasks that all measured, in the order of the first."""
    return [task for task in shares[0] if all(task in one for one in shares)] if len(shares) > 1 else []


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None

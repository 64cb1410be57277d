"""The result of a map: each cell with its interval, each model's frontier and hazard, and where one model moved it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.evaluation.map.cells import Axis, MapCell, TaskLength
from assay.evaluation.map.measurement import MapMeasurement
from assay.evaluation.row import EvalRow
from assay.statistics import Estimate, Frontier, Hazard, fit_frontier, fit_hazard, holm, paired_difference, wilson
from assay.types import Verdict

FEW_CUT = 0.05
"""Share of episodes that ended at a limit from which on there is a caution."""
ENDINGS_AT_LIMITS = {
    "truncated: length": "in a message that was cut off at --max-new-tokens",
    "truncated: tokens": "after as many tokens as the expert's messages have at --max-new-tokens each",
    "truncated: context": "at the model's context",
}


def map_result(
    measured: MapMeasurement,
    units: Sequence[TaskLength],
    *,
    horizon_units: Mapping[str, str],
    axis: Axis,
    reading: str,
    notes: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """The map as JSON.

    Args:
        units: of each cell.
        horizon_units: of each environment: what its horizon counts.
        axis: the unit that lengths are fitted in.
        notes: of each environment.
    """
    environments: dict[str, Any] = {}
    for label in dict.fromkeys(cell.environment for cell in measured.cells):
        places = [place for place, cell in enumerate(measured.cells) if cell.environment == label]
        counts = {
            model: {place: _outcomes(measured.rows.get((model, place), ()), reading) for place in places}
            for model in measured.models
        }
        # Where somebody ended it, what takes long is missing, and that is no random part: counts alone are told.
        fitted = () if measured.is_interrupted else places
        fits = {model: _fits(measured.cells, units, fitted, counts[model], axis) for model in measured.models}
        environments[label] = {
            "axis": _axis_name(axis, horizon_units.get(label, "steps")),
            "notes": [*notes.get(label, ()), *_notes(measured, units, places, axis)],
            "models": {
                model: {
                    "cells": [
                        _cell(measured, place, units[place], counts[model][place], model, reading) for place in places
                    ],
                    **fits[model],
                }
                for model in measured.models
            },
            "differences": [
                _difference(measured, places, (measured.models[0], model), counts, fits)
                for model in ([] if measured.is_interrupted else measured.models[1:])
            ],
        }
    _correct(environments)
    return {
        "axis": axis.value,
        "reading": reading,
        "models": list(measured.models),
        "sampled_tokens": measured.num_tokens,
        "is_cut": measured.is_cut,
        "is_interrupted": measured.is_interrupted,
        "left_out": dict(measured.left_out),
        "environments": environments,
    }


def _axis_name(axis: Axis, horizon_unit: str) -> str:
    return {
        Axis.HORIZON: horizon_unit,
        Axis.ACTIONS: "actions of the expert",
        Axis.TOKENS: "tokens of the expert",
        Axis.MINUTES: "human minutes",
    }[axis]


def _outcomes(rows: Sequence[EvalRow], reading: str) -> dict[str, bool]:
    """Task id to solved, of what has a verdict."""
    scores = {row.task_id: row.scores[reading] for row in rows}
    return {task_id: score.verdict is Verdict.SOLVED for task_id, score in scores.items() if score.has_verdict}


def _cell(
    measured: MapMeasurement, place: int, units: TaskLength, outcomes: Mapping[str, bool], model: str, reading: str
) -> dict[str, Any]:
    cell, rows = measured.cells[place], measured.rows.get((model, place), [])
    pilot = _outcomes(measured.pilot.get((model, place), ()), reading)
    tokens = [row.num_tokens for row in rows if row.num_tokens is not None]
    solved = wilson(sum(outcomes.values()), len(outcomes)).to_dict() if outcomes else None
    return {
        "complexity": cell.complexity,
        "horizon": cell.horizon,
        "units": units.to_dict(),
        "num_tasks": len(outcomes),
        "num_solved": sum(outcomes.values()),
        "num_not_measured": len(rows) - len(outcomes),
        "accuracy": solved,
        "mean_tokens": sum(tokens) / len(tokens) if tokens else None,
        "num_cut_off": sum(row.ending in ENDINGS_AT_LIMITS for row in rows),
        "pilot": {"num_tasks": len(pilot), "num_solved": sum(pilot.values())},
    }


def _fits(
    cells: Sequence[MapCell],
    units: Sequence[TaskLength],
    places: Sequence[int],
    counts: Mapping[int, Mapping[str, bool]],
    axis: Axis,
) -> dict[str, Any]:
    """The frontier and the hazard of one model in one environment; None where there are no lengths to fit."""
    told = [place for place in places if counts[place] and (units[place].along(axis) or 0) > 0]
    complexities = list(dict.fromkeys(cells[place].complexity for place in told))
    lengths = [float(units[place].along(axis) or 0) for place in told]
    if len(set(lengths)) < 2:
        return {"complexities": complexities, "frontier": None, "hazard": None}
    num = [len(counts[place]) for place in told]
    solved = [sum(counts[place].values()) for place in told]
    group = [complexities.index(cells[place].complexity) for place in told]
    frontier = fit_frontier(lengths, num, solved, group, [complexity or 0.0 for complexity in complexities])
    return {
        "complexities": complexities,
        "longest": max(lengths),
        "shortest": min(lengths),
        "frontier": frontier,
        "hazard": fit_hazard(lengths, num, solved, group),
    }


def _difference(
    measured: MapMeasurement,
    places: Sequence[int],
    models: tuple[str, str],
    counts: Mapping[str, Mapping[int, Mapping[str, bool]]],
    fits: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Compare the second model with the first: task by task, and how many times as far its horizons are."""
    before, after = (counts[model] for model in models)
    cells: list[dict[str, Any] | None] = []
    pairs: list[tuple[float, float]] = []
    for place in places:
        both = [
            (float(before[place][task]), float(after[place][task])) for task in before[place] if task in after[place]
        ]
        pairs += both
        cells.append(paired_difference(*zip(*both, strict=True)).to_dict() if both else None)
    frontiers: list[Frontier] = [fits[model]["frontier"] for model in models if fits[model]["frontier"] is not None]
    of_models = [fits[model]["complexities"] for model in models]
    shifts = []
    for complexity in of_models[0] if len(frontiers) == len(models) else ():
        if complexity in of_models[1]:
            one, other = (
                frontier.horizons[own.index(complexity)][0.5]
                for frontier, own in zip(frontiers, of_models, strict=True)
            )
            shifts.append({"complexity": complexity, "times": _times(one, other).to_dict()})
    return {
        "before": models[0],
        "after": models[1],
        "cells": cells,
        "all": paired_difference(*zip(*pairs, strict=True)).to_dict() if pairs else None,
        "frontier": shifts,
    }


def _times(one: Estimate, other: Estimate) -> Estimate:
    """other / one, as square-and-add of the two intervals on their logarithms (Zou and Donner 2008). The tasks are the
    same, which makes the true interval narrower, if anything."""
    if one.value is None or other.value is None:
        return Estimate(None, None, None)
    value = math.log(other.value / one.value)

    def end(upper: float | None, lower: float | None, of_upper: float, of_lower: float) -> float | None:
        if upper is None or lower is None:
            return None
        return math.hypot(math.log(upper / of_upper), math.log(of_lower / lower))

    above = end(other.high, one.low, other.value, one.value)
    below = end(one.high, other.low, one.value, other.value)
    return Estimate(
        math.exp(value),
        None if below is None else math.exp(value - below),
        None if above is None else math.exp(value + above),
    )


def _correct(environments: Mapping[str, Any]) -> None:
    """Holm's correction, of the tests of all cells and of those of all environments; and fits become JSON."""
    differences = [each for found in environments.values() for each in found["differences"]]
    for tests in (
        [cell for each in differences for cell in each["cells"] if cell is not None],
        [each["all"] for each in differences if each["all"] is not None],
    ):
        for test, p_value in zip(tests, holm([test["p_value"] for test in tests]), strict=True):
            test["p_holm"] = p_value
    for found in environments.values():
        for of_model in found["models"].values():
            for key in ("frontier", "hazard"):
                fit: Frontier | Hazard | None = of_model[key]
                of_model[key] = None if fit is None else fit.to_dict()


def _notes(measured: MapMeasurement, units: Sequence[TaskLength], places: Sequence[int], axis: Axis) -> list[str]:
    notes = []
    unknown = [measured.cells[place].name for place in places if units[place].along(axis) is None]
    if unknown and axis is not Axis.HORIZON:
        notes.append(f"the {axis.value} of {', '.join(unknown)} are not known: left out of the fits")
    for model in measured.models:
        rows = [row for place in places for row in measured.rows.get((model, place), ())]
        for ending, what in ENDINGS_AT_LIMITS.items():
            if (cut := sum(row.ending == ending for row in rows)) > FEW_CUT * len(rows):
                notes.append(f"{model}: {cut} of {len(rows)} episodes ended {what}; with more it may solve more")
        if unmeasured := len(rows) - sum(row.measured for row in rows):
            notes.append(
                f"{model}: {unmeasured} of {len(rows)} episodes were not measured; the same command tries again"
            )
    return notes


def table_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each model and cell, flat: what `table.json` and `table.parquet` hold."""
    rows = []
    for label, found in result["environments"].items():
        differences = {each["after"]: each["cells"] for each in found["differences"]}
        for model, of_model in found["models"].items():
            for place, cell in enumerate(of_model["cells"]):
                accuracy = cell["accuracy"] or {"value": None, "low": None, "high": None}
                gain = (differences.get(model) or [None] * len(of_model["cells"]))[place] or {}
                rows.append(
                    {
                        "model": model,
                        "environment": label,
                        "complexity": _number(cell["complexity"]),
                        **{name: _number(value) for name, value in cell["units"].items()},
                        "num_tasks": cell["num_tasks"],
                        "num_solved": cell["num_solved"],
                        "num_not_measured": cell["num_not_measured"],
                        "solved": accuracy["value"],
                        "low": accuracy["low"],
                        "high": accuracy["high"],
                        "mean_tokens": cell["mean_tokens"],
                        **{
                            f"gain{suffix}": gain.get(key)
                            for suffix, key in (
                                ("", "value"),
                                ("_low", "low"),
                                ("_high", "high"),
                                ("_p", "p_value"),
                                ("_p_holm", "p_holm"),
                            )
                        },
                    }
                )
    return rows


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)

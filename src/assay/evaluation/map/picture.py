"""The picture of a map: a heat map for each model and environment, with the 50 % horizons drawn over it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.observe.heat_maps import HeatCell, HeatPanel, draw_heat_maps


def draw_map(result: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw a map, models from above and environments from the left; from the second model on, the first one's 50 %
    horizons stand beside its own: where the frontier moved."""
    models = result["models"]
    panels = [
        [_panel(label, found, model, models[0], result["axis"]) for label, found in result["environments"].items()]
        for model in models
    ]
    draw_heat_maps(paths, panels)


def _panel(label: str, found: Mapping[str, Any], model: str, first: str, axis: str) -> HeatPanel:
    cells = found["models"][model]["cells"]
    horizons = list(dict.fromkeys(cell["horizon"] for cell in cells))
    complexities = list(dict.fromkeys(cell["complexity"] for cell in cells))
    names = [
        _column(horizon, [c["units"][axis] for c in cells if c["horizon"] == horizon], axis) for horizon in horizons
    ]
    lines = {f"50 %, {model}": _line(found["models"][model], complexities, horizons, axis)}
    if model != first:
        lines[f"50 %, {first}"] = _line(found["models"][first], complexities, horizons, axis)
    return HeatPanel(
        title=f"{label}: {model}",
        columns=names,
        rows=["-" if complexity is None else f"{complexity:g}" for complexity in complexities],
        cells={
            (complexities.index(cell["complexity"]), horizons.index(cell["horizon"])): HeatCell(
                None if cell["accuracy"] is None else cell["accuracy"]["value"], _text(cell)
            )
            for cell in cells
        },
        below=found["axis"],
        left="complexity",
        lines=lines,
    )


def _column(horizon: float | None, lengths: Sequence[float | None], axis: str) -> str:
    """A column's name: its horizon, or the lengths of its tasks in another unit."""
    if horizon is None:
        return "all"
    known = [length for length in lengths if length is not None]
    if axis == "horizon" or not known:
        return f"{horizon:g}" if axis == "horizon" else f"h{horizon:g}, unknown"
    low, high = min(known), max(known)
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


def _text(cell: Mapping[str, Any]) -> str:
    accuracy = cell["accuracy"]
    if accuracy is None:
        return "not\nmeasured"
    shares = [round(100 * accuracy[key]) for key in ("value", "low", "high")]
    return f"{shares[0]} %\n[{shares[1]}, {shares[2]}]\nn = {cell['num_tasks']}"


def _line(
    of_model: Mapping[str, Any], complexities: Sequence[float | None], horizons: Sequence[float | None], axis: str
) -> list[float | None]:
    """Return the place of each row's 50 % horizon in columns: between its cells' lengths, on a logarithmic scale."""
    places: list[float | None] = [None] * len(complexities)
    frontier = of_model["frontier"]
    if frontier is None:
        return places
    for complexity, found in zip(of_model["complexities"], frontier["horizons"], strict=True):
        value = found["p50"]["value"]
        lengths = [
            (math.log2(cell["units"][axis]), horizons.index(cell["horizon"]))
            for cell in of_model["cells"]
            if cell["complexity"] == complexity and (cell["units"][axis] or 0) > 0
        ]
        if value is not None and len(lengths) > 1:
            places[complexities.index(complexity)] = _between(math.log2(value), sorted(lengths), len(horizons))
    return places


def _between(x: float, lengths: Sequence[tuple[float, int]], num_columns: int) -> float:
    pairs = list(itertools.pairwise(lengths))
    # Beyond the first and the last length the scale of the nearest two goes on, to the edge of the picture.
    (x0, y0), (x1, y1) = next((pair for pair in pairs if x <= pair[1][0]), pairs[-1])
    place = float(y0) if x1 == x0 else y0 + (x - x0) / (x1 - x0) * (y1 - y0)
    return min(max(place, -0.45), num_columns - 0.55)

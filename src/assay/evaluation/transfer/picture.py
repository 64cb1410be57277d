"""A matrix of transfer as a heat map: gains in points, a row for what was trained on, a column for what was
measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.evaluation.also import SIGNIFICANT
from assay.observe.heat_maps import HeatCell, HeatPanel, draw_heat_maps

_LEAST = 0.1
"""Smallest gain or loss that has the last colour."""


def draw_matrix(result: Mapping[str, Any], paths: Sequence[Path]) -> None:
    """Draw the gains, the same picture to each path; a star for what Holm's correction leaves."""
    cells, arms = result["cells"], [arm["name"] for arm in result["arms"]]
    environments = [each["name"] for each in result["environments"]]
    # Rows are drawn from below.
    rows = arms[::-1]
    gains = [cell["gain"]["value"] for cell in cells if cell["gain"]]
    most = max([_LEAST, *map(abs, gains)])
    panel = HeatPanel(
        title=f"Gain in points, {result['tokens']:,} tokens of training each",
        columns=environments,
        rows=rows,
        cells={
            (rows.index(cell["arm"]), environments.index(cell["environment"])): HeatCell(
                cell["gain"]["value"] if cell["gain"] else None, _text(cell["gain"])
            )
            for cell in cells
        },
        below="measured on (held-out tasks)",
        left="trained on",
    )
    draw_heat_maps(paths, [[panel]], bounds=(-most, most), colours="PuOr")


def _text(gain: Mapping[str, Any] | None) -> str:
    if gain is None:
        return "not\nmeasured"
    star = "*" if gain["p_holm"] < SIGNIFICANT else ""
    return f"{100 * gain['value']:+.0f}{star}\n[{100 * gain['low']:+.0f}, {100 * gain['high']:+.0f}]"

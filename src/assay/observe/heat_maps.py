"""Heat maps: shares over two dials, each cell with its count and interval, and lines where success ends."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DOTS_PER_INCH = 150
_DARK = 0.45
"""Luminance below which a colour takes white text."""
_CELL_INCHES = (0.95, 0.62)
_LINES = (("#D55E00", "-", "o"), ("#222222", "--", "s"))
"""Colour, line and marker of a panel's own frontier, and of the one it is compared with."""


@dataclass(frozen=True)
class HeatCell:
    """A cell of a heat map; a value of None is not measured."""

    value: float | None
    text: str


@dataclass(frozen=True)
class HeatPanel:
    """One heat map: rows from below, columns from the left."""

    title: str
    columns: Sequence[str]
    rows: Sequence[str]
    cells: Mapping[tuple[int, int], HeatCell]
    """(row, column) to cell; a place without one is empty."""
    below: str = ""
    left: str = ""
    lines: Mapping[str, Sequence[float | None]] = field(default_factory=dict)
    """Name to the place of a line in each row, in columns from 0; None where it is not known."""


def draw_heat_maps(
    paths: Sequence[Path],
    panels: Sequence[Sequence[HeatPanel]],
    *,
    bounds: tuple[float, float] = (0.0, 1.0),
    colours: str = "cividis",
) -> None:
    """Draw panels in rows and columns, the same picture to each path, in the format that its name ends in.

    Args:
        bounds: values of the first and the last colour.
        colours: matplotlib's name of the colour map; "cividis" can be told apart by colour-blind readers.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    num_columns = max(len(row) for row in panels)
    widths = [max(len(row[i].columns) for row in panels if i < len(row)) for i in range(num_columns)]
    heights = [max(len(panel.rows) for panel in row) for row in panels]
    size = (
        sum(width * _CELL_INCHES[0] + 1.1 for width in widths),
        sum(height * _CELL_INCHES[1] + 1.15 for height in heights),
    )
    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), num_columns, squeeze=False, width_ratios=widths, height_ratios=heights)
    for row, drawn in enumerate(axes):
        for column, each in enumerate(drawn):
            if column < len(panels[row]):
                _draw(each, panels[row][column], bounds, colours)
            else:
                each.set_axis_off()
    for path in paths:
        figure.savefig(path)


def _draw(axes: Axes, panel: HeatPanel, bounds: tuple[float, float], colours: str) -> None:
    values = np.full((len(panel.rows), len(panel.columns)), math.nan)
    for place, cell in panel.cells.items():
        values[place] = math.nan if cell.value is None else cell.value
    axes.set_facecolor("#eeeeee")
    axes.imshow(values, vmin=bounds[0], vmax=bounds[1], cmap=colours, origin="lower", aspect="auto", alpha=0.85)
    for (row, column), cell in panel.cells.items():
        colour = "#ffffff" if cell.value is not None and _is_dark(cell.value, bounds, colours) else "#111111"
        axes.text(column, row, cell.text, ha="center", va="center", fontsize=6.5, color=colour, parse_math=False)
    for (name, places), (colour, style, marker) in zip(panel.lines.items(), _LINES, strict=False):
        known = [(place, row) for row, place in enumerate(places) if place is not None]
        if known:
            x, y = zip(*known, strict=True)
            axes.plot(x, y, color=colour, linestyle=style, marker=marker, markersize=4, linewidth=1.6, label=name)
    axes.set_xlim(-0.5, len(panel.columns) - 0.5)
    axes.set_ylim(-0.5, len(panel.rows) - 0.5)
    axes.set_xticks(range(len(panel.columns)), list(panel.columns), fontsize=7, parse_math=False)
    axes.set_yticks(range(len(panel.rows)), list(panel.rows), fontsize=7, parse_math=False)
    axes.set_title(panel.title, loc="left", fontsize=9, parse_math=False)
    axes.set_xlabel(panel.below, fontsize=8, parse_math=False)
    axes.set_ylabel(panel.left, fontsize=8, parse_math=False)
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(
            loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(_LINES), fontsize=6, frameon=False, borderpad=0
        )
        for text in legend.get_texts():
            text.set_parse_math(False)


def _is_dark(value: float, bounds: tuple[float, float], colours: str) -> bool:
    """Return True where white text is easier to read than black: by the luminance of the colour."""
    from matplotlib import colormaps

    red, green, blue, _ = colormaps[colours]((value - bounds[0]) / (bounds[1] - bounds[0]))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < _DARK

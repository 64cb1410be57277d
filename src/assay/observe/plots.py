"""The report's pictures: one file a plot, in colours that colour-blind readers can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assay.observe.curves import Curve, level_title
from assay.observe.records import EvaluationRecord
from assay.observe.store import BEFORE_TRAINING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from assay.statistics import Horizon

# Okabe and Ito 2008, "Color Universal Design", without yellow and black.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "^", "D", "v", "P")
_LINES = ("-", "--", ":")
_SIZE_INCHES = (5.4, 3.3)
_DOTS_PER_INCH = 150
_MAX_SERIES = 8


def plot_curve(path: Path, curve: Curve) -> None:
    """Plot one curve, with its band where it has one."""
    with _picture(path, curve.title, curve.unit) as axes:
        x = [_updates(step) for step, _ in curve.points]
        if curve.band:
            low, high = zip(*curve.band, strict=True)
            axes.fill_between(x, low, high, color=_COLOURS[0], alpha=0.2, linewidth=0, label="95 % interval")
            axes.legend(loc="best", frameon=False, fontsize=8)
        axes.plot(x, curve.values, color=_COLOURS[0], linewidth=1.4, marker="o" if len(x) < 3 else None, markersize=4)
        # From 0, so that the noise of a quantity that hardly moves does not fill the picture.
        if not curve.band and min(curve.values) > 0:
            axes.set_ylim(bottom=0.0, top=1.08 * max(curve.values))


def plot_levels(path: Path, curves: Mapping[str, Curve]) -> None:
    """Solved share, or mean reward, by level, each averaged over a few steps: a step has few tasks of each level."""
    unit = next(iter(curves.values())).unit
    with _picture(path, level_title(curves), unit) as axes:
        for i, (level, curve) in enumerate(_hardest(curves).items()):
            window = max(1, len(curve.points) // 20)
            colour, marker = _COLOURS[i % len(_COLOURS)], _MARKERS[i % len(_MARKERS)]
            axes.plot(
                [_updates(step) for step, _ in curve.points],
                _smooth(curve.values, window),
                color=colour,
                linestyle="-" if i < len(_COLOURS) else "--",
                linewidth=1.4,
                marker=marker,
                markersize=4,
                markevery=max(1, len(curve.points) // 8),
                label=level,
            )
        if unit == "solved":
            axes.set_ylim(-0.03, 1.03)
        axes.legend(loc="best", frameon=False, fontsize=8, title="level", title_fontsize=8)


def plot_evaluations(path: Path, title: str, series: Mapping[str, Sequence[EvaluationRecord]]) -> None:
    """Accuracies, or mean rewards, over training with their intervals."""
    are_shares = any(record.accuracy is not None for records in series.values() for record in records)
    with _picture(path, title, "accuracy" if are_shares else "mean reward") as axes:
        for i, (label, records) in enumerate(series.items()):
            known = [(r.step, *((r.accuracy, r.low, r.high) if are_shares else r.measure)) for r in records]
            points = [(s, a, low, high) for s, a, low, high in known if a is not None]
            below = [a - low if low is not None else 0.0 for _, a, low, _ in points]
            above = [high - a if high is not None else 0.0 for _, a, _, high in points]
            axes.errorbar(
                [_updates(step) for step, *_ in points],
                [accuracy for _, accuracy, *_ in points],
                yerr=[[max(0.0, v) for v in below], [max(0.0, v) for v in above]],
                color=_COLOURS[i % len(_COLOURS)],
                marker=_MARKERS[i % len(_MARKERS)],
                linewidth=1.4,
                markersize=4,
                capsize=3,
                label=label,
            )
        if are_shares:
            axes.set_ylim(-0.03, 1.03)
        axes.legend(loc="best", frameon=False, fontsize=8)


def plot_cells(
    path: Path,
    title: str,
    unit: str,
    values: Mapping[str, Sequence[float]],
    intervals: Mapping[str, tuple[float, float]],
) -> None:
    """Cells of a sweep below each other: a dot a run, and the mean over runs with its interval where it has one."""
    size = (_SIZE_INCHES[0], 1.0 + 0.25 * len(values))
    with _picture(path, title, "", size=size, below=unit, integers=False) as axes:
        for row, (cell, runs) in enumerate(values.items()):
            if cell in intervals:
                axes.plot(intervals[cell], [row, row], color=_COLOURS[0], linewidth=1.4)
                axes.plot(sum(runs) / len(runs), row, marker="D", color=_COLOURS[0], markersize=5)
            axes.plot(runs, [row] * len(runs), linestyle="", marker=".", color=_COLOURS[1], markersize=5)
        axes.axvline(0.0, color="#888888", linewidth=0.8)
        axes.set_yticks(range(len(values)), list(values), parse_math=False)
        axes.set_ylim(len(values) - 0.4, -0.6)


def plot_horizons(path: Path, horizons: Mapping[str, Horizon], unit: str, *, is_rating: bool = False) -> None:
    """Success against difficulty: the share of each part of the tasks, the fit, and the 50 % horizon with its
    interval."""
    with _picture(path, "Success by difficulty", "solved", size=(6.4, 4.0), below=unit, integers=False) as axes:
        if not is_rating:
            axes.set_xscale("log", base=2)
        for i, (name, each) in enumerate(horizons.items()):
            colour = _COLOURS[i % len(_COLOURS)]
            marker = _MARKERS[i % len(_MARKERS)]
            middles = [(low + high) / 2 if is_rating else math.sqrt(low * high) for low, high, *_ in each.bins]
            axes.plot(middles, [part[3] for part in each.bins], linestyle="", marker=marker, color=colour, markersize=4)
            if each.slope is not None and each.intercept is not None:
                ends = [place if is_rating else math.log2(place) for part in each.bins for place in part[:2]]
                x = np.linspace(min(ends) - 0.5, max(ends) + 0.5, 200)
                expected = 1 / (1 + np.exp(-(each.intercept + each.slope * x)))
                axes.plot(x if is_rating else np.exp2(x), expected, color=colour, linewidth=1.4)
            if each.p50 is not None:
                ends = [each.p50 if end is None else end for end in (each.low, each.high)]
                height = 0.5 + 0.012 * (i - (len(horizons) - 1) / 2)
                axes.plot(ends, [height, height], color=colour, linewidth=2.4, alpha=0.6)
                axes.plot([each.p50], [height], marker="D", color=colour, markersize=5, linestyle="", label=name)
        axes.axhline(0.5, color="#888888", linewidth=0.8)
        axes.set_ylim(-0.03, 1.03)
        if any(each.p50 is not None for each in horizons.values()):
            axes.legend(loc="best", frameon=False, fontsize=8)


def plot_trajectories(
    path: Path, axis: str, series: Mapping[str, Mapping[str, Sequence[Sequence[tuple[float, float, float, float]]]]]
) -> None:
    """Solved shares along training, a panel for each level, a colour for each side and a curve for each of its runs,
    with a 95 % band where a side has one run.

    Args:
        axis: name of what training is measured in.
        series: level to side to (where on the axis, share, low, high) of each probe of each run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(len(series), 3)
    rows = -(-len(series) // columns)
    figure = Figure(figsize=(3.6 * columns, 2.8 * rows), dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    for panel, (level, sides) in enumerate(series.items()):
        axes = figure.add_subplot(rows, columns, panel + 1)
        for i, (side, runs) in enumerate(sides.items()):
            again, i = divmod(i, len(_COLOURS))
            line, label = _LINES[again % len(_LINES)] + _MARKERS[i], side
            for points in filter(None, runs):
                x, share, low, high = zip(*points, strict=True)
                if len(runs) == 1:
                    axes.fill_between(x, low, high, color=_COLOURS[i], alpha=0.15, linewidth=0)
                axes.plot(x, share, line, color=_COLOURS[i], markersize=3, linewidth=1.2, label=label)
                label = "_"  # which matplotlib leaves out of a legend
        axes.set_title(level, loc="left", fontsize=9, parse_math=False)
        axes.set_xlabel(axis, fontsize=8, parse_math=False)
        axes.set_ylim(-0.03, 1.03)
        axes.tick_params(labelsize=7)
        if panel == 0 and sides:
            for text in axes.legend(loc="best", frameon=False, fontsize=7).get_texts():
                text.set_parse_math(False)
    save(figure, path)


@contextmanager
def _picture(
    path: Path,
    title: str,
    unit: str,
    *,
    size: tuple[float, float] = _SIZE_INCHES,
    below: str = "updates",
    integers: bool = True,
) -> Iterator[Axes]:
    """Axes that are saved when the block ends. Drawn with Agg directly: no display, no global pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    figure = Figure(figsize=size, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    yield axes
    # parse_math off: a "$" in a level's name starts no formula.
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
    axes.set_xlabel(below, fontsize=9, parse_math=False)
    axes.set_ylabel(unit, fontsize=9, parse_math=False)
    if axes.get_xscale() == "linear":
        axes.xaxis.set_major_locator(MaxNLocator(integer=integers, steps=[1, 2, 5, 10]))
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    legend = axes.get_legend()
    for text in legend.get_texts() if legend else ():
        text.set_parse_math(False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a picture: most of what a report costs."""
    figure.savefig(path)


def _updates(step: int) -> int:
    """Updates done when the step had ended: what was measured before training stands at 0."""
    return step - BEFORE_TRAINING


def _hardest(curves: Mapping[str, Curve]) -> dict[str, Curve]:
    return dict(list(curves.items())[-_MAX_SERIES:])


def _smooth(values: Sequence[float], window: int) -> list[float]:
    """Mean of the last `window` values, fewer at the start."""
    return [sum(chunk) / len(chunk) for chunk in (values[max(0, i - window + 1) : i + 1] for i in range(len(values)))]

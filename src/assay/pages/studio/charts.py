"""Charts of curves: as options of ECharts for the page, and as pictures to keep."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from assay.observe.curves import Curve

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Colours that colour-blind readers can tell apart (Okabe and Ito 2008)."""
MOST_POINTS = 400
"""Points of a curve that are drawn; of more, the means of neighbours."""


def thinned(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """Return a curve with at most so many points: the mean of each bin of neighbours, and of the ends of their band."""
    size = math.ceil(len(curve.points) / most)
    if size <= 1:
        return curve
    points, band = [], []
    for start in range(0, len(curve.points), size):
        part = curve.points[start : start + size]
        points.append((part[len(part) // 2][0], sum(value for _, value in part) / len(part)))
        if curve.band:
            ends = curve.band[start : start + size]
            band.append((sum(low for low, _ in ends) / len(ends), sum(high for _, high in ends) / len(ends)))
    return Curve(curve.name, curve.title, curve.unit, tuple(points), tuple(band))


def chart_options(title: str, curves: Mapping[str, Curve], alarms: Sequence[int] = ()) -> dict[str, Any]:
    """Return options of ECharts: each curve with its band, and a line where an alarm was.

    Args:
        curves: by what they are of: a run, a level.
        alarms: their steps, from 0.
    """
    series: list[dict[str, Any]] = []
    for number, (name, curve) in enumerate(curves.items()):
        colour, drawn = COLOURS[number % len(COLOURS)], thinned(curve)
        series.append(
            {
                "name": name,
                "type": "line",
                "showSymbol": len(drawn.points) < 3,
                "symbolSize": 6,
                "lineStyle": {"width": 1.6},
                "color": colour,
                "data": [[step + 1, _rounded(value)] for step, value in drawn.points],
            }
        )
        if drawn.band:
            series += _band(number, colour, drawn)
    if alarms and series:
        series[0]["markLine"] = {
            "symbol": "none",
            "silent": True,
            "lineStyle": {"color": "#B00020", "type": "dashed"},
            "label": {"formatter": "alarm", "color": "#B00020"},
            "data": [{"xAxis": step + 1} for step in alarms[:50]],
        }
    # Of a curve that is thinned, the first and last points are not its ends.
    steps = [step + 1 for curve in curves.values() for step, _ in curve.points] or [1]
    unit = next(iter(curves.values())).unit if curves else ""
    title = f"{title}, {unit}" if unit and unit not in title.lower() else title
    several = len(curves) > 1
    return {
        "animation": False,
        "title": {
            "text": title,
            "left": 8,
            "textStyle": {"fontSize": 13},
        },
        "grid": {"left": 56, "right": 16, "top": 66 if several else 48, "bottom": 30},
        # As plain text: names come from settings, and are never HTML.
        "tooltip": {"trigger": "axis", "renderMode": "richText", "confine": True},
        "legend": {"show": several, "top": 26, "left": 8, "type": "scroll", "data": list(curves)},
        "xAxis": {
            "type": "value",
            "min": min(steps),
            "max": max(steps),
            "minInterval": 1,
            "name": "step",
            "nameGap": 4,
        },
        "yAxis": {"type": "value", "scale": True},
        "series": series,
    }


def _band(number: int, colour: str, curve: Curve) -> list[dict[str, Any]]:
    """The band of a curve: what is between its ends, as the second of two areas on each other."""
    common = {"type": "line", "stack": f"band {number}", "showSymbol": False, "silent": True, "color": colour}
    known = [
        (step + 1, low, high)
        for (step, _), (low, high) in zip(curve.points, curve.band, strict=True)
        if math.isfinite(low) and math.isfinite(high)
    ]
    hidden = {"lineStyle": {"opacity": 0}, "tooltip": {"show": False}}
    # Without this, ECharts puts areas below 0 apart from those above it.
    common["stackStrategy"] = "all"
    return [
        {**common, **hidden, "name": f"{number} low", "data": [[x, _rounded(low)] for x, low, _ in known]},
        {
            **common,
            **hidden,
            "name": f"{number} band",
            "areaStyle": {"opacity": 0.18},
            "data": [[x, _rounded(high - low)] for x, low, high in known],
        },
    ]


def _rounded(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def picture(title: str, curves: Mapping[str, Curve], form: str, alarms: Sequence[int] = ()) -> bytes:
    """Return the same chart as a picture.

    Args:
        form: "png" or "svg".
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        steps = [step + 1 for step, _ in curve.points]
        axes.plot(steps, curve.values, color=colour, linewidth=1.4, label=name, marker="o" if len(steps) < 3 else None)
        if curve.band:
            low, high = zip(*curve.band, strict=True)
            axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0)
    for step in alarms:
        axes.axvline(step + 1, color="#B00020", linestyle="--", linewidth=1.0)
    axes.set_title(title, fontsize=10, parse_math=False)
    axes.set_xlabel("step")
    axes.set_ylabel(next(iter(curves.values())).unit if curves else "", parse_math=False)
    if len(curves) > 1:
        for text in axes.legend(frameon=False, fontsize=8).get_texts():
            text.set_parse_math(False)
    into = io.BytesIO()
    figure.savefig(into, format=form, dpi=150)
    return into.getvalue()

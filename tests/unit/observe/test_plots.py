"""Pictures: what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.observe import plots


def test_runs_of_a_side_have_its_colour_and_one_entry_of_the_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = []
    monkeypatch.setattr(plots, "save", lambda figure, path: figures.append(figure))
    curve = [(0.0, 0.1, 0.0, 0.2), (10.0, 0.5, 0.4, 0.6)]
    sides = {"fresh": [curve, curve], "stale": [curve, []], **{f"other {i}": [curve] for i in range(5)}}
    plots.plot_trajectories(Path("unused"), "tokens", {"all": sides})
    axes = figures[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(sides)
    looks = [(line.get_color(), line.get_linestyle()) for line in axes.get_lines()]
    assert len(looks) == 8
    assert looks[0] == looks[1]
    assert len(set(looks)) == 7, "a seventh side has the colour of the first, and another line"
    assert len(axes.collections) == 5, "a band where a side has one run alone"

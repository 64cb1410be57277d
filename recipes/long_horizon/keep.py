"""Keeps what docs/results/long_horizon.md is recomputed from, and draws its picture.

    python recipes/long_horizon/keep.py --evaluations evals --runs runs --output docs/results/long_horizon

EVALUATIONS/MODEL/NAME is a folder of `assay eval`, RUNS/MODEL a run folder. OUTPUT then has rows.jsonl.xz, a line for
every answer, runs.json with what each run was trained on, and, of these and of rows.json, horizon.png. What OUTPUT has
of other evaluations and runs stays.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from assay.evaluation import EvalRow
from assay.evaluation.folder import read_rows
from assay.observe.folder import read_json, write_json
from assay.statistics import Interval, clustered_proportion, proportion_over_seeds

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_CHARACTERS = 200
"""Characters of what the model said in a turn that are kept."""
FACTS = ("status", "num_steps", "sampled_tokens", "trained_tokens")
ADAPT = ("adapt-1", "adapt-2", "adapt-3")
MAX_TRIALS = 6
"""Trials of a rule that are drawn: each rule has as many."""
COLOURS = ("#000000", "#D55E00", "#0072B2")  # Okabe and Ito 2008
Point = tuple[float, Interval]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = [
        kept(row, path.parent.relative_to(options.evaluations).as_posix())
        for path in sorted(options.evaluations.rglob("rows.jsonl"))
        if (path.parent / "scores.json").is_file()
        for row in read_rows(path)
    ]
    path, new = options.output / "rows.jsonl.xz", {row["evaluation"] for row in rows}
    if path.is_file():
        with lzma.open(path, "rt") as file:
            rows = [row for row in map(json.loads, file) if row["evaluation"] not in new] + rows
    with lzma.open(path, "wt", preset=9) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    runs = {path.parent.name: read_json(path) for path in sorted(options.runs.glob("*/summary.json"))}
    facts = {name: {key: run[key] for key in FACTS if key in run} for name, run in runs.items()}
    before = read_json(options.output / "runs.json") if (options.output / "runs.json").is_file() else {}
    write_json(options.output / "runs.json", before | facts)
    draw(options.output / "horizon.png", rows)


def kept(row: EvalRow, evaluation: str) -> dict[str, Any]:
    """What is kept of an answer; "solved" and "reward" are None where it was not measured."""
    (score,) = row.scores.values()
    said = [turn.message.text for turn in row.turns] or [row.response]
    return {
        "evaluation": evaluation,
        "task": row.task_id,
        "number": row.task_index,
        "horizon": row.horizon,
        "solved": score.verdict.value == "solved" if score.measured else None,
        "reward": score.value,
        "parts": {name: round(value, 6) for name, value in score.parts.items()},
        "ending": row.ended,
        "tokens": row.num_tokens,
        "said": [text[:MAX_CHARACTERS] for text in said],
    }


def over(values_SP: Sequence[Sequence[float]]) -> Interval:
    """The mean over tasks, and over seeds where there are several."""
    if len(values_SP) > 1:
        return proportion_over_seeds(values_SP, sum(map(len, values_SP)))
    return clustered_proportion(values_SP[0], len(values_SP[0]))


def by_reinforcement(path: Path) -> dict[str, list[Point]]:
    """Success on chains of complexity 2 before and after GRPO, by horizon."""
    old = read_json(path)
    sides = {"imitation of 384 episodes": [old["cold_start"]]}
    sides["then GRPO (3 seeds)"] = [old[f"seed_{seed}"] for seed in (1, 2, 3)]
    horizons = [horizon for _, horizon in old["tasks"]]
    return {
        label: [
            (horizon, over([[row[0] for row, h in zip(one, horizons, strict=True) if h == horizon] for one in side]))
            for horizon in sorted(set(horizons))
        ]
        for label, side in sides.items()
    }


def by_imitation(rows: Sequence[Mapping[str, Any]]) -> list[Point]:
    """Success on chains of complexity 1, by horizon."""
    some = [row for row in rows if row["evaluation"] == "chain-cold-start/plain"]
    horizons = sorted({row["horizon"] for row in some})
    return [(h, over([[float(row["solved"]) for row in some if row["horizon"] == h]])) for h in horizons]


def by_trial(rows: Sequence[Mapping[str, Any]], name: str, models: Sequence[str] = ADAPT) -> list[Point]:
    """What each pull of a rule gained, one rule an episode."""
    some = [[row for row in rows if row["evaluation"] == f"{model}/{name}" and row["horizon"] == 1] for model in models]
    return [
        (trial, over([[row["parts"][f"trial_{trial}"] for row in one] for one in some if one]))
        for trial in range(1, MAX_TRIALS + 1)
    ]


def draw(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Left: success on chains against their horizon. Right: what pulls gain inside an episode."""
    figure = Figure(figsize=(9.6, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    chain, adapt = figure.subplots(1, 2)
    left = {**by_reinforcement(path.with_name("rows.json")), "complexity 1, imitation of 512": by_imitation(rows)}
    for place, (label, points) in enumerate(left.items()):
        line(chain, points, label, place, shift=1 + 0.03 * (place - 1))
    chain.set_xscale("log", base=2)
    chain.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    titled(chain, "chain: solved, against horizon", "updates in a row", "solved")
    for place, (label, name) in enumerate((("pay is told, 3 seeds", "feedback"), ("not told", "cut")), 1):
        line(adapt, by_trial(rows, name), label, place)
        for model in ADAPT:
            seed = by_trial(rows, name, [model])
            adapt.plot([x for x, _ in seed], [y.value for _, y in seed], color=COLOURS[place], linewidth=0.6, alpha=0.6)
    titled(adapt, "adapt: gained, pull by pull", "pull of the episode", "share of the best pay")
    figure.savefig(path)


def line(axes: Axes, points: Sequence[Point], label: str, place: int, *, shift: float = 1.0) -> None:
    """One line with intervals; `shift` parts those of one x."""
    axes.errorbar(
        [x * shift for x, _ in points],
        [found.value for _, found in points],
        yerr=[[found.value - found.low for _, found in points], [found.high - found.value for _, found in points]],
        color=COLOURS[place],
        marker="osD"[place],
        markersize=4,
        linewidth=1.4,
        capsize=3,
        label=label,
    )


def titled(axes: Axes, title: str, below: str, beside: str) -> None:
    axes.set_title(title, loc="left", fontsize=10)
    axes.set_xlabel(below, fontsize=9)
    axes.set_ylabel(f"{beside}, held-out tasks", fontsize=8)
    axes.set_ylim(-0.03, 1.03)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.legend(loc="best", frameon=False, fontsize=8)


if __name__ == "__main__":
    main()

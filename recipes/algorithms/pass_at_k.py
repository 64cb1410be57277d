"""pass@k of the base model, of what GRPO made of it, and of what the controls made of it: sharper, or more able?

    assay sweep recipes/algorithms/algorithms.toml --cells grpo,random_reward,format_reward,wrong_labels
    python recipes/algorithms/pass_at_k.py --output pass_at_k

Reinforcement may only make likelier what the model could do before: then pass@1 rises and pass@64 does not. Each model
is measured by `assay eval` on the same held-out tasks, in a folder of its own under OUTPUT: the same command goes on
where it was stopped. At the end OUTPUT has pass_at_k.json, pass_at_k.md and pass_at_k.png.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from assay.home import assay_home
from assay.observe.folder import read_json, write_json
from assay.statistics import t_interval

RECIPE = Path(__file__).with_name("arithmetic.toml")
BASE = "base"
CELLS = ("grpo", "random_reward", "format_reward", "wrong_labels")
READING = "strict"
COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe and Ito 2008


def main() -> None:
    options = parse_arguments()
    models = {(BASE, 0): options.base} | {
        (cell, seed): read_json(options.sweep / "results" / cell / f"seed-{seed}" / "summary.json")["model"]
        for seed in options.seeds
        for cell in options.cells
    }
    for (cell, seed), model in models.items():
        measure(model, options.output / cell / f"seed-{seed}", options)
    found = {name: scores_of(options.output / name[0] / f"seed-{name[1]}", options.ks) for name in models}
    rows = [summarise(cell, found, options.ks) for cell in (BASE, *options.cells)]
    settings = {"num_tasks": options.num_tasks, "samples": options.samples, "max_new_tokens": options.max_new_tokens}
    write_json(options.output / "pass_at_k.json", {"settings": settings, "reading": READING, "cells": rows})
    (options.output / "pass_at_k.md").write_text(table(rows, options.ks), encoding="utf-8")
    draw(options.output / "pass_at_k.png", rows, options.ks)
    print(table(rows, options.ks))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="default", help="the model that training began with")
    parser.add_argument("--sweep", type=Path, default=assay_home() / "sweeps" / "algorithms", help="the sweep's folder")
    parser.add_argument("--cells", type=lambda text: text.split(","), default=list(CELLS))
    parser.add_argument("--seeds", type=lambda text: [int(part) for part in text.split(",")], default=[1, 2, 3])
    parser.add_argument("--num-tasks", type=int, default=64)
    parser.add_argument("--samples", type=int, default=128, help="of each task, at temperature 1: twice the largest k")
    parser.add_argument("--ks", type=lambda text: [int(k) for k in text.split(",")], default=[1, 2, 4, 8, 16, 32, 64])
    parser.add_argument("--max-new-tokens", type=int, default=24, help="as in training")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def measure(model: str, folder: Path, options: argparse.Namespace) -> None:
    """`assay eval`, which skips what the folder has already."""
    if (folder / "scores.json").is_file():
        return
    command = [str(Path(sys.executable).with_name("assay")), "eval", model, "--recipe", str(RECIPE)]
    command += ["--num-tasks", str(options.num_tasks), "--samples", str(options.samples), "--temperature", "1"]
    command += ["--k", ",".join(map(str, options.ks)), "--max-new-tokens", str(options.max_new_tokens)]
    subprocess.run([*command, "--output", str(folder)], check=True)


def scores_of(folder: Path, ks: list[int]) -> dict[int, dict[str, float]]:
    """k to pass@k with its interval over tasks."""
    pass_at_k = read_json(folder / "scores.json")["readings"][READING]["pass_at_k"]
    return {k: pass_at_k[str(k)] for k in ks}


def summarise(cell: str, found: dict[tuple[str, int], dict[int, dict[str, float]]], ks: list[int]) -> dict[str, Any]:
    """A cell's seeds, and for each k the mean: its interval over seeds, or over tasks where there is one model."""
    seeds = {seed: scores for (name, seed), scores in found.items() if name == cell}
    row: dict[str, Any] = {"cell": cell, "seeds": {str(seed): scores for seed, scores in seeds.items()}, "mean": {}}
    for k in ks:
        values = [scores[k]["value"] for scores in seeds.values()]
        if len(values) > 1:
            row["mean"][str(k)] = t_interval(values).to_dict()
        else:
            (scores,) = seeds.values()
            row["mean"][str(k)] = {key: scores[k][key] for key in ("value", "low", "high")}
    return row


def table(rows: list[dict[str, Any]], ks: list[int]) -> str:
    lines = ["| model | " + " | ".join(f"pass@{k}" for k in ks) + " |", "|---|" + "---|" * len(ks)]
    for row in rows:
        cells = [
            f"{100 * m['value']:.1f} % [{100 * m['low']:.1f}, {100 * m['high']:.1f}]"
            for m in (row["mean"][str(k)] for k in ks)
        ]
        lines.append(f"| {row['cell']} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(path: Path, rows: list[dict[str, Any]], ks: list[int]) -> None:
    figure = Figure(figsize=(5.4, 3.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for row, colour in zip(rows, COLOURS, strict=False):
        for scores in row["seeds"].values():
            axes.plot(ks, [scores[k]["value"] for k in ks], color=colour, linewidth=0.6, alpha=0.5)
        means = [row["mean"][str(k)]["value"] for k in ks]
        axes.plot(ks, means, color=colour, linewidth=1.6, marker="o", markersize=3, label=row["cell"])
    axes.set_xscale("log", base=2)
    axes.set_xticks(ks, [str(k) for k in ks])
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("k", fontsize=9)
    axes.set_title("pass@k on held-out sums; thin: each seed", loc="left", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.legend(loc="upper left", frameon=False, fontsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path)


if __name__ == "__main__":
    main()

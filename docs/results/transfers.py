"""What transfer.md is recomputed from: every answer (transfer/rows.jsonl.xz), by the code of `assay transfer` itself.

python docs/results/transfers.py FOLDER      # keeps the answers of an experiment's folder, and its picture
"""

from __future__ import annotations

import json
import lzma
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from verify import Numbers

from assay.evaluation import EvalRow, Evaluation
from assay.evaluation.folder import read_rows
from assay.evaluation.transfer import ArmResults, draw_matrix, transfer_matrix
from assay.statistics import wilson

FOLDER = Path(__file__).parent / "transfer"
ROWS, RESULT, PICTURE = "rows.jsonl.xz", "result.json", "matrix.png"
BASE = "base"


def keep(source: Path) -> None:
    """Keep what is recomputed of an experiment's folder: every answer, and what its runs cost."""
    FOLDER.mkdir(exist_ok=True)
    result = json.loads((source / "transfer.json").read_text(encoding="utf-8"))
    arms = {run["cell"]: arm["name"] for arm in result["arms"] for run in arm["runs"]}
    rows = []
    for file in sorted((source / "evaluations").rglob("rows.jsonl")):
        cell, *seed, environment = file.relative_to(source / "evaluations").parts[:-1]
        place = {
            "arm": BASE if cell == BASE else arms[cell],
            "seed": int(seed[0].removeprefix("seed-")) if seed else None,
            "environment": environment.rpartition("-")[0],
        }
        rows += [{**place, "row": {**row.to_dict(), "prompt": "", "turns": []}} for row in read_rows(file)]
    with lzma.open(FOLDER / ROWS, "wt", preset=9) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    kept = {key: result[key] for key in ("seeds", "tokens", "reading", "environments", "arms", "provenance")}
    (FOLDER / RESULT).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    draw_matrix({**result, "cells": recomputed()[1]}, [FOLDER / PICTURE])
    Image.open(FOLDER / PICTURE).convert("RGB").quantize(48).save(FOLDER / PICTURE, optimize=True)


def recomputed() -> tuple[dict[str, Evaluation], list[dict[str, Any]], dict[str, Any]]:
    """The evaluations of the base, the cells of the matrix, and what was kept of the runs."""
    result = json.loads((FOLDER / RESULT).read_text(encoding="utf-8"))
    found: dict[tuple[str, int | None], dict[str, list[EvalRow]]] = {}
    with lzma.open(FOLDER / ROWS, "rt") as file:
        for line in map(json.loads, file):
            of_model = found.setdefault((line["arm"], line["seed"]), {})
            of_model.setdefault(line["environment"], []).append(EvalRow.from_dict(line["row"]))
    models = {
        model: {name: Evaluation(tuple(rows)) for name, rows in by_environment.items()}
        for model, by_environment in found.items()
    }
    arms = [
        ArmResults(
            arm["name"],
            tuple(arm["trained_on"]),
            {seed: models[arm["name"], seed] for seed in result["seeds"] if (arm["name"], seed) in models},
        )
        for arm in result["arms"]
    ]
    base = models[BASE, None]
    names = [each["name"] for each in result["environments"]]
    return base, transfer_matrix(base, arms, names, result["reading"]), result


def transfer_page() -> Numbers:
    """Every number of the page's tables."""
    base, cells, result = recomputed()
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for name, evaluation in base.items():
        solved = sum(row.scores[result["reading"]].verdict.value == "solved" for row in evaluation.rows)
        found = wilson(solved, len(evaluation.rows))
        shown = f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"
        rows["Before training", name] = [None, str(len(evaluation.rows)), shown]
    for arm in result["arms"]:
        own = [cell for cell in cells if cell["arm"] == arm["name"]]
        rows["Gains", arm["name"]] = [points(cell["gain"]) for cell in own]
        rows["Seeds", arm["name"]] = [
            ", ".join("-" if gain is None else f"{100 * gain:+.0f}" for gain in cell["gain_of_seeds"]) for cell in own
        ]
        runs = arm["runs"]
        rows["Cost", arm["name"]] = [
            ", ".join(f"{run[key]:,.0f}" for run in runs) for key in ("sampled_tokens", "updates", "seconds")
        ]
    return Numbers(rows, [f"corrected for {len(cells)} cells"])


def points(gain: Mapping[str, Any] | None) -> str:
    """A gain in points with its interval; bold where it stays after Holm's correction."""
    if gain is None:
        return "-"
    text = f"{100 * gain['value']:+.1f} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"
    return f"**{text}**" if gain["p_holm"] < 0.05 else text


if __name__ == "__main__":
    keep(Path(sys.argv[1]))

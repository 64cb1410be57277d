"""What rlhf_vs_rlvr.md is recomputed from: rlhf_vs_rlvr/rows.jsonl.xz, a line for every held-out answer, and
curves.json, what each run sampled.

python docs/results/comparisons.py FOLDER [CELL ...]    # keeps what cells.py left in FOLDER, and draws it

With cells named, their runs alone are taken from FOLDER, and what is kept of others stays.
"""

from __future__ import annotations

import functools
import json
import lzma
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from horizons import difference, level, percent, points
from verify import Numbers

from assay.evaluation.folder import read_rows
from assay.observe.folder import read_json, write_json
from assay.observe.store import RunStore
from assay.statistics import t_interval, wilson

FOLDER = Path(__file__).parent / "rlhf_vs_rlvr"
LEVELS = (2, 3, 4)
BEFORE = "base"
LABELS = {
    "verifier": "the verifier",
    "reward_model": "a reward model",
    "reward_model_ended": "the same, 3 less without an end",
    "dpo": "DPO",
    "both": "both",
    "accepts_05": "5 % false accepts",
    "accepts_20": "20 % false accepts",
    "accepts_40": "40 % false accepts",
    "rejects_05": "5 % false rejects",
    "rejects_20": "20 % false rejects",
    "rejects_40": "40 % false rejects",
}
COLOURS = {"verifier": "#000000", "reward_model": "#D55E00", "dpo": "#0072B2", "both": "#009E73"}  # Okabe and Ito 2008
Rows = dict[tuple[str, str], Sequence[str | None]]


def keep(source: Path, cells: Sequence[str] = ()) -> None:
    """Keep what is recomputed: held-out answers, and for each step what was paid and what was right."""
    FOLDER.mkdir(exist_ok=True)

    def is_taken(name: str) -> bool:
        return not cells or name.rpartition("-")[0] in cells

    rows, curves = [], {}
    if cells:
        with lzma.open(FOLDER / "rows.jsonl.xz", "rt") as file:
            rows = [row for row in map(json.loads, file) if not is_taken(row[0])]
        curves = {name: run for name, run in read_json(FOLDER / "curves.json").items() if not is_taken(name)}
    for path in sorted(source.glob("evals/*/scores.json")):
        if not is_taken(path.parent.name):
            continue
        for row in read_rows(path.with_name("rows.jsonl")):
            right = row.scores["strict"].value
            rows.append([path.parent.name, int(row.complexity or 0), row.task_index, right, row.response[:60]])
    with lzma.open(FOLDER / "rows.jsonl.xz", "wt", preset=9) as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    runs = [path.parent for path in sorted(source.glob("runs/*/summary.json")) if is_taken(path.parent.name)]
    write_json(FOLDER / "curves.json", curves | {run.name: curve(run) for run in runs})
    if (source / "runs/fit").is_dir():
        write_json(FOLDER / "pairs.json", scored(source))
    draw(FOLDER / "proxy.png")


def scored(source: Path) -> list[list[Any]]:
    """Complexity, whether the rater preferred the right answer, and by how much the reward model does, of each
    comparison whose prompt the reward model was not fitted on."""
    from assay.environments.splits import hashed_split
    from assay.models.reward import open_reward_model
    from assay.preferences import read_pairs

    scorer, renderer = open_reward_model(str(source / "runs/fit"))
    found = []
    for pair in read_pairs(str(source / "pairs.jsonl")):
        if hashed_split("pairs", pair.prompt_key) != "test":
            continue
        sides = (pair.first, pair.second)
        texts = [[*renderer.render(pair.prompt), *renderer.encode_answer(each[0].content)] for each in sides]
        rewards = scorer.rewards(texts)
        right = int(pair.metadata["quality"][1])
        margin = rewards[right] - rewards[1 - right]
        found.append([int(pair.metadata["complexity"]), float(pair.preference == right), round(margin, 5)])
    return found


def curve(run: Path) -> dict[str, Any]:
    """What a run sampled at each step: tokens so far, the mean reward, the share that is right, the divergence."""
    summary = read_json(run / "summary.json")
    found: dict[str, Any] = {key: summary[key] for key in ("num_steps", "sampled_tokens", "trained_tokens", "seconds")}
    if run.name == "fit":
        return found | {"comparisons": summary["comparisons"]}
    with RunStore.open_readonly(run) as store:
        kl = dict(store.metrics().get("loss/reference_kl_nats", []))
        steps: dict[int, list[tuple[float, float, int]]] = {}
        for one in store.rollouts():
            if one.value is not None:
                said = one.response.replace("<|im_end|>", "").rpartition("=")[2].strip()
                right = float(said == one.answer and one.ending == "finished")
                steps.setdefault(one.step, []).append((one.value, right, one.num_tokens))
    tokens = 0
    found["steps"] = []
    for step, some in sorted(steps.items()):
        tokens += sum(each[2] for each in some)
        reward, right = (math.fsum(each[place] for each in some) / len(some) for place in (0, 1))
        found["steps"].append([tokens, round(reward, 5), round(right, 5), kl.get(step)])
    return found


@functools.cache
def answers() -> Mapping[str, Mapping[int, list[float]]]:
    """Run to complexity to whether each held-out answer is right, in the order of the tasks."""
    found: dict[str, dict[int, dict[int, float]]] = {}
    with lzma.open(FOLDER / "rows.jsonl.xz", "rt") as file:
        for name, complexity, number, right, _ in map(json.loads, file):
            found.setdefault(name, {}).setdefault(complexity, {})[number] = right
    return {
        name: {complexity: [of[number] for number in sorted(of)] for complexity, of in levels.items()}
        for name, levels in found.items()
    }


def values(name: str, complexity: int | None) -> list[float]:
    """Whether each answer of a run is right, at one complexity or at all."""
    return [right for each in (LEVELS if complexity is None else (complexity,)) for right in answers()[name][each]]


def seeds_of(cell: str) -> list[str]:
    """The names of a cell's runs that were measured."""
    return sorted(name for name in answers() if name.rpartition("-")[0] == cell)


def rlhf_vs_rlvr() -> Numbers:
    """What the page must say."""
    rows: Rows = {}
    cells = [cell for cell in LABELS if seeds_of(cell)]
    paid = curves_of("reward_model")[0]
    for complexity in (*LEVELS, None):
        before = values(BEFORE, complexity)
        label = f"complexity {complexity}" if complexity else "all"
        sides = {cell: [values(name, complexity) for name in seeds_of(cell)] for cell in cells}
        main = [cell for cell in ("verifier", "reward_model", "dpo") if cell in sides]
        rows["By level", label] = [
            level([before]).as_percent(),
            *(level(sides[cell]).as_percent() for cell in main),
        ]
        rows["Gains and gaps", f"at {complexity}" if complexity else "over all"] = [
            *(points(difference([before] * len(sides[cell]), sides[cell])) for cell in main),
            points(difference(sides["reward_model"], sides["verifier"])),
        ]
    for complexity in (*LEVELS, None):
        some = [row for row in json.loads((FOLDER / "pairs.json").read_text()) if complexity in (None, row[0])]
        rows["The reward model", f"complexity {complexity}" if complexity else "all"] = [
            str(len(some)),
            wilson(sum(row[1] for row in some), len(some)).as_percent(),
            wilson(sum(row[2] > 0 for row in some), len(some)).as_percent(),
        ]
    for cell in (cell for cell in cells if cell not in ("reward_model", "dpo")):
        sides_SP = [values(name, None) for name in seeds_of(cell)]
        rows["How clean must a reward be?", LABELS[cell]] = [
            str(len(sides_SP)),
            level(sides_SP).as_percent(),
            points(difference([values(BEFORE, None)] * len(sides_SP), sides_SP)),
        ]
    phrases = [
        f"from {paid[0][1]:+.2f} at the first step to {paid[-1][1]:+.2f} at the last",
        f"{percent(max(row[2] for row in paid))} at its best step",
        f"{paid[0][0] / 128:.0f} tokens an answer to {(paid[-1][0] - paid[-2][0]) / 128:.0f}",
    ]
    return Numbers(rows, phrases)


def curves_of(cell: str) -> list[list[list[float]]]:
    """The steps of each run of a cell: tokens, reward, share that is right, divergence."""
    kept = json.loads((FOLDER / "curves.json").read_text(encoding="utf-8"))
    return [run["steps"] for name, run in sorted(kept.items()) if name.rpartition("-")[0] == cell and run.get("steps")]


def draw(path: Path) -> None:
    """Left: what is paid against what is right, over tokens. Right: what is right against the divergence."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    for cell, label in (("verifier", "by the verifier"), ("reward_model", "by a reward model")):
        runs = curves_of(cell)
        if not runs:
            continue
        steps = range(min(map(len, runs)))
        tokens = [sum(run[step][0] for run in runs) / len(runs) for step in steps]
        band(left, tokens, [[smooth(run, step, 2) for run in runs] for step in steps], COLOURS[cell], f"right, {label}")
        if cell == "reward_model":
            paid = [[smooth(run, step, 1) for run in runs] for step in steps]
            twin = left.twinx()
            band(twin, tokens, paid, "#CC79A7", "reward of the reward model", dashed=True)
            twin.set_ylabel("reward", fontsize=8)
            twin.tick_params(labelsize=7)
            twin.legend(loc="lower right", frameon=False, fontsize=7)
        for run in runs:
            known = [(row[3], smooth(run, step, 2)) for step, row in enumerate(run) if row[3] is not None]
            right.plot(
                *zip(*known, strict=True), color=COLOURS[cell], linewidth=1.0, label=label if run is runs[0] else None
            )
    for axes, title, below in (
        (left, "sampled answers that are right", "sampled tokens"),
        (right, "right against divergence", "KL from the base model, nats a token"),
    ):
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel(below, fontsize=9)
        axes.set_ylim(0, 1)
        axes.tick_params(labelsize=8)
        axes.grid(True, color="#dddddd", linewidth=0.6)
        axes.legend(loc="upper left", frameon=False, fontsize=7)
    right.set_xlim(0, 1)
    figure.savefig(path)


def smooth(run: Sequence[Sequence[float]], step: int, place: int) -> float:
    """A value's mean over the five steps up to this one."""
    some = [row[place] for row in run[max(0, step - 4) : step + 1]]
    return math.fsum(some) / len(some)


def band(
    axes: Any,
    x: Sequence[float],
    values_TS: Sequence[Sequence[float]],
    colour: str,
    label: str,
    *,
    dashed: bool = False,
) -> None:
    """The mean over seeds, with Student's interval where there are several."""
    found = [t_interval(values) if len(values) > 1 else None for values in values_TS]
    means = [sum(values) / len(values) for values in values_TS]
    axes.plot(x, means, color=colour, linewidth=1.4, linestyle="--" if dashed else "-", label=label)
    if all(found):
        axes.fill_between(x, [f.low for f in found], [f.high for f in found], color=colour, alpha=0.15, linewidth=0)  # pyright: ignore[reportOptionalMemberAccess]


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2:])

"""What the pages of probes, those in PAGES, are recomputed from: each run's probes (probes.json.xz), by the
code of `assay trajectories` itself.

python docs/results/probes.py SWEEP_FOLDER NAME     # keeps the probes of a sweep's runs beside the page NAME.md
"""

from __future__ import annotations

import functools
import json
import lzma
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from verify import Numbers

from assay.evaluation.trajectories import (
    ALL,
    SeedRuns,
    Skill,
    Trajectory,
    compare_trajectories,
    describe,
    read_trajectory,
)
from assay.observe.folder import read_json
from assay.observe.plots import plot_trajectories
from assay.observe.store import RunStore
from assay.statistics import Interval

RESULTS = Path(__file__).parent
KEPT, PICTURE = "probes.json.xz", "curves.png"
BASIC = "curriculum/basic_arithmetic"
TOKENS, SECONDS = "sampled_tokens", "seconds"
PROPOSED = (
    *(f"propose/{share}_share" for share in ("read", "new", "kept", "solved", "from_given")),
    "environment/propose/reward_mean",
)
LEVELS = "propose/level_count/"
AGED = ("rollout/mean_staleness_versions", "rollout/max_staleness_versions", "gap/mean_nats")
EXPLAINED = ("loss/value_explained_share",)
STEPS = 4
"""Steps at the beginning and at the end of a run that means are over."""


def keep(source: Path, name: str) -> None:
    """Keep the probes of a sweep's runs, and draw their curves."""
    runs = []
    for store in sorted((source / "runs").rglob("run.sqlite")):
        if read_json(store.parent / "summary.json").get("status") != "finished":
            continue
        run = read_trajectory(store.parent)
        skills = {
            key: {"tasks": skill.task_ids, "solved": skill.solved.tolist(), "tokens": skill.tokens}
            for key, skill in run.skills.items()
        }
        cell, seed = store.parts[-3], int(store.parts[-2].removeprefix("seed-"))
        told = {"steps": run.steps, "axes": run.axes, "entropy": run.entropy, "skills": skills}
        for key, metrics in (("proposed", PROPOSED), ("aged", AGED), ("explained", EXPLAINED)):
            if found := _by_step(store, metrics):
                told[key] = found
        runs.append({"cell": cell, "seed": seed, **told})
    folder = RESULTS / name
    folder.mkdir(exist_ok=True)
    with lzma.open(folder / KEPT, "wt", preset=9) as file:
        json.dump(runs, file)
    kept_runs.cache_clear()
    sides_of.cache_clear()
    draw(name)


def draw(name: str) -> None:
    """Draw the curves of each cell's runs, from what is kept of them."""
    folder = RESULTS / name
    sides = sides_of(name)
    axis = TOKENS if all(TOKENS in run.axes for side in sides.values() for run in side.runs) else SECONDS
    series: dict[str, dict[str, list[list[tuple[float, float, float, float]]]]] = {}
    for cell, side in sides.items():
        for run in side.runs:
            for key, skill in run.skills.items():
                points = zip(run.axis(axis).tolist(), skill.curve(), strict=True)
                curve = [(x, point.value, point.low, point.high) for x, point in points if point is not None]
                series.setdefault(key, {}).setdefault(cell, []).append(curve)
    plot_trajectories(folder / PICTURE, axis.replace("_", " "), series)
    Image.open(folder / PICTURE).convert("RGB").quantize(64).save(folder / PICTURE, optimize=True)


def _by_step(store: Path, metrics: Sequence[str]) -> dict[str, list[float | None]]:
    """What a run records of some metrics, by step; empty where it has not the first of them."""
    series = RunStore.open_readonly(store.parent).metrics()
    steps = len(series.get(metrics[0], ()))
    found: dict[str, list[float | None]] = {}
    for metric, values in series.items() if steps else ():
        if metric in metrics or metric.startswith(LEVELS):
            at = dict(values)
            found[metric] = [at.get(step) for step in range(steps)]
    return found


@functools.cache
def kept_runs(name: str) -> list[dict[str, Any]]:
    """What is kept beside a page, by seed."""
    with lzma.open(RESULTS / name / KEPT, "rt") as file:
        return sorted(json.load(file), key=lambda run: run["seed"])


@functools.cache
def sides_of(name: str) -> dict[str, SeedRuns]:
    """Cell to its runs by seed, from what is kept beside a page."""
    found: dict[str, list[Trajectory]] = {}
    for run in kept_runs(name):
        found.setdefault(run["cell"], []).append(_trajectory(run))
    return {cell: SeedRuns(cell, tuple(runs)) for cell, runs in found.items()}


def _trajectory(run: Mapping[str, Any]) -> Trajectory:
    skills = {
        key: Skill(
            key,
            tuple(kept["tasks"]),
            np.asarray(kept["solved"], dtype=np.float64),
            ((),) * len(run["steps"]),
            tuple(kept["tokens"]),
        )
        for key, kept in run["skills"].items()
    }
    axes = {name: tuple(values) for name, values in run["axes"].items()}
    entropy = tuple((int(step), float(value)) for step, value in run["entropy"])
    return Trajectory(str(run["seed"]), tuple(run["steps"]), axes, skills, entropy)


def trajectories_page() -> Numbers:
    """Every number of the tables of trajectories.md."""
    sides = sides_of("trajectories")
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    phrases: list[str] = []
    for cell, section, axis in (
        ("reinforced", "By reinforcement", TOKENS),
        ("imitated", "By imitation", SECONDS),
    ):
        told = describe(sides[cell], axis, 0.5, fit=True)
        rows |= _by_seed(section, told)
        if cell == "reinforced":
            for pair in told["pairs"] if len(told["runs"]) > 1 else ():
                share = pair["share"]
                phrases.append(
                    f"{pair['first']} before {pair['second']} in {share['value']:.0%} of {pair['num_runs']} runs "
                    f"[{share['low']:.0%}, {share['high']:.0%}]"
                )
            for run in told["runs"]:
                law = run["skills"][ALL]["law"]
                shown = ["too few probes"] if law is None else [law["verdict"]]
                rows["The law", f"seed {run['name']}"] = shown
    rows |= _differences("Beside imitation", sides["reinforced"], {"imitated": sides["imitated"]}, SECONDS)
    return Numbers(rows, phrases)


def curriculum_page() -> Numbers:
    """Every number of the tables of curriculum.md."""
    rows = _beside("curriculum", "uniform")
    if (RESULTS / BASIC / KEPT).exists():
        rows |= _beside(BASIC, "uniform", "Basic arithmetic: ")
    return Numbers(rows)


def propose_page() -> Numbers:
    """Every number of the tables of propose.md."""
    rows = _beside("propose", "given")
    for cell in dict.fromkeys(run["cell"] for run in kept_runs("propose") if "proposed" in run):
        own = [run["proposed"] for run in kept_runs("propose") if run["cell"] == cell]
        rows["What was proposed", cell] = [
            ", ".join(
                _early_and_late(series.get(metric, []), percent=not metric.endswith("reward_mean")) for series in own
            )
            for metric in PROPOSED
        ]
        for level in sorted({metric for series in own for metric in series if metric.startswith(LEVELS)}):
            named = f"{cell}, {level.removeprefix(LEVELS).replace('_', ' ')}"
            counts = [[value or 0.0 for value in series.get(level, [])] for series in own]
            rows["Levels of what was accepted", named] = [
                ", ".join(f"{sum(some[:STEPS]):.0f} to {sum(some[-STEPS:]):.0f}" for some in counts)
            ]
    return Numbers(rows)


def staleness_page() -> Numbers:
    """Every number of the tables of staleness.md."""
    rows = _beside("staleness", "fresh")
    for cell in dict.fromkeys(run["cell"] for run in kept_runs("staleness") if "aged" in run):
        own = [run["aged"] for run in kept_runs("staleness") if run["cell"] == cell]
        mean, most, gap = ([[value or 0.0 for value in run[metric]] for run in own] for metric in AGED)
        rows["How old the samples were", cell] = [
            ", ".join(f"{np.mean(run):.2f}" for run in mean),
            ", ".join(f"{max(run):.0f}" for run in most),
            ", ".join(f"{np.mean(run):.3f}" for run in gap),
        ]
    return Numbers(rows)


def critic_page() -> Numbers:
    """Every number of the tables of critic.md."""
    rows = _beside("critic", "policys_rate")
    for cell in dict.fromkeys(run["cell"] for run in kept_runs("critic")):
        own = [run["explained"][EXPLAINED[0]] for run in kept_runs("critic") if run["cell"] == cell]
        rows["What the critic explains", cell] = [", ".join(_early_and_late(run, percent=True) for run in own)]
    return Numbers(rows)


def _early_and_late(values: Sequence[float | None], *, percent: bool) -> str:
    """The means of the first and of the last `STEPS` steps of a run; steps without a value are left out."""
    means = []
    for some in (values[:STEPS], values[-STEPS:]):
        known = [value for value in some if value is not None]
        mean = sum(known) / len(known) if known else None
        means.append("-" if mean is None else f"{100 * mean:.0f} %" if percent else f"{mean:+.2f}")
    return " to ".join(means)


def _beside(name: str, first: str, part: str = "") -> dict[tuple[str, str], Sequence[str | None]]:
    """The rows of a sweep of cells beside one of them: all levels, the last probe by level, and differences.

    Args:
        part: of a page of several sweeps, what its sections begin with.
    """
    sides = sides_of(name)
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for cell, side in sides.items():
        told = describe(side, TOKENS, 0.5)
        skill = [run["skills"][ALL] for run in told["runs"]]
        rows[_section(part, "All levels"), cell] = [
            *(", ".join(share(each["solved"][index]) for each in skill) for index in (0, -1)),
            "; ".join(reached(each["reached"]) for each in skill),
            ", ".join(share(each["area"]) for each in skill),
        ]
        levels = [level for level in told["runs"][0]["skills"] if level != ALL]
        rows[_section(part, "Last probe by level"), cell] = [
            ", ".join(share(run["skills"][level]["solved"][-1]) for run in told["runs"]) for level in levels
        ]
    others = {cell: side for cell, side in sides.items() if cell != first}
    return rows | _differences(_section(part, f"Differences from {first}"), sides[first], others, TOKENS)


def _section(part: str, name: str) -> str:
    return f"{part}{name[0].lower()}{name[1:]}" if part else name


def _by_seed(section: str, told: Mapping[str, Any]) -> dict[tuple[str, str], Sequence[str | None]]:
    """A row for each skill: first and last probe, the axis to the threshold, and the area, seed by seed."""
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for name in told["runs"][0]["skills"]:
        own = [run["skills"][name] for run in told["runs"]]
        rows[section, name] = [
            str(own[0]["num_tasks"]),
            *(", ".join(share(each["solved"][index]) for each in own) for index in (0, -1)),
            "; ".join(reached(each["reached"]) for each in own),
            ", ".join(share(each["area"]) for each in own),
            ", ".join(share((each["turnover"] or {}).get("forgotten")) for each in own),
        ]
    return rows


def _differences(
    section: str, first: SeedRuns, others: Mapping[str, SeedRuns], axis: str
) -> dict[tuple[str, str], Sequence[str | None]]:
    """A row for each other side and skill: area and last probe less those of the first, in points."""
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for cell, side in others.items():
        found = compare_trajectories(first, side, axis)
        for skill in dict.fromkeys(each.skill for each in found):
            of = {each.measure: each.difference for each in found if each.skill == skill}
            cells = [
                f"{100 * of[key].value:+.1f} [{100 * of[key].low:+.1f}, {100 * of[key].high:+.1f}]"
                if key in of
                else "-"
                for key in ("area", "last")
            ]
            rows[section, f"{cell}, {skill}"] = cells
    return rows


def points(difference: Interval) -> str:
    """A difference of shares in points, with its interval."""
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def share(found: Mapping[str, float] | None) -> str:
    """A share in percent; its interval is over a probe's few tasks, and is left to the command."""
    return "-" if found is None else f"{100 * found['value']:.0f} %"


def reached(found: Mapping[str, float | None]) -> str:
    """Where a threshold was reached, with its interval over tasks."""
    value, low, high = ("not" if found[key] is None else f"{found[key]:,.0f}" for key in ("value", "low", "high"))
    return value if (value, low, high) == ("not",) * 3 else f"{value} [{low}, {high}]"


PAGES: Mapping[str, Callable[[], Numbers]] = {
    "critic": critic_page,
    "curriculum": curriculum_page,
    "propose": propose_page,
    "staleness": staleness_page,
    "trajectories": trajectories_page,
}


if __name__ == "__main__":
    keep(Path(sys.argv[1]), sys.argv[2])

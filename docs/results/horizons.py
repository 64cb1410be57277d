"""What long_horizon.md is recomputed from: long_horizon/rows.jsonl.xz, a line for every answer, and rows.json."""

from __future__ import annotations

import functools
import json
import lzma
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from verify import Numbers

from assay.statistics import (
    Interval,
    clustered_proportion,
    difference_over_seeds,
    paired_difference,
    proportion_over_seeds,
    wilson,
)

FOLDER = Path(__file__).parent / "long_horizon"
Row = Mapping[str, Any]
Value = Callable[[Row], float]
Rows = dict[tuple[str, str], Sequence[str | None]]


@functools.cache
def kept() -> Mapping[str, Sequence[Row]]:
    """Every evaluation, "MODEL/NAME", with its answers in the order of the tasks."""
    found: dict[str, list[Row]] = {}
    with lzma.open(FOLDER / "rows.jsonl.xz", "rt") as file:
        for row in map(json.loads, file):
            found.setdefault(row["evaluation"], []).append(row)
    return {name: sorted(rows, key=lambda row: row["number"]) for name, rows in found.items()}


def answers(evaluation: str, horizon: float | None = None) -> list[Row]:
    return [row for row in kept()[evaluation] if horizon is None or row["horizon"] == horizon]


def solved(row: Row) -> float:
    return float(row["solved"])


def reward(row: Row) -> float:
    return float(row["reward"])


def values(of: Sequence[str], name: str, horizon: float | None = None, value: Value = solved) -> list[list[float]]:
    """[S, P] a value of each task, of evaluation `name` of each model."""
    return [[value(row) for row in answers(f"{model}/{name}", horizon)] for model in of]


def part(name: str) -> Value:
    """What gives an answer's part of the score."""
    return lambda row: float(row["parts"][name])


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(interval: Any) -> str:
    return f"{100 * interval.value:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def level(values_SP: Sequence[Sequence[float]]) -> Interval:
    """The mean over tasks, and over seeds where there are several."""
    if len(values_SP) > 1:
        return proportion_over_seeds(values_SP, sum(map(len, values_SP)))
    return clustered_proportion(values_SP[0], len(values_SP[0]))


def difference(before_SP: Sequence[Sequence[float]], after_SP: Sequence[Sequence[float]]) -> Any:
    """after - before, in pairs of tasks."""
    if len(after_SP) == 1:
        return paired_difference(before_SP[0], after_SP[0])
    return difference_over_seeds(before_SP, after_SP)


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def long_horizon() -> Numbers:
    rows = by_reinforcement() | credit() | by_imitation() | mistakes() | adapt() | database() | scaffolds() | faded()
    return Numbers(rows, [*adapt_phrases(), database_phrase(), scaffold_phrase()])


def by_reinforcement() -> Rows:
    """GRPO on chains of complexity 2, by horizon, and what errors do to later steps."""
    old = json.loads((FOLDER / "rows.json").read_text(encoding="utf-8"))
    seeds = [old[f"seed_{number}"] for number in (1, 2, 3)]
    rows: Rows = {}
    for label, horizons in (("1", (1,)), ("2", (2,)), ("4", (4,)), ("8", (8,)), ("all", (1, 2, 4, 8))):
        some = [place for place, (_, horizon) in enumerate(old["tasks"]) if horizon in horizons]
        before = [old["cold_start"][place][0] for place in some]
        after_SP = [[seed[place][0] for place in some] for seed in seeds]
        gained = difference_over_seeds([before] * 3, after_SP, num_samples=(len(some), 3 * len(some)))
        rows["Reinforcement on chains", label] = [
            str(len(some)),
            wilson(sum(before), len(before)).as_percent(),
            level(after_SP).as_percent(),
            points(gained),
            ", ".join(percent(mean(seed)) for seed in after_SP),
        ]
    for place, name in enumerate(("reports_right", "steps_right", "steps_right_after_error"), 1):
        of_all = [[row[place] for row in side] for side in (old["cold_start"], [row for seed in seeds for row in seed])]
        known = [[value for value in side if value is not None] for side in of_all]
        rows["What errors do to later steps", f"`{name}`"] = [percent(mean(each)) for each in known]
    return rows


def credit() -> Rows:
    """GRPO on chains of complexity 1, credited by episode and by turn."""
    rows: Rows = {}
    for horizon in (1, 2, 4, 8, 16, None):
        start = values(["credit-start"], "plain", horizon)
        sides = [
            values([f"credit-{form}-{seed}" for seed in (1, 2, 3)], "plain", horizon) for form in ("outcome", "turn")
        ]
        rows["Two forms of credit", f"{horizon} update" if horizon else "all"] = [
            str(len(start[0])),
            level(start).as_percent(),
            *(level(side).as_percent() for side in sides),
            points(difference(start * 3, sides[0])),
            points(difference(sides[0], sides[1])),
        ]
    return rows


def by_imitation() -> Rows:
    """Chains of complexity 1, by horizon."""
    rows: Rows = {}
    for horizon in (1, 2, 4, 8, 16):
        found = values(["chain-cold-start"], "plain", horizon)
        steps = values(["chain-cold-start"], "plain", horizon, part("steps_right"))
        rows["By imitation alone", f"{horizon} update"] = [
            str(len(found[0])),
            level(found).as_percent(),
            percent(mean(steps[0])),
        ]
    return rows


def mistakes() -> Rows:
    """The same state with and without earlier wrong reports, by the number of earlier reports."""
    rows: Rows = {}
    for horizon in (3, 5, 9, 17, None):
        right, wrong = (values(["chain-cold-start"], f"mistakes-{side}", horizon) for side in ("none", "all"))
        rows["The same state, with and without mistakes", f"{horizon - 1} reports" if horizon else "all four"] = [
            str(len(right[0])),
            level(right).as_percent(),
            level(wrong).as_percent(),
            points(difference(right, wrong)),
        ]
    return rows


ADAPT = ("adapt-1", "adapt-2", "adapt-3")


def adapt() -> Rows:
    """What trials gain, in turn, with feedback and without."""
    rows: Rows = {}
    for horizon, label in ((1, "one rule"), (2, "two rules")):
        for name, value in (
            ("first pull", part("trial_1")),
            ("second pull", part("trial_2")),
            ("late pulls", part("late")),
            ("all pulls", reward),
        ):
            sides = [values(ADAPT, side, horizon, value) for side in ("feedback", "cut")]
            rows["Learned inside the episode", f"{label}, {name}"] = [
                *(level(side).as_percent() for side in sides),
                points(difference(sides[1], sides[0])),
            ]
    for label, models, side in (
        ("128, told", [f"adapt-half-{seed}" for seed in (1, 2, 3)], "feedback"),
        ("256, told", ADAPT, "feedback"),
        ("256, not told", ADAPT, "cut"),
    ):
        second = values(models, side, 1, part("trial_2"))
        rows["Learned inside the episode", label] = [level([one]).as_percent() for one in second]
    return rows


def adapt_phrases() -> list[str]:
    """How often a model leaves its machine once it has stayed with one."""
    found = [row for model in ADAPT for row in answers(f"{model}/feedback", 2)]
    left = sum(len(set(row["said"][2:])) > 1 for row in found)
    return [f"in {left} of {len(found)} episodes with two rules a machine was left after the second pull"]


def database() -> Rows:
    """Questions on a database, by hops."""
    rows: Rows = {}
    for horizon in (1, 2, 4):
        sides = [
            values([model], name, horizon)
            for model, name in (("default", "database"), ("database-half", "plain"), ("database-cold-start", "plain"))
        ]
        rows["A world with a tool", f"{horizon} hop"] = [
            str(len(sides[0][0])),
            *(level(side).as_percent() for side in sides),
        ]
    return rows


def database_phrase() -> str:
    """How often four hops were taken for two: two lookups, a name, and an answer."""
    found = answers("database-cold-start/plain", 4)
    return f"In {sum(len(row['said']) == 4 for row in found)} of {len(found)} episodes with four hops"


def scaffolds() -> Rows:
    """What each scaffold adds to the same model on the same tasks."""
    rows: Rows = {}
    plain = values(["chain-cold-start"], "scaffolds/plain")
    for name in ("plain", "react", "plan", "reflect", "notes"):
        with_it = values(["chain-cold-start"], f"scaffolds/{name}")
        turns = mean([len(row["said"]) for row in answers(f"chain-cold-start/scaffolds/{name}")])
        rows["Scaffolds", f"`{name}`"] = [
            level(with_it).as_percent(),
            "" if name == "plain" else points(difference(plain, with_it)),
            f"{turns:.1f}",
        ]
    return rows


def scaffold_phrase() -> str:
    """What notes cost where they do nothing but tell."""
    plain, notes = (mean(values(["chain-cold-start"], f"scaffolds/{name}", 1)[0]) for name in ("plain", "notes"))
    return f"and solves {percent(notes)} where `plain` solves {percent(plain)}"


def faded() -> Rows:
    """Trained without a scaffold, with one, and with one that is faded; answered without it and under it."""

    def side(models: Sequence[str], name: str) -> list[list[float]]:
        some = (1, 2, 4)
        return [[value for horizon in some for value in values([model], name, horizon)[0]] for model in models]

    start, under = side(["credit-start"], "plain"), side(["credit-start"], "notes")
    alone = side([f"credit-outcome-{seed}" for seed in (1, 2, 3)], "plain")
    rows: Rows = {
        ("Trained with a scaffold", "before"): [level(start).as_percent(), level(under).as_percent(), "", "", ""],
        ("Trained with a scaffold", "without one"): [
            level(alone).as_percent(),
            "",
            points(difference(start * 3, alone)),
            "",
            "",
        ],
    }
    for label, form in (("kept `notes`", "notes"), ("faded `notes`", "notes_faded")):
        models = [f"{form}-{seed}" for seed in (1, 2, 3)]
        plain, notes = side(models, "plain"), side(models, "notes")
        rows["Trained with a scaffold", label] = [
            level(plain).as_percent(),
            level(notes).as_percent(),
            points(difference(start * 3, plain)),
            points(difference(under * 3, notes)),
            points(difference(alone, plain)),
        ]
    return rows

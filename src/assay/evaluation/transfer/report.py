"""A transfer experiment in words and tables: what the intervals allow, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from assay.evaluation.also import SIGNIFICANT


def transfer_markdown(result: Mapping[str, Any]) -> str:
    """The report of a transfer experiment, whole or under way."""
    num_seeds = len(result["seeds"])
    seeds = "one seed" if num_seeds == 1 else f"{num_seeds} seeds"
    covers = (
        "over tasks alone: with one seed nothing is known of what another seed would give"
        if num_seeds == 1
        else "over seeds and tasks"
    )
    lines = [
        f"# Transfer: {result['name']}",
        "",
        f"From {result['base']}, {seeds}, {result['tokens']:,} sampled tokens of training for each run. Each model is "
        f"measured on the same held-out tasks, greedily, read by {result['reading']!r}. Gains are in points of solved "
        f"tasks, with 95 % intervals {covers}.",
        "",
        *_problems(result),
        "## Before training",
        "",
        *_table(
            ["environment", "tasks", "solved"],
            [[each["name"], str(each["num_tasks"]), _percent(each["before"])] for each in result["environments"]],
        ),
    ]
    if result["cells"]:
        lines += ["", "## Gains", "", *_gains(result), "", *_words(result), "", *_efficiencies(result)]
        lines += ["", *_across(result), "## Runs", "", *_runs(result)]
    if result.get("sequence"):
        lines += ["", *_sequence(result["sequence"])]
    return "\n".join(lines) + "\n"


def matrix_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The matrix as rows of one table, a row for each cell, with the tokens and updates of its runs."""
    rows: list[dict[str, Any]] = []
    arms = {arm["name"]: arm for arm in result["arms"]}
    for cell in result["cells"]:
        gain, runs = cell["gain"] or {}, arms[cell["arm"]]["runs"]
        efficiency = cell["efficiency"]
        rows.append(
            {
                "trained_on": cell["arm"],
                "measured_on": cell["environment"],
                "before": cell["before"],
                "after": cell["after"],
                **{key: gain.get(key) for key in ("value", "low", "high", "p_value", "p_holm", "covers")},
                "num_tasks": gain.get("num_tasks"),
                "num_seeds": gain.get("num_seeds"),
                "verdict": cell["verdict"],
                "efficiency": efficiency["value"],
                "efficiency_low": efficiency["low"],
                "efficiency_high": efficiency["high"],
                "why_efficiency_undefined": efficiency["why_undefined"],
                "mean_sampled_tokens": _mean([run.get("sampled_tokens") for run in runs]),
                "mean_updates": _mean([run.get("updates") for run in runs]),
            }
        )
    return rows


def _problems(result: Mapping[str, Any]) -> list[str]:
    told = [f"- {line}" for line in (*result["notes"], *result["problems"])]
    return [*told, ""] if told else []


def _gains(result: Mapping[str, Any]) -> list[str]:
    environments = [each["name"] for each in result["environments"]]
    cells = {(cell["arm"], cell["environment"]): cell for cell in result["cells"]}
    rows = [
        [arm["name"], *(_points(cells[arm["name"], each]["gain"]) for each in environments)] for arm in result["arms"]
    ]
    return [
        *_table(["trained on", *environments], rows),
        "",
        f"A star: the difference stays after Holm's correction for {len(result['cells'])} cells, p < {SIGNIFICANT}.",
    ]


def _words(result: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for arm in result["arms"]:
        own = [cell for cell in result["cells"] if cell["arm"] == arm["name"]]
        by = {verdict: [c for c in own if c["verdict"] == verdict] for verdict in {cell["verdict"] for cell in own}}
        said = [
            f"{text} {', '.join(_named(cell) for cell in by[verdict])}"
            for verdict, text in (
                ("gained", "better on"),
                ("forgotten", "FORGETTING: worse on"),
                ("gain before correction", "not shown after correction, though the interval is above 0, on"),
                ("loss before correction", "perhaps forgetting (the interval is below 0, not after correction) on"),
                ("no change shown", "no change is shown on"),
                ("not measured", "not measured on"),
            )
            if verdict in by
        ]
        lines.append(f"- Trained on {arm['name']}: {'; '.join(said)}.")
        lines += [f"  - {line}" for cell in own for line in _form(cell, result["reading"])]
    return lines


def _form(cell: Mapping[str, Any], reading: str) -> list[str]:
    """A line for a gain that another reading of the same answers does not show."""
    if cell["verdict"] != "gained":
        return []
    return [
        f"on {cell['environment']} the reading {other!r} of the same answers shows no gain ({_points(gain)}): what was "
        f"learned may be the form that {reading!r} asks for"
        for other, gain in cell["other_readings"].items()
        if gain is not None and gain["low"] <= 0
    ]


def _named(cell: Mapping[str, Any]) -> str:
    name = cell["environment"]
    if cell["gain"] is None:
        return name
    nothing = ", which solved nothing before" if not cell["before"] and cell["verdict"] == "no change shown" else ""
    return f"{name} ({_points(cell['gain'], star=False)}{nothing})"


def _efficiencies(result: Mapping[str, Any]) -> list[str]:
    told: list[list[str]] = []
    whys: dict[str, None] = {}
    for cell in result["cells"]:
        found = cell["efficiency"]
        if found["why_undefined"] == "it is 1 by definition":
            continue
        if found["why_undefined"]:
            whys[f"{cell['environment']}: {found['why_undefined']}"] = None
        else:
            low, high = ("open" if end is None else f"{end:.2f}" for end in (found["low"], found["high"]))
            told.append([cell["arm"], cell["environment"], f"{found['value']:.2f} [{low}, {high}]"])
    lines = ["## Efficiency of transfer", ""]
    lines += ["Gain on an environment from training on another, over the gain from training on it.", ""]
    if told:
        lines += [*_table(["trained on", "measured on", "efficiency"], told), ""]
    if whys:
        lines += ["Undefined:", "", *(f"- {why}" for why in whys)]
    return lines


def _across(result: Mapping[str, Any]) -> list[str]:
    """Gains on other levels and lengths of what was trained on."""
    levels = {each["name"]: each for each in result["environments"]}
    lines: list[str] = []
    for cell in result["cells"]:
        arm = next(arm for arm in result["arms"] if arm["name"] == cell["arm"])
        if len(arm["trained_on"]) > 1 or cell["gain"] is None:
            continue
        one, other = arm["parts"][0], levels[cell["environment"]]
        if one["environment"] != other["environment"]:
            continue
        for dial, up, down in (("complexity", "harder", "easier"), ("horizon", "longer", "shorter")):
            rest = "horizon" if dial == "complexity" else "complexity"
            values = (one[dial], other[dial])
            if one[rest] == other[rest] and None not in values and values[0] != values[1]:
                way = up if values[1] > values[0] else down
                lines.append(
                    f"- {dial} {values[0]:g} to {values[1]:g} ({way}), {arm['name']} to {cell['environment']}: "
                    f"{_points(cell['gain'])}, {cell['verdict']}"
                )
    return ["## Across levels and lengths", "", *lines, ""] if lines else []


def _runs(result: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            arm["name"],
            str(run["seed"]),
            run["state"],
            *(_count(run.get(key)) for key in ("sampled_tokens", "updates", "seconds")),
            *(
                _gain_of_seed(result["cells"], arm["name"], run["seed"], each["name"])
                for each in result["environments"]
            ),
        ]
        for arm in result["arms"]
        for run in arm["runs"]
    ]
    names = [each["name"] for each in result["environments"]]
    return _table(["trained on", "seed", "state", "sampled tokens", "updates", "seconds", *names], rows)


def _gain_of_seed(cells: Sequence[Mapping[str, Any]], arm: str, seed: int, environment: str) -> str:
    cell = next(cell for cell in cells if (cell["arm"], cell["environment"]) == (arm, environment))
    found = dict(zip(cell["seeds"], cell["gain_of_seeds"], strict=True)).get(seed)
    return "-" if found is None else f"{100 * found:+.0f}"


def _sequence(sequence: Mapping[str, Any]) -> list[str]:
    lines = [f"## In sequence: {', then '.join(sequence['stages'])}", ""]
    lines += [
        f"Sampled tokens until {sequence['threshold']:.0%} of the validation tasks are solved, beside a fresh model:",
        "",
    ]
    rows = [
        [each["environment"], str(seed), *(_reached(each[side][str(seed)]) for side in ("in_sequence", "fresh"))]
        for each in sequence["learned"]
        for seed in each["seeds"]
    ]
    lines += _table(["environment", "seed", "in sequence", "fresh"], rows)
    lines += ["", *(f"- {_easier(each)}" for each in sequence["learned"])]
    rows = [
        [
            each["environment"],
            each["after"],
            *(_points(each[key]) for key in ("learned", "change", "left")),
            each["verdict"],
        ]
        for each in sequence["kept"]
    ]
    head = ["environment", "after", "gain of its own stage", "change since", "gain left", "what is shown"]
    return [*lines, "", "What later stages left of earlier ones, in points:", "", *_table(head, rows)]


def _reached(found: Mapping[str, Any]) -> str:
    ends = ["not reached" if found[key] is None else f"{found[key]:,.0f}" for key in ("value", "low", "high")]
    return ends[0] if set(ends) == {"not reached"} else f"{ends[0]} [{ends[1]}, {ends[2]}]"


def _easier(each: Mapping[str, Any]) -> str:
    """Say whether an environment was learned with fewer tokens in the sequence, as far as it is told."""
    saved, area = each["tokens_saved"], each["differences"].get("area")
    text = f"{each['environment']}: "
    if saved["low"] is None:
        text += (
            f"{saved['num_seeds']} of {len(each['seeds'])} seeds reached the threshold both ways, too few for an "
            "interval of the tokens"
        )
    else:
        text += (
            f"{saved['value']:+,.0f} tokens saved [{saved['low']:+,.0f}, {saved['high']:+,.0f}] over the "
            f"{saved['num_seeds']} seeds that reached it both ways"
        )
    if area is None:
        return f"{text}; nothing else is told."
    gain = area["difference"]
    shown = (
        "more was solved along the way"
        if gain["low"] > 0
        else "less was"
        if gain["high"] < 0
        else "no difference is shown"
    )
    covers = "seeds and tasks" if area["covers_seeds"] else "tasks alone"
    return (
        f"{text}; mean solved share along the training {_points(gain, star=False)} beside a fresh model's, over "
        f"{covers}: {shown}."
    )


def _points(gain: Mapping[str, Any] | None, *, star: bool = True) -> str:
    if gain is None:
        return "not measured"
    marked = "\\*" if star and gain.get("p_holm", 1.0) < SIGNIFICANT else ""
    return f"{100 * gain['value']:+.1f}{marked} [{100 * gain['low']:+.1f}, {100 * gain['high']:+.1f}]"


def _percent(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "not measured"
    return f"{100 * found['value']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(head)} |", "|" + " --- |" * len(head), *(f"| {' | '.join(row)} |" for row in rows)]

"""A map in words and tables: what the intervals allow, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.statistics import Estimate

_SIGNIFICANT = 0.05


def map_markdown(result: Mapping[str, Any]) -> str:
    """The report of a map."""
    models = result["models"]
    lines = [
        "# Map",
        "",
        f"{', '.join(models)}: share solved ({result['reading']}) over complexity and horizon, on held-out tasks, with "
        "95 % intervals over tasks. A pilot decided how many tasks each cell got, and is not among them.",
        f"{result['sampled_tokens']:,} tokens were sampled"
        + ("; the budget ended before the plan did." if result["is_cut"] else "."),
    ]
    if result["is_interrupted"]:
        lines += [
            "",
            "**Interrupted.** What had ended by then is counted. Episodes that take long are missing, and those may be "
            "the ones that fail: shares lean to what ends soon. The same command goes on and tells horizons.",
        ]
    lines += [f"\n**{model} was left out**: {cause}" for model, cause in result["left_out"].items()]
    for label, found in result["environments"].items():
        lines += ["", f"## {label}", ""]
        if any(cell["horizon"] is not None for each in found["models"].values() for cell in each["cells"]):
            lines.append(f"Lengths are in {found['axis']}.")
        lines += [f"- {note}" for note in found["notes"]]
        for model, of_model in found["models"].items():
            lines += ["", f"### {model}", "", *_table(of_model)]
            if not result["is_interrupted"]:
                lines += ["", *_fits(of_model, found["axis"])]
        for difference in found["differences"]:
            lines += ["", *_difference(difference, found)]
    return "\n".join(lines) + "\n"


def _table(of_model: Mapping[str, Any]) -> list[str]:
    cells = of_model["cells"]
    horizons = list(dict.fromkeys(cell["horizon"] for cell in cells))
    heads = ["complexity", *("all" if h is None else f"horizon {h:g}" for h in horizons)]
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for complexity in dict.fromkeys(cell["complexity"] for cell in cells):
        row = ["-" if complexity is None else f"{complexity:g}"]
        for horizon in horizons:
            own = [cell for cell in cells if (cell["complexity"], cell["horizon"]) == (complexity, horizon)]
            row.append(_share(own[0]) if own else "")
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _share(cell: Mapping[str, Any]) -> str:
    accuracy = cell["accuracy"]
    if accuracy is None:
        pilot = cell["pilot"]
        return f"pilot: {pilot['num_solved']} of {pilot['num_tasks']}" if pilot["num_tasks"] else "not measured"
    low, high = 100 * accuracy["low"], 100 * accuracy["high"]
    return f"{100 * accuracy['value']:.0f} % [{low:.0f}, {high:.0f}], {cell['num_solved']} of {cell['num_tasks']}"


def _fits(of_model: Mapping[str, Any], axis: str) -> list[str]:
    frontier, hazard = of_model["frontier"], of_model["hazard"]
    if frontier is None or hazard is None:
        return ["No horizon is fitted: all tasks that were measured have one length, or none that is known."]
    if frontier["note"]:
        return [f"No horizon: {frontier['note']}."]
    lines = [
        f"| complexity | 50 % horizon, {axis} | 80 % horizon | reliability per unit, were it constant |",
        "| --- | --- | --- | --- |",
    ]
    ends = (of_model["shortest"], of_model["longest"])
    for complexity, horizons, reliability in zip(
        of_model["complexities"], frontier["horizons"], hazard["reliability"], strict=True
    ):
        shown = [shown_horizon(Estimate(**horizons[share]), ends) for share in ("p50", "p80")]
        name = "-" if complexity is None else f"{complexity:g}"
        lines.append(f"| {name} | {shown[0]} | {shown[1]} | {Estimate(**reliability).shown('.4g')} |")
    lines += ["", _slopes(frontier), "", _hazard(frontier, hazard)]
    return lines


def shown_horizon(horizon: Estimate, ends: tuple[float, float]) -> str:
    """Return a horizon with its interval as text, or its bound; beyond the `ends`, the shortest and the longest length
    that were tried, it is extrapolated."""
    text = horizon.shown()
    if horizon.value is not None and not ends[0] <= horizon.value <= ends[1]:
        return f"{text}, extrapolated"
    if horizon.value is None and horizon.low is not None:
        return f"above {horizon.low:.3g}"
    if horizon.value is None and horizon.high is not None:
        return f"below {horizon.high:.3g}"
    return text


def _slopes(frontier: Mapping[str, Any]) -> str:
    doubling, complexity = Estimate(**frontier["doubling"]), Estimate(**frontier["complexity"])
    if doubling == Estimate(None, None, None):
        return "How fast success falls with length is not told: every complexity was solved, or failed, as a whole."
    text = f"A doubling of the length changes the log odds by {doubling.shown()}"
    if (complexity.low, complexity.high) != (None, None):
        text += f", one more of complexity by {complexity.shown()}"
    if frontier["linear_p"] is not None and frontier["linear_p"] < _SIGNIFICANT:
        text += f" (the steps of complexity are not alike, p = {frontier['linear_p']:.2g}, so that this is a mean)"
    losses = f"{frontier['log_loss']:.3f} beside {frontier['log_loss_constant']:.3f} of one probability for all"
    return f"{text}. Log loss {losses}."


def _hazard(frontier: Mapping[str, Any], hazard: Mapping[str, Any]) -> str:
    shape = Estimate(**hazard["shape"])
    beside = f"log loss {abs(hazard['log_loss']):.3f} beside {abs(frontier['log_loss']):.3f} of the logistic fit"
    if shape.value is None or hazard["p_value"] is None:
        return f"Whether reliability per step falls as episodes grow is not told by these outcomes ({beside})."
    test = f"p^(H^k) has k = {shape.shown()}, test of k = 1: p = {hazard['p_value']:.2g}; of p^H {beside}"
    if hazard["p_value"] >= _SIGNIFICANT:
        return f"No change of the reliability per step with length is shown ({test})."
    if shape.value > 1:
        return f"Reliability per step falls as episodes grow ({test})."
    return (
        f"Success falls more slowly than equal steps would have it ({test}): part of what fails, fails at the start or "
        "whatever the length."
    )


def _difference(difference: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    before, after = difference["before"], difference["after"]
    lines = [f"### {after} beside {before}, on the same tasks", ""]
    whole = difference["all"]
    if whole is None:
        return [*lines, "No task was measured with both."]
    lines.append(
        f"Over {whole['num_tasks']} tasks {_points(whole)}, p = {whole['p_holm']:.2g} after Holm's correction: "
        + _verdict(whole, after)
    )
    cells = found["models"][before]["cells"]
    shown = []
    for cell, gain in zip(cells, difference["cells"], strict=True):
        if gain is not None and gain["p_holm"] < _SIGNIFICANT:
            dials = [f"{n}{cell[d]:g}" for n, d in (("c", "complexity"), ("h", "horizon")) if cell[d] is not None]
            shown.append(f"{' '.join(dials)} {_points(gain)}")
    lines += ["", f"Cells with a difference that is shown, after Holm's correction: {'; '.join(shown) or 'none'}."]
    for shift in difference["frontier"]:
        times, complexity = Estimate(**shift["times"]), shift["complexity"]
        where = "" if complexity is None else f" at complexity {complexity:g}"
        lines.append(f"The 50 % horizon{where} is {_moved(times)}.")
    return lines


def _moved(times: Estimate) -> str:
    if times.value is None:
        return "not known on both sides"
    text = f"{times.shown()} times as long"
    if (times.low is not None and times.low > 1) or (times.high is not None and times.high < 1):
        return text
    return f"{text}: no move is shown"


def _points(gain: Mapping[str, Any]) -> str:
    return f"{100 * gain['value']:+.0f} points [{100 * gain['low']:+.0f}, {100 * gain['high']:+.0f}]"


def _verdict(gain: Mapping[str, Any], after: str) -> str:
    if gain["p_holm"] >= _SIGNIFICANT:
        return "no difference is shown."
    return f"{after} solves {'more' if gain['value'] > 0 else 'less'}."

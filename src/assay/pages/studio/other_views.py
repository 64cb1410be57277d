"""The views beside curves and rollouts: before and after, runs in pairs, results in the folder, the doctor."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError
from assay.observe.visible import visible
from assay.pages.safe_text import safe_html
from assay.pages.studio import reading
from assay.pages.studio.address import StudioAddress
from assay.pages.studio.rollouts_view import shown_text

if TYPE_CHECKING:
    from assay.pages.studio.frame import StudioTab


def show_before(tab: StudioTab) -> None:
    """A task of the closing test, before training on the left and after it on the right."""
    from nicegui import ui

    folder = next(iter(tab.folders.values()))
    found = reading.two_sides(folder, tab.address.offset)
    if found is None:
        ui.label("no closing test yet: a run measures it before the first step and after the last").mark("none")
        return
    with ui.element("div").classes("studio-top"):
        ui.label(f"task {found.number + 1} of {found.num}, in the order of the test").mark("count")
        for title, key, number in (("Previous (P)", "p", found.number - 1), ("Next (N)", "n", found.number + 1)):
            if 0 <= number < found.num:
                there = tab.address.with_(offset=number)
                ui.link(title, there.path(tab.secret))
                tab.keys[key] = functools.partial(tab.go, there)
    _facts({"task": f"{found.task_id} (level {found.level})", "asked": found.prompt, "gold answer": found.answer})
    with ui.element("div").classes("two"):
        for title, text, verdicts in (
            ("Before", found.before, found.before_verdicts),
            ("After", found.after, found.after_verdicts),
        ):
            with ui.element("section").classes("box").props(f'aria-label="{title}"'):
                said = ", ".join(f"{reading_}: {verdict.replace('_', ' ')}" for reading_, verdict in verdicts.items())
                ui.label(visible(f"{title} ({said})")).style("font-weight: 600")
                ui.label(shown_text(text)).classes("text")


def show_compare(tab: StudioTab) -> None:
    """The closing tests of the runs that are looked at, each beside the first, task by task."""
    from nicegui import ui

    if len(tab.folders) < 2:
        ui.label("choose two runs or more in the list of runs (0) to see them in pairs").mark("none")
        return
    body = ui.element("div")
    with body:
        ui.label("comparing")

    async def show() -> None:
        names = list(tab.folders)
        body.clear()
        with body:
            for other in names[1:]:
                ui.label(f"{visible(other)} less {visible(names[0])}").style("font-weight: 600")
                try:
                    sides = tab.folders[names[0]], tab.folders[other]
                    rows = await asyncio.to_thread(reading.paired_differences, *sides)
                except AssayError as error:
                    tab.trouble(str(error))
                    continue
                if not rows:
                    ui.label("no closing test that both have; runs measure it after their last step").mark("none")
                    continue
                columns = {
                    "decoding": "decoding",
                    "reading": "reading",
                    "first": names[0],
                    "second": other,
                    "difference": "difference",
                    "changes": "better, worse",
                    "p": "p",
                }
                _table(columns, rows)
                for row in rows:
                    if "why" in row:
                        tab.trouble(f"{row['decoding']}, {row['reading']}: {row['why']}")

    ui.timer(0.01, show, once=True)


def show_results(tab: StudioTab) -> None:
    """What maps, transfers, audits and summaries left in the folder."""
    from nicegui import ui

    folder = next(iter(tab.folders.values()))
    found = reading.results_in(folder) if folder.is_dir() else []
    if not found:
        ui.label("no result of assay map, transfer or audit in this folder").mark("none")
    for result in found:
        with ui.element("section").classes("box"):
            ui.label(visible(result.name)).style("font-weight: 600")
            if result.text:
                ui.html(safe_html(result.text), sanitize=True)
            _facts(dict(result.facts))


def show_doctor(tab: StudioTab) -> None:
    """What is wrong with the run, from its records."""
    from nicegui import ui

    folder = next(iter(tab.folders.values()))
    body = ui.element("div").style("display: grid; gap: 10px")
    with body:
        ui.label("examining")

    async def show() -> None:
        try:
            found = await asyncio.to_thread(reading.diagnosis, folder)
        except AssayError as error:
            body.clear()
            with body:
                tab.trouble(str(error))
            return
        body.clear()
        with body:
            if not found.get("findings"):
                ui.label("nothing is wrong, as far as the records say").mark("healthy")
            for finding in found.get("findings", []):
                _finding(tab, finding)
            for rule, why in found.get("not_measured", {}).items():
                ui.label(f"not said: {visible(str(rule))}: {visible(str(why))}").classes("name")

    ui.timer(0.01, show, once=True)


def _finding(tab: StudioTab, finding: Mapping[str, Any]) -> None:
    from nicegui import ui

    with ui.element("section").classes("box").mark("finding"):
        since = "" if finding.get("step") is None else f" (step {finding['step']})"
        ui.label(visible(f"{finding.get('rule', '')}{since}")).style("font-weight: 600").classes("alarm")
        ui.label(visible(str(finding.get("what", ""))))
        _facts({str(name): str(value) for name, value in finding.get("numbers", {}).items()})
        for remedy in finding.get("remedies", []):
            ui.label(f"--set {visible(str(remedy))}").classes("text")
        place = finding.get("transcript")
        if place:
            where = (int(place["step"]) - 1, int(place["group"]), int(place["member"]))
            ui.link("the transcript", StudioAddress(tab.address.runs, "rollouts", place=where).path(tab.secret))


def _facts(facts: Mapping[str, str]) -> None:
    from nicegui import ui

    with ui.element("div").classes("facts"):
        for name, value in facts.items():
            ui.label(visible(name)).classes("name")
            ui.label(shown_text(value)).classes("text")


def _table(columns: Mapping[str, str], rows: list[dict[str, str]]) -> None:
    from nicegui import ui

    ui.table(
        columns=[
            {"name": name, "label": visible(label), "field": name, "align": "left"} for name, label in columns.items()
        ],
        rows=[{"number": number, **{k: visible(v) for k, v in row.items()}} for number, row in enumerate(rows)],
        row_key="number",
    ).classes("studio-table").props("dense flat bordered")

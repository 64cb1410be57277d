"""The list of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.errors import AssayError
from assay.observe.visible import visible
from assay.pages.studio import reading
from assay.pages.studio.address import StudioAddress

if TYPE_CHECKING:
    from assay.pages.studio.frame import StudioTab

_MOST_RUNS = 200


def show_runs(tab: StudioTab) -> None:
    """Every run, the newest first, each with a link; several can be chosen and looked at beside each other."""
    from nicegui import ui

    if not tab.runs:
        tab.trouble("there is no run yet; start one with: assay train RECIPE")
        return
    stamps = {name: max(reading.stamp_of(folder) or (0.0,)) for name, folder in tab.runs.items()}
    names = sorted(tab.runs, key=lambda name: -stamps[name])[:_MOST_RUNS]
    chosen: list[str] = []

    def look() -> None:
        if chosen:
            tab.go(StudioAddress(tuple(chosen)))

    def choose(name: str, on: bool) -> None:
        if name in chosen:
            chosen.remove(name)
        if on:
            chosen.append(name)

    with ui.element("div").classes("facts"):
        for name in names:
            with ui.element("div"):
                box = ui.checkbox(on_change=lambda event, name=name: choose(name, bool(event.value)))
                box.props(f'dense aria-label="{visible(name).replace(chr(34), "")}"')
                ui.link(visible(name), StudioAddress((name,)).path(tab.secret))
            try:
                state = reading.state_of(tab.runs[name])
                ui.label(f"{state.num_steps} steps, {state.status}")
            except AssayError as error:
                ui.label(visible(str(error))).classes("alarm")
    ui.button("Look at the chosen ones beside each other", on_click=look).props("no-caps outline")

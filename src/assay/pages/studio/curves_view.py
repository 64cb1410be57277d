"""Curves with bands and alarms; those of a run that is going on move."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError
from assay.observe.browse import RolloutFilter
from assay.observe.curves import Curve
from assay.observe.visible import visible
from assay.pages.studio import reading
from assay.pages.studio.address import StudioAddress
from assay.pages.studio.charts import chart_options
from assay.pages.studio.pictures import BY_LEVEL

if TYPE_CHECKING:
    from assay.pages.studio.frame import StudioTab

SECONDS = 3.0
"""Time after which the page looks whether the run has gone on."""


def show_curves(tab: StudioTab) -> None:
    """The reward first; the other curves when the page is there."""
    _Curves(tab).build()


class _Curves:
    def __init__(self, tab: StudioTab) -> None:
        self._tab = tab
        self._first = next(iter(tab.folders.values()))
        self._charts: dict[str, Any] = {}
        self._stamps: dict[str, Any] = {}

    def build(self) -> None:
        from nicegui import ui

        self._status = ui.label().mark("status")
        self._alarms = ui.element("div")
        self._grid = ui.element("div").classes("charts")
        self._gone = False
        self._say_status()
        self._draw(self._rewards())
        ui.timer(0.05, self._draw_rest, once=True)
        ui.timer(SECONDS, self._look)

    def _rewards(self) -> dict[str, tuple[str, dict[str, Curve]]]:
        return {"reward": ("Mean reward", self._of_runs(lambda folder: [reading.first_curve(folder)], "reward"))}

    def _of_runs(self, read: Any, name: str) -> dict[str, Curve]:
        found = {}
        for run, folder in self._tab.folders.items():
            for curve in read(folder):
                if curve.name == name:
                    found[visible(run)] = curve
        return found

    def _rest(self) -> dict[str, tuple[str, dict[str, Curve]]]:
        """Title and curves of every other chart, by name."""
        found: dict[str, tuple[str, dict[str, Curve]]] = {}
        title, levels = reading.by_level(self._first)
        if levels:
            found[BY_LEVEL] = (title, {visible(level): curve for level, curve in levels.items()})
        for run, folder in self._tab.folders.items():
            for curve in [*reading.evaluation_curves(folder), *reading.other_curves(folder)]:
                found.setdefault(curve.name, (curve.title, {}))[1][visible(run)] = curve
        return found

    def _say_status(self) -> None:
        lines = []
        for name, folder in self._tab.folders.items():
            state = reading.state_of(folder)
            self._stamps[name] = state.stamp
            lines.append(f"{visible(name)}: {state.num_steps} steps, {state.status}")
        self._status.set_text("; ".join(lines))

    def _say_alarms(self) -> None:
        from nicegui import ui

        alarms, events = reading.events_of(self._first)
        self._alarms.clear()
        with self._alarms:
            if not alarms:
                ui.label("alarms: none recorded").mark("alarms")
            for alarm in alarms[:20]:
                wanted = RolloutFilter(first_step=alarm.step, last_step=alarm.step)
                there = StudioAddress(self._tab.address.runs, "rollouts", wanted)
                with ui.element("div").classes("alarm").mark("alarms"):
                    ui.link(f"alarm at step {alarm.step + 1}", there.path(self._tab.secret)).classes("alarm")
                    ui.label(visible(alarm.text)[:2000]).classes("text")
            if events:
                with ui.expansion(f"{len(events)} events").props("dense"):
                    for event in events:
                        ui.label(f"step {event.step + 1}, {visible(event.kind)}: {visible(event.text)[:300]}")

    async def _draw_rest(self) -> None:
        try:
            self._draw(await asyncio.to_thread(self._rest))
            self._say_alarms()
        except AssayError as error:
            self._lost(error)

    def _draw(self, charts: Mapping[str, tuple[str, Mapping[str, Curve]]]) -> None:
        from nicegui import ui

        alarms = [alarm.step for alarm in reading.events_of(self._first)[0]]
        for name, (title, curves) in charts.items():
            if not any(curve.points for curve in curves.values()):
                continue
            options = chart_options(title, curves, alarms)
            if name in self._charts:
                self._charts[name].options.clear()
                self._charts[name].options.update(options)
                self._charts[name].update()
                continue
            with self._grid, ui.element("section").classes("chart").props(f'aria-label="{title}"'):
                self._charts[name] = ui.echart(options).style("height: 250px; width: 100%").mark(f"chart {name}")
                with ui.element("div").classes("save"):
                    for form in ("png", "svg"):
                        address = self._tab.address.path(self._tab.secret, "/picture", curve=name, form=form)
                        ui.link(f"save {form.upper()}", address).props("download").style("margin-right: 8px")
        if not self._charts:
            with self._grid:
                ui.label("no reward is recorded yet; this page shows it when it is")

    async def _look(self) -> None:
        """Draw again where something was written; say so, once, where a run is gone."""
        if self._gone:
            return
        try:
            if all(reading.stamp_of(folder) == self._stamps.get(name) for name, folder in self._tab.folders.items()):
                return
            self._say_status()
            self._draw(self._rewards())
            await self._draw_rest()
        except AssayError as error:
            self._lost(error)

    def _lost(self, error: AssayError) -> None:
        if not self._gone:
            self._gone = True
            with self._grid:
                self._tab.trouble(str(error))

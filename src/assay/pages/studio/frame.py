"""The frame of the studio: who may come in, the views and their keys, and what is said where a run cannot be read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import AssayError
from assay.observe.visible import visible
from assay.pages.server import is_secret
from assay.pages.studio.address import VIEWS, StudioAddress, read_address

if TYPE_CHECKING:
    from fastapi import Request
    from nicegui.events import KeyEventArguments
    from starlette.responses import Response

TITLES = {
    "curves": "Curves",
    "rollouts": "Rollouts",
    "before": "Before and after",
    "compare": "Runs in pairs",
    "results": "Results",
    "doctor": "Doctor",
}
_HELP = (
    ("1 to 6", "the views, from left to right"),
    ("0", "the list of runs"),
    ("N, P", "next and previous page, rollout or task"),
    ("J, K, Enter", "rollouts: down, up, open"),
    ("/", "rollouts: search for a text; Enter asks, and Enter or Escape leaves the field"),
    ("L", "a rollout: each token's log-probability"),
    ("B, Backspace", "a rollout: back to the list"),
    ("R", "read again what has been written since"),
    ("?", "these keys"),
)
_STYLE = """
.nicegui-content { padding: 10px 14px; gap: 10px; align-items: stretch; }
.studio-top { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; }
.studio-top a { text-decoration: none; padding: 2px 6px; border-radius: 4px; }
.studio-top a.here { background: #e3ecf5; font-weight: 600; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 460px), 1fr)); gap: 12px; }
.charts { width: 100%; }
.chart { border: 1px solid #d5d9dd; border-radius: 6px; padding: 6px; min-width: 0; }
.save { font-size: 12px; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace; font-size: 13px; margin: 0; }
.box { border: 1px solid #d5d9dd; border-radius: 6px; padding: 8px 10px; min-width: 0; }
.box h2, .chart h2 { font-size: 14px; line-height: 20px; font-weight: 600; margin: 0 0 4px; color: #44546a; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; width: 100%; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; }
.facts .name { color: #5a6472; }
.alarm { color: #B00020; }
.trouble { border: 1px solid #B00020; border-radius: 6px; padding: 8px 10px; overflow-wrap: anywhere; }
.tokens { white-space: pre-wrap; overflow-wrap: anywhere; font-family: monospace; font-size: 13px; line-height: 1.6; }
.tokens .masked { color: #6b7480; }
.tokens .p0 { background: #e8f3ea; } .tokens .p1 { background: #f3f2cf; } .tokens .p2 { background: #fbdcb4; }
.tokens .p3 { background: #f7b5a8; }
.numbers td, .numbers th { padding: 0 10px 0 0; text-align: right; font-family: monospace; white-space: pre; }
.filters { display: flex; flex-wrap: wrap; gap: 8px; align-items: end; } .filters > * { min-width: 110px; }
.studio-table { width: 100%; max-width: 100%; }
.studio-table td:last-child { overflow-wrap: anywhere; white-space: normal; min-width: 160px; }
.studio-table tr.selected td { background: #e3ecf5; }
@media (max-width: 800px) {
  .two, .facts { grid-template-columns: 1fr; }
  .rollout-list thead { display: none; }
  .rollout-list.q-table__card .q-table tbody tr { display: flex; flex-wrap: wrap; height: auto; padding: 4px 0; }
  .rollout-list.q-table__card .q-table tbody tr { border-bottom: 1px solid #d5d9dd; }
  .rollout-list.q-table__card .q-table tbody td { border: none; height: auto; padding: 0 8px; }
  .rollout-list.q-table__card .q-table tbody td:last-child { flex-basis: 100%; }
  .rollout-list.q-table__card .q-table tbody td::before { position: static; background: none; color: #5a6472; }
  .rollout-list td:nth-child(1)::before { content: "step, group, member "; }
  .rollout-list td:nth-child(4)::before { content: "reward "; }
  .rollout-list td:nth-child(6)::before { content: "turns "; }
  .rollout-list td:nth-child(7)::before { content: "tokens "; }
}
"""
# Keys that lead to a place or a field act in the page itself: what is typed next must not wait for an answer. Enter on
# a link is the link's alone; a field is left when the other listeners have had the key.
_KEYS = """<script>
document.addEventListener("keydown", (event) => {
  const { tagName, role } = event.target;
  if (tagName === "A" && event.key === "Enter") return event.stopImmediatePropagation();
  const field = /^(INPUT|SELECT|TEXTAREA)$/.test(tagName);
  const done = event.key === "Escape" || (event.key === "Enter" && role !== "combobox");
  if (field && done) setTimeout(() => event.target.blur());
  if (field || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key.toLowerCase() === "r") return location.reload();
  const wanted = document.querySelector(`[data-key="${CSS.escape(event.key)}"]`);
  if (!wanted) return;
  event.preventDefault();
  wanted.tagName === "A" ? wanted.click() : wanted.focus();
});
</script>"""
NO_ENTRY = "This page needs the token in its address, as assay studio printed it: http://127.0.0.1:PORT/?key=TOKEN"
Keys = dict[str, Callable[[], object]]


class StudioTab:
    """A tab of a browser on the studio.

    Args:
        runs: name to folder of every run that may be looked at.
        secret: the token of the addresses.
        address: what is looked at.
    """

    def __init__(self, runs: Callable[[], Mapping[str, Path]], secret: str, address: StudioAddress) -> None:
        self.runs = runs()
        self.secret = secret
        self.address = address
        self.keys: Keys = {}
        """Keys of the view, beside those of the frame."""

    @property
    def folders(self) -> dict[str, Path]:
        """The runs that are looked at, by name."""
        return {name: self.runs[name] for name in self.address.runs if name in self.runs}

    def go(self, address: StudioAddress) -> None:
        """Open another place."""
        from nicegui import ui

        ui.navigate.to(address.path(self.secret))

    def build(self) -> None:
        """Show what the address asks for."""
        from nicegui import ui

        ui.add_css(_STYLE)
        ui.add_head_html(_KEYS)
        ui.keyboard(on_key=self._on_key, repeating=True, ignore=["input", "select", "textarea"])
        unknown = [name for name in self.address.runs if name not in self.runs]
        with ui.element("header").classes("studio-top"):
            ui.link("Runs (0)", StudioAddress().path(self.secret)).props('data-key="0"')
            if self.folders:
                for number, view in enumerate(VIEWS, 1):
                    link = ui.link(f"{TITLES[view]} ({number})", self._view(view).path(self.secret))
                    link.props(f'data-key="{number}"').classes("here" if view == self.address.view else "")
            ui.link("Keys (?)", "").on("click.prevent", self._help)
        for name in unknown:
            self.trouble(f"there is no run {visible(name)} (any more); choose one from the list of runs")
        if not self.folders:
            from assay.pages.studio.runs_view import show_runs

            show_runs(self)
            return
        ui.label(", ".join(visible(name) for name in self.folders)).style("font-weight: 600").mark("runs")
        self.guarded(functools.partial(_views()[self.address.view], self))

    def guarded(self, show: Callable[[], object]) -> None:
        """Show something; where a run cannot be read, say why instead."""
        try:
            show()
        except AssayError as error:
            self.trouble(str(error))

    def trouble(self, text: str) -> None:
        """Say what is wrong."""
        from nicegui import ui

        ui.label(visible(text)).classes("trouble").props('role="alert"')

    def _view(self, view: str) -> StudioAddress:
        return StudioAddress(self.address.runs, view)

    def _help(self) -> None:
        from nicegui import ui

        with ui.dialog(value=True), ui.card():
            for keys, what in _HELP:
                ui.label(f"{keys}: {what}")

    async def _on_key(self, event: KeyEventArguments) -> None:
        modifiers = event.modifiers
        if not event.action.keydown or modifiers.ctrl or modifiers.alt or modifiers.meta:
            return
        name = str(event.key.name)
        name = name if len(name) > 1 else name.lower()
        if name in self.keys:
            result = self.keys[name]()
            if hasattr(result, "__await__"):
                await result  # pyright: ignore[reportGeneralTypeIssues]
        elif name == "?" and not event.action.repeat:
            self._help()


def register_studio(runs: Callable[[], Mapping[str, Path]], secret: str) -> None:
    """Make the pages known to NiceGUI.

    Args:
        runs: name to folder of every run that may be looked at, as they are now.
        secret: the token of the addresses.
    """
    from fastapi import Request
    from nicegui import app, ui
    from starlette.responses import PlainTextResponse
    from starlette.responses import Response as Answer

    from assay.pages.studio.pictures import picture_of

    def page(request: Request) -> Response | None:
        if not is_secret(request.query_params.get("key", ""), secret):
            return PlainTextResponse(NO_ENTRY, status_code=403)
        StudioTab(runs, secret, read_address(request.query_params)).build()
        return None

    def picture(request: Request) -> Response:
        if not is_secret(request.query_params.get("key", ""), secret):
            return PlainTextResponse(NO_ENTRY, status_code=403)
        try:
            content, kind, name = picture_of(runs(), read_address(request.query_params), dict(request.query_params))
        except AssayError as error:
            return PlainTextResponse(visible(str(error)), status_code=404)
        return Answer(content, media_type=kind, headers={"Content-Disposition": f'attachment; filename="{name}"'})

    # NiceGUI and FastAPI read these, and a name that only type checkers import is none to them.
    page.__annotations__ = {"request": Request}
    picture.__annotations__ = {"request": Request}
    ui.page("/", title="Assay studio")(page)
    app.get("/picture", response_model=None)(picture)


def _views() -> dict[str, Callable[[StudioTab], None]]:
    from assay.pages.studio.curves_view import show_curves
    from assay.pages.studio.other_views import show_before, show_compare, show_doctor, show_results
    from assay.pages.studio.rollouts_view import show_rollouts

    return {
        "curves": show_curves,
        "rollouts": show_rollouts,
        "before": show_before,
        "compare": show_compare,
        "results": show_results,
        "doctor": show_doctor,
    }

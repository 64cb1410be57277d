"""The page of `assay prefer collect`: two responses side by side, judged by keyboard. Its rules are in
`assay.preferences.collect`; here they are only shown."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from assay.pages.safe_text import plain_html, safe_html
from assay.pages.server import is_secret
from assay.preferences.pair import Messages
from assay.preferences.stats_text import stats_lines
from assay.types import Message

if TYPE_CHECKING:
    from nicegui.events import KeyEventArguments

    from assay.preferences.collect import Choice, Collecting, Shown

_CHOICES: tuple[tuple[Choice, str, str], ...] = (
    ("left", "Left is better", "←"),
    ("tie", "Tie", "T"),
    ("right", "Right is better", "→"),
    ("skip", "Skip", "S"),
)
KEYS: Mapping[str, str] = {
    "ArrowLeft": "left",
    "1": "left",
    "ArrowRight": "right",
    "2": "right",
    "t": "tie",
    "3": "tie",
    "s": "skip",
    "u": "undo",
    "r": "raw",
    "a": "agreement",
    "?": "help",
    "h": "help",
}
"""Keys of the page, as browsers name them, and what each does."""
_HELP = (
    ("←  or  1", "the left response is better"),
    ("→  or  2", "the right response is better"),
    ("T  or  3", "neither is better"),
    ("S", "skip: I cannot judge this"),
    ("U", "undo: take the last one back, and show it again"),
    ("R", "text as it was written, or with markdown and formulas"),
    ("A", "agreement and biases so far"),
    ("?", "these keys"),
)
_MARKS = re.compile(r"<\|[^|<>\s]{1,40}\|>")
"""Marks of chat templates in text that is shown as tokens spell it."""
_STYLE = """
.nicegui-content { padding: 12px; gap: 10px; align-items: stretch; }
.collect-top { display: flex; gap: 12px; align-items: center; flex-wrap: wrap; }
.collect-top .bar { flex: 1 1 120px; min-width: 100px; }
.sides { display: grid; grid-template-columns: 1fr 1fr; gap: 12px; width: 100%; }
.box { border: 1px solid #c4c8cc; border-radius: 6px; padding: 8px 12px; overflow-wrap: anywhere; min-width: 0; }
.box h2 { font-size: 14px; line-height: 20px; font-weight: 600; margin: 0 0 4px; color: #44546a; }
.box pre, .plain-text { white-space: pre-wrap; font-family: monospace; }
.box table { border-collapse: collapse; } .box td, .box th { border: 1px solid #c4c8cc; padding: 2px 6px; }
.box math[display=block] { overflow-x: auto; }
.box h1, .box h3, .box h4 { font-size: 16px; line-height: 24px; margin: 4px 0; }
.who { font-size: 12px; color: #5a6472; margin-top: 6px; }
.not-loaded { color: #8a4b08; } .link-text { text-decoration: underline dotted; }
.choices { display: flex; gap: 8px; flex-wrap: wrap; position: sticky; bottom: 0; background: white; padding: 8px 0; }
.choices .q-btn { flex: 1 1 130px; }
@media (max-width: 800px) { .sides { grid-template-columns: 1fr; } }
"""
NO_ENTRY = (
    "This page needs the secret of an annotator in its address: http://127.0.0.1:PORT/?key=SECRET, as "
    "assay prefer collect printed it."
)


def register_collect_page(collecting: Collecting, secrets: Mapping[str, str], title: str) -> None:
    """Make the page known to NiceGUI.

    Args:
        secrets: the secret of each annotator, by name.
        title: what is judged, such as a file's name.
    """
    from nicegui import ui
    from starlette.responses import PlainTextResponse, Response

    @ui.page("/", title=f"{title}: compare")
    def page(key: str = "") -> Response | None:
        annotator = next((name for name, secret in secrets.items() if is_secret(key, secret)), None)
        if annotator is None:
            return PlainTextResponse(NO_ENTRY, status_code=403)
        _CollectTab(collecting, annotator).build()
        return None


class _CollectTab:
    """A tab of a browser: it remembers what it was last shown, and a choice in it is for that and nothing else."""

    def __init__(self, collecting: Collecting, annotator: str) -> None:
        self._collecting = collecting
        self._annotator = annotator
        self._shown: Shown | None = None
        self._raw = False

    def build(self) -> None:
        from nicegui import ui

        ui.add_css(_STYLE)
        ui.keyboard(on_key=self._on_key, repeating=False, ignore=["input", "select", "textarea"])
        with ui.element("header").classes("collect-top"):
            ui.label(self._annotator)
            self._bar = ui.linear_progress(show_value=False).classes("bar").props('aria-label="progress"')
            self._told = ui.label().props('aria-live="polite"').mark("progress")
            ui.button("Undo (U)", on_click=lambda: self._do("undo")).props("flat dense no-caps")
            ui.button("Agreement (A)", on_click=lambda: self._do("agreement")).props("flat dense no-caps")
            ui.button("Keys (?)", on_click=lambda: self._do("help")).props("flat dense no-caps")
        self._body = ui.element("div").style("display: contents").props("id=pair")
        self._show(again=True)

    async def _on_key(self, event: KeyEventArguments) -> None:
        modifiers = event.modifiers
        if event.action.keydown and not (modifiers.ctrl or modifiers.alt or modifiers.meta):
            name = str(event.key.name)
            await self._do(KEYS.get(name if len(name) > 1 else name.lower(), ""))

    async def _do(self, what: str) -> None:
        from nicegui import ui

        if what in ("left", "right", "tie", "skip"):
            await self._choose(what)
        elif what == "undo":
            try:
                undone = self._collecting.undo(self._annotator)
            except OSError as error:
                self._not_kept(error)
                return
            if not undone:
                ui.notify("there is nothing to undo")
            self._show()
        elif what == "raw":
            self._raw = not self._raw
            self._show()
        elif what == "agreement":
            await self._agreement()
        elif what == "help":
            self._help()

    async def _choose(self, choice: Choice) -> None:
        from nicegui import ui

        if self._shown is None:
            return
        try:
            answer = self._collecting.choose(self._annotator, self._shown.name, choice)
        except OSError as error:
            self._not_kept(error)
            return
        if answer == "elsewhere":
            ui.notify("This one was judged in another tab already; it counts once. Here is the next.")
        if answer != "too_fast":
            self._show()

    def _not_kept(self, error: OSError) -> None:
        from nicegui import ui

        ui.notify(
            f"Not kept: {error.strerror or error}. Make room, then judge again.",
            type="negative",
            timeout=0,
            close_button=True,
        )

    def _show(self, *, again: bool = False) -> None:
        from nicegui import ui

        self._shown = shown = self._collecting.shown(self._annotator, again=again)
        progress = self._collecting.progress(self._annotator)
        self._told.set_text(progress.told())
        self._told.props(f'data-done="{progress.done}"')
        self._bar.set_value(progress.done / max(1, progress.done + progress.left))
        self._body.clear()
        with self._body:
            if shown is None:
                ui.label("All done, thank you. Everything is kept; this page can be closed.").mark("finished")
                return
            pair = shown.pair
            if pair.prompt:
                self._box("Asked", pair.prompt, pair.is_chat, "prompt")
            with ui.element("div").classes("sides"):
                self._box("Left", pair.first, pair.is_chat, "left")
                self._box("Right", pair.second, pair.is_chat, "right")
            with ui.element("div").classes("choices"):
                for choice, text, key in _CHOICES:
                    button = ui.button(f"{text} ({key})", on_click=functools.partial(self._choose, choice))
                    button.props("no-caps outline" + (" color=grey-8" if choice in ("tie", "skip") else ""))

    def _box(self, title: str, messages: Messages, is_chat: bool, name: str) -> None:
        from nicegui import ui

        with ui.element("section").classes("box").props(f'aria-label="{title}" id="{name}"'):
            ui.html(f"<h2>{title}</h2>", sanitize=True)
            for message in messages:
                if len(messages) > 1:
                    ui.label(message.role).classes("who")
                # Made safe here, and once more in the browser.
                ui.html(self._text(message, is_chat), sanitize=True)

    def _text(self, message: Message, is_chat: bool) -> str:
        text = message.text
        if self._raw:
            return plain_html(text)
        return safe_html(text if is_chat else _MARKS.sub("\n", text))

    async def _agreement(self) -> None:
        from nicegui import ui

        with self._body:
            found = await asyncio.to_thread(self._collecting.stats)
            with ui.dialog(value=True), ui.card().style("max-width: 800px; width: 90vw"):
                if found is None:
                    ui.label("nothing is judged yet")
                else:
                    with ui.element("table").mark("agreement"):
                        for name, text in stats_lines(found):
                            with ui.element("tr"):
                                with ui.element("td").style("vertical-align: top; padding-right: 12px"):
                                    ui.label(name)
                                with ui.element("td"):
                                    ui.label(text)
                ui.label("of all annotators; Escape closes this").classes("who")

    def _help(self) -> None:
        from nicegui import ui

        with self._body, ui.dialog(value=True), ui.card():
            for keys, what in _HELP:
                ui.label(f"{keys}: {what}")
            ui.label("Escape closes this").classes("who")

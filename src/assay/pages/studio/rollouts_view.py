"""Rollouts: a list that the store answers a page at a time, and one rollout with its turns and tokens."""

from __future__ import annotations

import asyncio
import dataclasses
import html
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import AssayError
from assay.observe.browse import (
    MOST_COUNTED,
    ORDERS,
    RolloutLine,
    count_rollouts,
    neighbours,
    rollout_choices,
    rollout_lines,
)
from assay.observe.records import RolloutRecord, TurnRecord
from assay.observe.transcript import answer_lines, said_lines, turn_title
from assay.observe.visible import visible
from assay.pages.studio import reading

if TYPE_CHECKING:
    from assay.pages.studio.frame import StudioTab

PAGE = 50
_MOST_TEXT = 50_000
"""Characters of a text that are shown."""
_MOST_TOKENS = 4_000
"""Tokens of a rollout that are shown one by one."""
_BOUNDS = (-0.1, -1.0, -3.0)
"""Log-probabilities at which the colour of a token changes."""
_COLUMNS = (
    ("place", "step, group, member"),
    ("level", "level"),
    ("outcome", "outcome"),
    ("reward", "reward"),
    ("ending", "ending"),
    ("turns", "turns"),
    ("tokens", "tokens"),
    ("excerpt", "response begins"),
)
_TO_SELECTED = 'setTimeout(() => document.querySelector("tr.selected")?.scrollIntoView({ block: "nearest" }))'
"""Brings the selected row into the window, when it has been drawn."""


def show_rollouts(tab: StudioTab) -> None:
    """The list, or one rollout."""
    if tab.address.place is None:
        _RolloutList(tab).build()
    else:
        _OneRollout(tab, tab.address.place).build()


def shown_text(text: str) -> str:
    """Return what somebody wrote, to be shown as text: bounded, with control characters spelt out."""
    left = len(text) - _MOST_TEXT
    return visible(text[:_MOST_TEXT]) + (f"\n... and {left:,} characters more" if left > 0 else "")


class _RolloutList:
    def __init__(self, tab: StudioTab) -> None:
        self._tab = tab
        self._address = tab.address
        self._folder: Path = next(iter(tab.folders.values()))
        self._lines: Sequence[RolloutLine] = ()
        self._total = 0
        self._at = 0

    def build(self) -> None:
        from nicegui import ui

        with reading.opened(self._folder) as store:
            choices = rollout_choices(store)
        with ui.element("div").classes("filters"):
            self._select("outcome", "verdict", choices.verdicts)
            self._select("ending", "ending", choices.endings)
            self._select("level", "level", choices.levels)
            for name, label in (
                ("low", "reward from"),
                ("high", "reward to"),
                ("first_step", "step from"),
                ("last_step", "step to"),
            ):
                self._number(name, label)
            self._search = ui.input("text (/)", value=self._address.wanted.text).props('dense outlined data-key="/"')
            self._search.on("keydown.enter", lambda: self._filter(text=self._search.value or ""))
            orders = ui.select(list(ORDERS), value=self._address.order, label="order").props("dense outlined")
            orders.on_value_change(lambda event: self._move(order=str(event.value), offset=0))
        self._told = ui.label().mark("count").props('aria-live="polite"')
        columns = [
            {"name": name, "label": label, "field": name, "align": "left", "sortable": False}
            for name, label in _COLUMNS
        ]
        self._table = ui.table(columns=columns, rows=[], row_key="number").classes("studio-table rollout-list")
        self._table.props("dense flat bordered")
        self._table.on("rowClick", lambda event: self._open(int(event.args[1]["number"])))
        with ui.row():
            ui.button("Previous (P)", on_click=lambda: self._turn(-1)).props("flat no-caps")
            ui.button("Next (N)", on_click=lambda: self._turn(1)).props("flat no-caps")
        self._tab.keys |= {
            "n": lambda: self._turn(1),
            "p": lambda: self._turn(-1),
            "j": lambda: self._select_row(self._at + 1),
            "k": lambda: self._select_row(self._at - 1),
            "Enter": lambda: self._open(self._at),
        }
        ui.timer(0.01, lambda: self._show(counts=True), once=True)

    def _select(self, label: str, name: str, values: Sequence[str]) -> None:
        from nicegui import ui

        options = {"": "any"} | {value: visible(value) for value in values}
        value = getattr(self._address.wanted, name) or ""
        if value not in options:
            options[value] = visible(value)
        select = ui.select(options, value=value, label=label).props("dense outlined")
        select.on_value_change(lambda event: self._filter(**{name: event.value or None}))

    def _number(self, name: str, label: str) -> None:
        from nicegui import ui

        field = (
            ui.number(label, value=getattr(self._address.wanted, name)).props("dense outlined").style("width: 110px")
        )
        # Steps are shown from 1, and kept from 0.
        is_step = name.endswith("step")
        if is_step and field.value is not None:
            field.value += 1

        def change() -> Any:
            value = None if field.value is None else float(field.value)
            return self._filter(**{name: value if value is None or not is_step else int(value) - 1})

        field.on("keydown.enter", change)
        field.on("blur", change)

    async def _filter(self, **changes: Any) -> None:
        wanted = dataclasses.replace(self._address.wanted, **changes)
        if wanted != self._address.wanted:
            await self._move(wanted=wanted, offset=0)

    async def _turn(self, pages: int) -> None:
        offset = self._address.offset + pages * PAGE
        if 0 <= offset < self._total:
            await self._move(offset=offset)

    async def _move(self, **changes: Any) -> None:
        from nicegui import ui

        counts = "wanted" in changes
        self._address = self._address.with_(**changes)
        ui.navigate.history.replace(self._address.path(self._tab.secret))
        await self._show(counts=counts)

    async def _show(self, *, counts: bool) -> None:
        """Ask for the page, and at the same time for how many there are. What is answered when something else is wanted
        already is not shown."""
        address = self._address
        page = (rollout_lines, address.wanted, address.order, address.offset, PAGE)
        questions: list[tuple[Any, ...]] = [page, (count_rollouts, address.wanted)] if counts else [page]
        if counts:
            self._told.set_text("counting")
        try:
            lines, *counted = await asyncio.gather(*(asyncio.to_thread(self._ask, *each) for each in questions))
        except AssayError as error:
            self._told.set_text(visible(str(error)))
            return
        if counted and address.wanted == self._address.wanted:
            self._total = counted[0]
        if address == self._address:
            self._lines = lines
            self._table.rows = [_row(number, line) for number, line in enumerate(lines)]
            self._select_row(0)
        self._tell()

    def _tell(self) -> None:
        more = self._total > MOST_COUNTED and bool(self._address.wanted.text)
        total = f"more than {MOST_COUNTED:,}" if more else f"{self._total:,}"
        first, last = self._address.offset + 1, self._address.offset + len(self._lines)
        self._told.set_text(f"{first:,} to {last:,} of {total} rollouts" if self._lines else "no such rollout")

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        with reading.opened(self._folder) as store:
            return question(store, *arguments)

    def _select_row(self, number: int) -> None:
        from nicegui import ui

        if self._lines:
            self._at = max(0, min(number, len(self._lines) - 1))
            self._table.selected = [self._table.rows[self._at]]
            self._table.update()
            ui.run_javascript(_TO_SELECTED)

    def _open(self, number: int) -> None:
        if 0 <= number < len(self._lines):
            line = self._lines[number]
            self._tab.go(self._address.with_(place=(line.step, line.group_id, line.member)))


def _row(number: int, line: RolloutLine) -> dict[str, Any]:
    return {
        "number": number,
        "place": f"{line.step + 1}, {line.group_id}, {line.member}",
        "level": visible(line.level),
        "outcome": line.verdict.replace("_", " "),
        "reward": "-" if line.value is None else f"{line.value:g}",
        "ending": visible(line.ending),
        "turns": line.num_turns,
        "tokens": line.num_tokens,
        "excerpt": visible(line.excerpt[:160], keep_newlines=False),
    }


class _OneRollout:
    def __init__(self, tab: StudioTab, place: tuple[int, int, int]) -> None:
        self._tab = tab
        self._place = place
        self._folder: Path = next(iter(tab.folders.values()))

    def build(self) -> None:
        from nicegui import ui

        step, group, member = self._place
        with reading.opened(self._folder) as store:
            found = store.rollouts(step, group, member)
            turns = store.turns(step, group, member)
            before, after = neighbours(store, self._tab.address.wanted, self._place)
        if not found:
            self._tab.trouble(f"there is no rollout of step {step + 1}, group {group}, member {member}")
            return
        self._record = found[0]
        address = self._tab.address
        with ui.element("div").classes("studio-top"):
            ui.link("Back to the list (B)", address.with_(place=None, tokens=False).path(self._tab.secret))
            for title, place in (("Previous (P)", before), ("Next (N)", after)):
                if place is not None:
                    ui.link(title, address.with_(place=place).path(self._tab.secret))
            ui.link("Log-probabilities (L)", address.with_(tokens=not address.tokens).path(self._tab.secret))
        go = self._tab.go
        self._tab.keys |= {
            "b": lambda: go(address.with_(place=None, tokens=False)),
            "Backspace": lambda: go(address.with_(place=None, tokens=False)),
            "p": lambda: before and go(address.with_(place=before)),
            "n": lambda: after and go(address.with_(place=after)),
            "l": lambda: go(address.with_(tokens=not address.tokens)),
        }
        self._facts(self._record)
        self._text("Prompt", self._record.prompt)
        if turns and (len(turns) > 1 or turns[0].env_messages or turns[0].message.calls):
            for turn in turns:
                self._turn(turn)
        else:
            self._text("Response", self._record.response)
        if address.tokens:
            self._tokens = ui.element("section").classes("box").props('aria-label="Tokens"')
            with self._tokens:
                ui.label("reading the tokenizer")
            ui.timer(0.01, self._show_tokens, once=True)

    def _facts(self, record: RolloutRecord) -> None:
        from nicegui import ui

        parts = ", ".join(f"{name} {value:g}" for name, value in record.parts.items())
        facts = {
            "step, group, member": f"{record.step + 1}, {record.group_id}, {record.member}",
            "task": f"{record.task_id} ({record.domain}, level {record.level})",
            "gold answer": record.answer,
            "ended": " ".join(filter(None, [record.ending, record.ending_reason, record.boundary])),
            "earned": record.verdict.replace("_", " ") + (f" ({record.reason})" if record.reason else ""),
            "reward": "not measured"
            if record.value is None
            else f"{record.value:g}" + (f" ({parts})" if parts else ""),
            "read": record.evidence,
            "tokens": f"{record.num_tokens} sampled of {len(record.token_ids)}, by version {record.version}",
        }
        with ui.element("div").classes("facts"):
            for name, value in facts.items():
                if value:
                    ui.label(name).classes("name")
                    ui.label(shown_text(value)).classes("text")

    def _text(self, title: str, text: str) -> None:
        from nicegui import ui

        with ui.element("section").classes("box").props(f'aria-label="{title}"'):
            ui.label(title).style("font-weight: 600")
            ui.label(shown_text(text)).classes("text")

    def _turn(self, turn: TurnRecord) -> None:
        from nicegui import ui

        rewritten = turn.turn > 0 and not turn.extends_previous
        with ui.element("section").classes("box").props(f'aria-label="turn {turn.turn + 1}"'):
            ui.label(visible(turn_title(turn.turn, rewritten=rewritten, state=turn.state))).style("font-weight: 600")
            with ui.element("div").classes("facts"):
                for line in [*said_lines(turn.message), *answer_lines(turn.env_messages, turn.env_reward)]:
                    ui.label(visible(line.who)).classes("name")
                    ui.label(shown_text(line.text)).classes("text")
            cut = f", ended by: {turn.finish_reason}" if turn.finish_reason != "stop" else ""
            ui.label(f"{turn.num_context_tokens} masked, {turn.num_tokens} sampled tokens{cut}").classes("name")

    async def _show_tokens(self) -> None:
        from nicegui import ui

        from assay.render.spelling import token_speller

        spell, where = await asyncio.to_thread(token_speller, self._folder)
        drawn = await asyncio.to_thread(tokens_html, self._record, spell)
        self._tokens.clear()
        with self._tokens:
            ui.label(visible(where))
            ui.label(
                "Grey: masked, not trained on. Colour: the sampler's log-probability, from likely (green) to unlikely "
                "(red); the numbers are below."
            )
            ui.html(drawn, sanitize=True)


def tokens_html(record: RolloutRecord, spell: Callable[[int], str] | None) -> str:
    """Return the tokens of a rollout as HTML: masked ones grey, sampled ones by their log-probability, and a
    table of the sampler's and the trainer's numbers, in nats. What a token spells is shown as text."""
    parts, numbers = [], []
    sampled = 0
    for position, (token, trained) in enumerate(zip(record.token_ids, record.loss_mask, strict=True)):
        if position >= _MOST_TOKENS:
            parts.append(f"<p>and {len(record.token_ids) - position:,} tokens more</p>")
            break
        text = html.escape(visible(f"{token} " if spell is None else spell(token)))
        if not trained:
            parts.append(f'<span class="masked">{text}</span>')
            continue
        sampler = record.token_logprobs[sampled]
        trainer = None if record.trainer_logprobs is None else record.trainer_logprobs[sampled]
        sampled += 1
        colour = sum(sampler < bound for bound in _BOUNDS)
        beside = ("-", "-") if trainer is None else (f"{trainer:.4f}", f"{trainer - sampler:+.1e}")
        parts.append(f'<span class="p{colour}" title="token {token}: sampler {sampler:.4f}">{text}</span>')
        numbers.append((str(position), str(token), text, f"{sampler:.4f}", *beside))
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in numbers)
    heads = "".join(f"<th>{head}</th>" for head in ("position", "id", "token", "sampler", "trainer", "difference"))
    return (
        f'<div class="tokens">{"".join(parts)}</div><details><summary>The numbers of {len(numbers):,} tokens</summary>'
        f'<table class="numbers"><tr>{heads}</tr>{rows}</table></details>'
    )

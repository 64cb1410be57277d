"""`assay show RUN`: reads a run folder and says what is in it. Everything here is printed from plain data."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.groups import with_groups
from assay.cli.rollout_options import RolloutOptions
from assay.cli.show_evaluation import first_attempts, is_evaluation, show_attempts

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from assay.observe.curves import Curve
    from assay.observe.records import RolloutRecord, TurnRecord
    from assay.observe.store import RunStore

TokenText = Callable[[int], str]

_MAX_EVENTS = 8
_SPARKLINE, _LEAST_SPARKLINE = 40, 8
"""Columns of a curve."""
_NUMBER_COLUMNS = 52
"""Columns of the four numbers before it, gaps included, at their widest."""
_NARROW_COLUMNS = 96
"""A terminal with fewer columns shows the last number only."""


@with_groups
def show(
    run: Annotated[
        str,
        typer.Argument(metavar="RUN", help='A run folder, the name of a run, "latest", or a folder of `assay eval`.'),
    ],
    chosen: RolloutOptions,
    curves: Annotated[
        list[str] | None, typer.Option(help="Show the curve of this metric; may be given several times.")
    ] = None,
    metrics: Annotated[bool, typer.Option("--metrics", help="List every metric with its explanation.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same as JSON.")] = False,
) -> None:
    """Look into a run: status, curves, outcomes, rollouts with their token masks and log-probabilities.

    Of an evaluation: its first attempts, turn by turn.
    """
    from rich.console import Console

    from assay.errors import RunFolderError
    from assay.home import assay_home
    from assay.observe.folder import find_run
    from assay.observe.store import RunStore

    if is_evaluation(Path(run)):
        if curves or metrics or any(place is not None for place in (chosen.step, chosen.group, chosen.member)):
            raise RunFolderError(
                f"{run} is an evaluation, which has attempts only; leave out all but --limit and --json"
            )
        found = first_attempts(Path(run), chosen.limit)
        _print_json([row.to_dict() for row in found]) if as_json else show_attempts(Console(highlight=False), found)
        return
    folder = find_run(run, assay_home() / "runs")
    console = Console(highlight=False)
    with RunStore.open_readonly(folder) as store:
        if chosen.given:
            found = chosen.find(store)
            _print_json(_with_turns(store, found)) if as_json else _show_rollouts(console, folder, store, found)
        elif metrics:
            listed = _explained(store)
            _print_json(listed) if as_json else _show_metrics(console, listed)
        elif curves:
            named = _named_curves(store, curves)
            _print_json(named) if as_json else _show_curves(console, named)
        elif as_json:
            _print_json(_overview(folder, store))
        else:
            _show_overview(console, folder, store)


def _print_json(data: Any) -> None:
    # ASCII only: control characters in model output stay escaped.
    typer.echo(json.dumps(_finite(data), ensure_ascii=True, indent=2, allow_nan=False, default=str))


def _from_one(points: Sequence[tuple[int, float | None]]) -> list[tuple[int, float | None]]:
    """A curve whose steps count from 1, as the console's do; the store counts from 0."""
    return [(step + 1, value) for step, value in points]


def _records(records: Sequence[Any]) -> list[dict[str, Any]]:
    """Records of the store as plain data, with steps that count from 1: so many updates there were after them."""
    return [{**data, "step": data["step"] + 1} for data in map(dataclasses.asdict, records)]


def _with_turns(store: RunStore, records: Sequence[RolloutRecord]) -> list[dict[str, Any]]:
    """Rollouts with their turns as plain data."""
    turns = (store.turns(record.step, record.group_id, record.member) for record in records)
    return [{**data, "turns": _records(own)} for data, own in zip(_records(records), turns, strict=True)]


# ---- the run as a whole ----


def _overview(folder: Path, store: RunStore) -> dict[str, Any]:
    from assay.observe.curves import level_curves, main_curves
    from assay.observe.folder import read_json, run_status

    return {
        "folder": str(folder),
        "status": run_status(folder, store.num_steps()),
        "summary": read_json(folder / "summary.json"),
        "num_steps": store.num_steps(),
        "curves": {curve.title: _from_one(curve.points) for curve in main_curves(store)},
        **{f"{unit}_by_level": found for unit, found in _by_level(level_curves(store)).items()},
        "outcomes": list(map(dataclasses.asdict, store.outcomes())),
        "evaluations": _records(store.evaluations()),
        "events": _records(store.events()),
    }


def _by_level(curves: Mapping[str, Curve]) -> dict[str, dict[str, Any]]:
    """The curves of levels by what they are of: "solved" or "reward"."""
    found: dict[str, dict[str, Any]] = {"solved": {}, "reward": {}}
    for level, curve in curves.items():
        found[curve.unit][level] = _from_one(curve.points)
    return found


def _show_overview(console: Console, folder: Path, store: RunStore) -> None:
    from rich.text import Text

    from assay.evaluation.also import also_lines
    from assay.observe.console import duration
    from assay.observe.curves import level_curves, level_title, main_curves
    from assay.observe.folder import read_json, run_status

    summary = read_json(folder / "summary.json")
    facts = [
        ("run", str(folder)),
        ("status", run_status(folder, store.num_steps())),
        ("steps", str(store.num_steps())),
    ]
    seconds = summary.get("seconds")
    if isinstance(seconds, int | float):
        facts.append(("time", duration(float(seconds))))
    facts += [(name, text) for name in ("before", "after") if (text := _side_line(summary.get(name)))]
    facts += [(name, text) for name in ("gain", "reward_gain") if (text := _gain_line(summary.get(name)))]
    if isinstance(also := summary.get("also"), dict):
        facts += [("also", line) for line in also_lines(also)]
    table = _grid(2)
    for name, value in facts:
        table.add_row(Text(name, style="dim"), _safe(value))
    console.print(table)

    overall = main_curves(store)
    if overall:
        _heading(console, "Curves")
        console.print(_curve_table(console, [(c.title, c.unit, c.values) for c in overall]))
    levels = level_curves(store)
    if levels:
        _heading(console, level_title(levels))
        console.print(_curve_table(console, [(level, "", curve.values) for level, curve in levels.items()]))
    outcomes = store.outcomes()
    if outcomes:
        _heading(console, "Outcomes")
        table = _table("ended", "earned", "why", "rollouts>", "share>")
        total = sum(outcome.count for outcome in outcomes)
        for o in outcomes:
            cells = [o.ended, o.verdict.replace("_", " "), o.reason, str(o.count), f"{o.count / total:.1%}"]
            table.add_row(*map(_safe, cells))
        console.print(table)
    evaluations = [record for record in store.evaluations() if record.level == "all"]
    if evaluations:
        kinds = {"mean reward" if e.accuracy is None else "accuracy" for e in evaluations}
        _heading(console, f"Held-out {' or '.join(sorted(kinds))}")
        what = kinds.pop() if len(kinds) == 1 else "score"
        table = _table("updates>", "split", "decoding", "reading", f"{what}>", "95 % interval", "tasks>")
        for e in evaluations:
            value, low, high = map(_short if e.accuracy is None else _percent, e.measure)
            cells = [str(e.step + 1), e.split, e.decoding, e.reading, value, f"[{low}, {high}]", str(e.num_tasks)]
            table.add_row(*map(_safe, cells))
        console.print(table)
    events = store.events()
    if events:
        _heading(console, f"Events (last {min(len(events), _MAX_EVENTS)} of {len(events)})")
        for event in events[-_MAX_EVENTS:]:
            console.print(_safe(f"step {event.step + 1}  {event.kind}: {event.text}"), soft_wrap=True)


def _side_line(side: Any) -> str:
    from assay.observe.summary_text import score_text

    tasks = f", {side['num_tasks']} tasks" if isinstance(side, dict) and "num_tasks" in side else ""
    return f"{text}{tasks}" if (text := score_text(side)) else ""


def _gain_line(gain: Any) -> str:
    from assay.observe.summary_text import gain_text

    text = gain_text(gain)
    how = " ".join(str(gain[name]) for name in ("decoding", "reading") if gain.get(name)) if text else ""
    return f"{text} ({how})" if how else text


# ---- metrics ----


def _named_curves(store: RunStore, names: Sequence[str]) -> dict[str, list[tuple[int, float | None]]]:
    import difflib

    from assay.errors import RunFolderError

    series = store.metrics()
    for name in names:
        if name not in series:
            near = difflib.get_close_matches(name, series, n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}?" if near else "list them with --metrics"
            raise RunFolderError(f"the run has no metric {name!r}; {hint}")
    return {name: _from_one(series[name]) for name in names}


def _show_curves(console: Console, named: dict[str, list[tuple[int, float | None]]]) -> None:
    rows = [(name, "", [value for _, value in points]) for name, points in named.items()]
    console.print(_curve_table(console, rows))


def _explained(store: RunStore) -> list[dict[str, Any]]:
    """Metrics that the run recorded, with their last values, and those that this version knows beside them."""
    from assay.observe.metrics import METRICS, explanation

    _import_all()
    series = store.metrics()
    return [
        {
            "metric": name,
            "last": next((value for _, value in reversed(series.get(name, [])) if value is not None), None),
            "explanation": explanation(name),
        }
        for name in sorted({*series, *METRICS})
    ]


def _import_all() -> None:
    """Imports every module of Assay, so that each metric's explanation is registered."""
    import importlib
    import pkgutil

    import assay

    for module in pkgutil.walk_packages(assay.__path__, "assay.", onerror=lambda name: None):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except (ImportError, OSError):
            # An adapter whose library is not installed; a file that runs only where it is copied to, beside its data.
            continue


def _show_metrics(console: Console, listed: list[dict[str, Any]]) -> None:
    table = _table("metric", "last>", "explanation")
    for entry in listed:
        table.add_row(_safe(entry["metric"]), _safe(_short(entry["last"])), _safe(entry["explanation"]))
    console.print(table)


# ---- rollouts ----


def _show_rollouts(console: Console, folder: Path, store: RunStore, records: Sequence[RolloutRecord]) -> None:
    from assay.render.spelling import token_speller

    token_text, where = token_speller(folder)
    console.print(_safe(where), style="dim", soft_wrap=True)
    for record in records:
        _show_rollout(console, record, token_text)
        turns = store.turns(record.step, record.group_id, record.member)
        if len(turns) > 1 or any(turn.env_messages for turn in turns):
            _show_transcript(console, record, turns, token_text)
        else:
            everything = _masked_text(console, record, token_text, 0, len(record.token_ids))
            console.print(everything, soft_wrap=True)
    if len(records) == 1:
        _show_tokens(console, records[0], token_text)


def _show_rollout(console: Console, record: RolloutRecord, token_text: TokenText | None) -> None:
    _heading(console, f"step {record.step + 1}, group {record.group_id}, member {record.member}")
    ended = f"{record.ending} ({record.ending_reason})" if record.ending_reason else record.ending
    earned = record.verdict.replace("_", " ") + (f" ({record.reason})" if record.reason else "")
    parts = ", ".join(f"{name} {value:g}" for name, value in record.parts.items())
    facts = [
        ("task", f"{record.task_id} ({record.domain}, level {record.level})"),
        ("answer", record.answer),
        ("ended", f"{ended}, at the boundary: {record.boundary}" if record.boundary else ended),
        ("earned", earned),
        ("reward", "-" if record.value is None else f"{record.value:g}" + (f" (parts: {parts})" if parts else "")),
        ("read", record.evidence),
        ("tokens", f"{record.num_tokens} sampled of {len(record.token_ids)}, by version {record.version}"),
        ("turns", str(record.num_turns) if record.num_turns > 1 else ""),
        ("gap", _gap_line(record)),
    ]
    table = _grid(2)
    if token_text is None:
        facts += [("prompt", record.prompt), ("response", record.response)]
    for name, value in facts:
        if value:
            table.add_row(name, _safe(value))
    console.print(table)


def _show_transcript(
    console: Console, record: RolloutRecord, turns: Sequence[TurnRecord], token_text: TokenText | None
) -> None:
    """A rollout turn by turn: the prompt's tokens that the turn added, which are masked, the sampled ones, which are
    trained on, the calls that were read from them, what the environment answered and what it paid."""
    from assay.observe.transcript import answer_lines, said_lines, turn_title

    at = 0
    for turn in turns:
        rewritten = turn.turn > 0 and not turn.extends_previous
        _heading(console, turn_title(turn.turn, rewritten=rewritten, state=turn.state))
        end = at + turn.num_context_tokens + turn.num_tokens
        console.print(_masked_text(console, record, token_text, at, end), soft_wrap=True)
        at = end
        table = _grid(2)
        calls = [line for line in said_lines(turn.message) if line.who in ("call", "call error")]
        # Ids say nothing to people: without a tokenizer, the messages do.
        said = said_lines(turn.message) if token_text is None else calls
        for line in [*said, *answer_lines(turn.env_messages, turn.env_reward)]:
            table.add_row(_safe(line.who), _safe(line.text))
        cut = f", ended by: {turn.finish_reason}" if turn.finish_reason != "stop" else ""
        table.add_row("tokens", f"{turn.num_context_tokens} masked, {turn.num_tokens} sampled{cut}")
        console.print(table)


def _masked_text(console: Console, record: RolloutRecord, token_text: TokenText | None, start: int, end: int) -> Text:
    """The tokens of a rollout from `start` to `end`, those that are trained on marked: by colour, or by brackets where
    there is none."""
    from rich.text import Text

    coloured = console.color_system is not None and not console.no_color
    opening, closing = ("", "") if coloured else ("[[", "]]")
    text = Text()
    trained = False
    for position in range(start, end):
        token, mask = record.token_ids[position], record.loss_mask[position]
        if mask != trained:
            text.append(opening if mask else closing)
            trained = mask
        if position in record.fork_starts and position > start:
            text.append("\n--- the prompt was rewritten here: a sample of its own ---\n", style="dim")
        spelled = token_text(token) if token_text is not None else f"{token} "
        text.append(_visible(spelled), style="bold green" if mask else "dim")
    if trained:
        text.append(closing)
    return text


def _show_tokens(console: Console, record: RolloutRecord, token_text: TokenText | None) -> None:
    """One line a sampled token: what the sampler and the trainer say of it."""
    _heading(console, "Trained-on tokens, natural-log probabilities")
    table = _table("position>", "id>", "token", "sampler>", "trainer>", "trainer - sampler>")
    positions = [i for i, mask in enumerate(record.loss_mask) if mask]
    for n, position in enumerate(positions):
        token = record.token_ids[position]
        sampler = record.token_logprobs[n]
        trainer = None if record.trainer_logprobs is None else record.trainer_logprobs[n]
        table.add_row(
            *(str(position), str(token), _safe("" if token_text is None else repr(token_text(token)))),
            *(f"{sampler:.4f}", "-" if trainer is None else f"{trainer:.4f}"),
            "-" if trainer is None else f"{trainer - sampler:+.1e}",
        )
    console.print(table)


def _gap_line(record: RolloutRecord) -> str:
    # What was given was sampled by nobody: its log-probabilities are NaN.
    if not record.trainer_logprobs or any(map(math.isnan, record.token_logprobs)):
        return ""
    gaps = [abs(a - b) for a, b in zip(record.trainer_logprobs, record.token_logprobs, strict=True)]
    return f"sampler to trainer, nats a token: mean {sum(gaps) / len(gaps):.1e}, largest {max(gaps):.1e}"


# ---- printing ----


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(_safe(text), style="bold")


def _table(*columns: str) -> Table:
    """A table without lines; a column whose name ends in ">" is aligned to the right."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for column in columns:
        table.add_column(column.removesuffix(">"), justify="right" if column.endswith(">") else "left")
    return table


def _grid(num_columns: int) -> Table:
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    for _ in range(num_columns):
        grid.add_column()
    return grid


def _curve_table(console: Console, rows: Sequence[tuple[str, str, Sequence[float | None]]]) -> Table:
    from assay.observe.sparkline import sparkline

    labels = [f"{title} ({unit})" if unit and unit not in title.lower() else title for title, unit, _ in rows]
    narrow = console.width < _NARROW_COLUMNS
    table = _table("curve", "last>", "") if narrow else _table("curve", "first>", "last>", "lowest>", "highest>", "")
    for column in table.columns[1:]:
        column.no_wrap = True
    room = console.width - max(map(len, labels), default=0) - _NUMBER_COLUMNS // (4 if narrow else 1)
    width = max(_LEAST_SPARKLINE, min(_SPARKLINE, room))
    ascii_only = not (console.encoding or "").lower().startswith("utf")
    for label, (_, _, values) in zip(labels, rows, strict=True):
        known = [value for value in values if value is not None]
        numbers = [known[0], known[-1], min(known), max(known)] if known else [None] * 4
        shown = numbers[1:2] if narrow else numbers
        table.add_row(_safe(label), *map(_short, shown), _safe(sparkline(values, width, ascii_only=ascii_only)))
    return table


def _visible(text: str) -> str:
    from assay.observe.visible import visible

    return visible(text)


def _safe(text: str) -> Text:
    """Text for the terminal: control characters visible, no markup read."""
    from rich.text import Text

    return Text(_visible(text))


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _finite(data: Any) -> Any:
    """The data with every NaN and infinity as None: JSON has neither."""
    if isinstance(data, dict):
        return {name: _finite(value) for name, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data

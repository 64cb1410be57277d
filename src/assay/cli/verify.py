"""`assay verify VERIFIER`: scores responses in a file, row by row; resumable."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from assay.cli.code_rows import CodeRecorder, Verdicts, tests_of
from assay.cli.common_options import set_option
from assay.cli.progress import progress
from assay.cli.sampled_model import print_judges
from assay.cli.scored_rows import ScoredRows
from assay.cli.task_options import plain
from assay.errors import ConfigError, DataError

if TYPE_CHECKING:
    from assay.suite import Suite
    from assay.types import Score
    from assay.verifiers import Verifier

    Row = tuple[dict[str, Any], Suite | None]
    """A row and, for code, its tests."""

_IN_FLIGHT = 512
_MAX_DEPTH = 100
"""Deepest nesting of a row's lists and objects: far from where Python's JSON gives up, in reading or in writing."""
_FINISH_REASONS = ("stop", "length", "abort")
_OUTCOMES = ("solved", "failed", "graded", "not_measured")
_MOST_CAUSES = 3
"""Causes that the closing lines show of what was not measured."""


def verify(
    name: Annotated[
        str, typer.Argument(metavar="VERIFIER", help="math, code, numeric, exact, choice, format, judge or python.")
    ],
    input: Annotated[
        Path,
        typer.Option(
            "--input",
            help="JSON lines with id, response and answer (gold); for code tests, cases, or prompt, test and "
            "entry_point in place of answer.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", help="JSON lines: every field of the input, and outcome, value and reason; for code verdicts."
        ),
    ],
    workers: Annotated[
        int | None,
        typer.Option(help="Worker processes, for math and code. Default: one a core.", min=1, show_default=False),
    ] = None,
    timeout_seconds: Annotated[
        float | None,
        typer.Option(
            help="Limit of one try at an expression, for math (default 1), or of one test in CPU time, for code "
            "(default 4).",
            min=0.01,
            show_default=False,
        ),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="A response without a box is itself the expression, for math.")
    ] = False,
    prose: Annotated[
        bool,
        typer.Option(
            "--prose",
            help='A response without a box answers in prose: "The answer is 34.", or its last expression, for math.',
        ),
    ] = False,
    settings: Annotated[
        list[str] | None,
        set_option("An option of the verifier, such as, for math, answer_form=after with marker=####, or decimals=2."),
    ] = None,
) -> None:
    """Score responses against gold answers or unit tests, without a model.

    For code, the tests of a row are `tests`, a list of asserts (with an optional `setup`), or `cases`, a list of
    {input, output}, or HumanEval's `prompt`, `test` and `entry_point`. They run in a sandbox (assay sandbox selftest).

    A row may also carry finish_reason ("length" says that the response was cut off at its limit) and question, which a
    judge is shown. The same command continues a file that was interrupted, and scores those rows again that were not
    measured; rows come out in the order in which they went in.
    """
    import asyncio

    from rich.console import Console

    from assay.verifiers.judge_endpoint import judges_in

    verifier, options = _verifier(name, workers, timeout_seconds, _answer_form(bare, prose), settings or [])
    read = _read(input, name)
    rows = [row for row, _ in read]
    scored_rows = ScoredRows(input, output, {"verifier": name, **options}, rows)
    if scored_rows.num_before:
        typer.echo(
            f"{scored_rows.num_before} of {len(rows)} rows were there before, {scored_rows.num_unmeasured} of them not "
            "measured",
            err=True,
        )
    counts: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    began = time.perf_counter()
    before = signal.getsignal(signal.SIGINT)
    if not list(judges_in(verifier)):
        # asyncio's own handler only cancels, which a reward function that blocks never notices. A judge needs it: what
        # was asked of a server is paid for, and its replies are taken in before the end.
        signal.signal(signal.SIGINT, _interrupt)
    try:
        with scored_rows:
            asyncio.run(_score(verifier, read, scored_rows, counts, causes))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command continues", err=True)
        raise
    finally:
        signal.signal(signal.SIGINT, before)
    seconds = time.perf_counter() - began
    print_judges({name: verifier}, seconds, Console(highlight=False, stderr=True))
    scored = sum(counts[outcome] for outcome in _OUTCOMES)
    # Numbers without a verdict, or verdicts: what the verifier does not give is not counted as 0.
    shown = [o for o in _OUTCOMES if counts[o] or o == "not_measured" or (o != "graded") is verifier.gives_verdicts]
    typer.echo(
        f"{scored} rows in {seconds:.1f} s, {scored / max(seconds, 1e-9):,.0f} a second: "
        + ", ".join(f"{counts[outcome]} {outcome}" for outcome in shown)
    )
    for cause, count in causes.most_common(_MOST_CAUSES):
        typer.echo(f"not measured: {count} because of: {cause}")
    if name in ("code", "math") and counts["failed"]:
        reasons = sorted((-count, reason) for reason, count in counts.items() if reason not in _OUTCOMES)
        typer.echo("failed: " + ", ".join(f"{-count} {reason}" for count, reason in reasons))
    if name == "math" and counts["no answer"]:
        typer.echo(_unread(counts["no answer"], options["answer_form"]))


def _answer_form(bare: bool, prose: bool) -> str | None:
    if bare and prose:
        raise ConfigError("--bare and --prose are two readings; give one")
    return "bare" if bare else "prose" if prose else None


def _unread(count: int, answer_form: str) -> str:
    """Return a line with the number of responses without a readable answer, and the options that read other forms."""
    where = {"box": "no answer in a box", "after": "no answer after the marker"}.get(answer_form, "no answer")
    others = {
        "box": "--prose reads the last stated answer or expression, --bare a response that is the expression itself, "
        "--set answer_form=after --set marker=... what follows a marker",
        "after": "--prose reads the last stated answer or expression",
        "bare": "--prose reads the last stated answer or expression",
    }.get(answer_form)
    return f"{count} had {where}" + (f"; {others}" if others else "")


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


async def _score(
    verifier: Verifier,
    read: list[Row],
    scored_rows: ScoredRows,
    counts: Counter[str],
    causes: Counter[str],
) -> None:
    """Scores the rows that are missing, several at once; each is on disk before another event is looked at.

    Args:
        causes: gains why rows were not measured.
    """
    import asyncio

    from assay.verifiers import close_verifiers

    under_way: deque[asyncio.Task[None]] = deque()
    with progress("rows", len(read) - len(scored_rows.missing), len(read)) as advance:

        async def score_row(place: int) -> None:
            row, suite = read[place]
            score, verdicts = await _judge(verifier, row, suite)
            scored_rows.add(place, _line(row, score, verdicts))
            counts[score.verdict.value] += 1
            if score.verdict.value == "failed":
                counts[score.reason] += 1
            elif not score.measured:
                causes[score.reason.partition(" for task ")[0]] += 1
            advance()

        try:
            for place in scored_rows.missing:
                under_way.append(asyncio.create_task(score_row(place)))
                if len(under_way) >= _IN_FLIGHT:
                    await under_way.popleft()
            while under_way:
                await under_way.popleft()
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            await close_verifiers([verifier])


def _line(row: dict[str, Any], score: Score, verdicts: Verdicts | None) -> str:
    outcome: dict[str, Any] = {"outcome": score.verdict.value, "value": score.value, "reason": score.reason}
    if verdicts is not None:
        outcome["verdicts"] = verdicts
    return json.dumps({**row, **outcome}) + "\n"


async def _judge(verifier: Verifier, row: dict[str, Any], suite: Suite | None) -> tuple[Score, Verdicts | None]:
    from assay.types import Message, Score, Task
    from assay.verifiers import Code, as_rollout, score_rollout

    recorded = CodeRecorder(verifier) if isinstance(verifier, Code) else None
    try:
        answer = str(row["answer"]) if suite is None else suite.answer
        task = Task("verify", (Message("user", row.get("question", "")),), answer, suite=suite)
        rollout = as_rollout(row["response"], task, finish_reason=row.get("finish_reason", "stop"))
        score = await score_rollout(recorded or verifier, rollout, task)
    except DataError as error:
        # A gold answer that cannot be compared with: the row's own, and no fault of the response.
        score = Score.not_measured(str(error)[:300])
    return score, None if recorded is None else recorded.verdicts


def _verifier(
    name: str, workers: int | None, timeout_seconds: float | None, answer_form: str | None, settings: list[str]
) -> tuple[Verifier, dict[str, Any]]:
    from assay.config import parse_overrides
    from assay.verifiers import Code, Math, make_verifier

    options = parse_overrides(settings)
    given = {
        "--workers": ("num_workers", workers),
        "--timeout-seconds": ("timeout_seconds", timeout_seconds),
        f"--{answer_form}": ("answer_form", answer_form),
    }
    for option, (key, value) in given.items():
        if value is None:
            continue
        if name == "code" and option == "--timeout-seconds":
            key = "seconds"
        if name != "math" and (name != "code" or key == "answer_form"):
            raise ConfigError(
                f"{option} has no effect with {name}: only math has expressions, and math and code workers and limits; "
                "leave it out"
            )
        options[key] = value
    verifier = make_verifier(name, options)
    settled = plain(verifier)
    # How many processes and how long they may take are no part of what a verdict means.
    return verifier, {
        key: value for key, value in settled.items() if not isinstance(verifier, Math | Code) or key != "num_workers"
    }


def _read(path: Path, verifier: str) -> list[Row]:
    """Every row, checked before the first is scored."""
    rows = []
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    rows.append(_row(line, f"{path}, line {number}", verifier))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def _row(line: bytes, place: str, verifier: str) -> Row:
    try:
        row = json.loads(line)
        if _is_deep(row):
            raise RecursionError
    except ValueError as error:
        raise DataError(f"{place} is not JSON: {error}") from None
    except RecursionError:
        raise DataError(f"{place} is not JSON of a row: it is nested more than {_MAX_DEPTH} deep") from None
    if not isinstance(row, dict):
        raise DataError(f"{place} holds {type(row).__name__}, not an object")
    is_code = verifier == "code"
    missing = [key for key in ("id", "response", *(() if is_code else ("answer",))) if key not in row]
    if missing:
        raise DataError(f"{place} lacks {', '.join(missing)}; it has {', '.join(row) or 'nothing'}")
    taken = [key for key in ("outcome", "value", "reason", *(("verdicts",) if is_code else ())) if key in row]
    if taken:
        raise DataError(f"{place} has a field {taken[0]!r} already, which the output would overwrite; rename it")
    if not isinstance(row["response"], str):
        raise DataError(f"{place}: response is {type(row['response']).__name__}, not text")
    suite = tests_of(row, place) if is_code else None
    if not is_code and (isinstance(row["answer"], bool) or not isinstance(row["answer"], str | int | float)):
        raise DataError(f"{place}: answer is {type(row['answer']).__name__}, not text")
    if not isinstance(row.get("question", ""), str):
        raise DataError(f"{place}: question is {type(row['question']).__name__}, not text")
    if row.get("finish_reason", "stop") not in _FINISH_REASONS:
        raise DataError(f"{place}: finish_reason {row['finish_reason']!r} is none of {', '.join(_FINISH_REASONS)}")
    return row, suite


def _is_deep(value: object) -> bool:
    """Return True where lists and objects are nested more than `_MAX_DEPTH` deep."""
    level, depth = [value], 0
    while level and depth <= _MAX_DEPTH:
        nested = (one for one in level if isinstance(one, dict | list))
        level = [inner for one in nested for inner in (one.values() if isinstance(one, dict) else one)]
        depth += 1
    return bool(level)

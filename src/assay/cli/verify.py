"""`assay verify VERIFIER`: scores responses in a file, row by row; resumable."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.chosen import plain
from assay.cli.code_rows import FIELDS, CodeRecorder, Verdicts, tests_of
from assay.cli.options import parse_options
from assay.cli.progress import progress
from assay.cli.subject import print_judges
from assay.errors import ConfigError, DataError, RunFolderError

if TYPE_CHECKING:
    from assay.types import Score
    from assay.verifiers import Verifier

_IN_FLIGHT = 512
_IDENTITY = ("id", "response", "answer", "finish_reason", "question", *FIELDS)
_FINISH_REASONS = ("stop", "length", "abort")
_OUTCOMES = ("solved", "failed", "not_measured")


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
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An option of the verifier, such as after='####'."),
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

    verifier, options = _verifier(name, workers, timeout_seconds, bare, settings or [])
    rows = _read(input, name)
    done, again = _resume(input, output, {"verifier": name, **options}, rows)
    if done:
        typer.echo(f"{done} of {len(rows)} rows were there before, {len(again)} of them not measured", err=True)
    counts: Counter[str] = Counter()
    began = time.perf_counter()
    try:
        asyncio.run(_score(verifier, rows, output, counts, done, again))
    except KeyboardInterrupt:
        typer.echo("stopped; the same command continues", err=True)
        raise
    seconds = time.perf_counter() - began
    print_judges({name: verifier}, seconds, Console(highlight=False, stderr=True))
    scored = sum(counts[outcome] for outcome in _OUTCOMES)
    typer.echo(
        f"{scored} rows in {seconds:.1f} s, {scored / max(seconds, 1e-9):,.0f} a second: "
        + ", ".join(f"{counts[outcome]} {outcome}" for outcome in _OUTCOMES)
    )
    if name == "code" and counts["failed"]:
        reasons = [(reason, count) for reason, count in counts.most_common() if reason not in _OUTCOMES]
        typer.echo("failed: " + ", ".join(f"{count} {reason}" for reason, count in reasons))


async def _score(
    verifier: Verifier, rows: list[dict[str, Any]], output: Path, counts: Counter[str], done: int, again: list[int]
) -> None:
    """Scores the rows at `again` anew, in their places, then those from `done` on, at the end of the file."""
    from assay.verifiers import close_verifiers

    with progress("rows", done - len(again), len(rows)) as advance:

        def count(score: Score) -> None:
            counts[score.verdict.value] += 1
            if score.verdict.value == "failed":
                counts[score.reason] += 1
            advance()

        try:
            if again:
                lines: dict[int, str] = {}
                places = iter(again)
                try:
                    async for row, score, verdicts in _scored(verifier, [rows[place] for place in again]):
                        lines[next(places)] = _line(row, score, verdicts)
                        count(score)
                finally:
                    _replace(output, lines)
            with output.open("a", encoding="utf-8") as file:
                number = 0
                async for row, score, verdicts in _scored(verifier, rows[done:]):
                    file.write(_line(row, score, verdicts))
                    count(score)
                    number += 1
                    if number % _IN_FLIGHT == 0:
                        file.flush()
        finally:
            await close_verifiers([verifier])


async def _scored(
    verifier: Verifier, rows: list[dict[str, Any]]
) -> AsyncIterator[tuple[dict[str, Any], Score, Verdicts | None]]:
    """Each row with its score and the verdicts of its tests, in their order; several are under way at once."""
    import asyncio

    under_way: deque[tuple[dict[str, Any], asyncio.Task[tuple[Score, Verdicts | None]]]] = deque()
    try:
        for row in rows:
            under_way.append((row, asyncio.create_task(_judge(verifier, row))))
            if len(under_way) >= _IN_FLIGHT:
                oldest, task = under_way.popleft()
                yield oldest, *(await task)
        while under_way:
            oldest, task = under_way.popleft()
            yield oldest, *(await task)
    finally:
        for _, task in under_way:
            task.cancel()


def _line(row: dict[str, Any], score: Score, verdicts: Verdicts | None) -> str:
    outcome: dict[str, Any] = {"outcome": score.verdict.value, "value": score.value, "reason": score.reason}
    if verdicts is not None:
        outcome["verdicts"] = verdicts
    return json.dumps({**row, **outcome}) + "\n"


def _replace(output: Path, lines: dict[int, str]) -> None:
    """Puts lines in the place of others, all or none."""
    partial = output.with_name(f".{output.name}.partial")
    with output.open(encoding="utf-8") as old, partial.open("w", encoding="utf-8") as new:
        new.writelines(lines.get(number, line) for number, line in enumerate(old))
    partial.replace(output)


async def _judge(verifier: Verifier, row: dict[str, Any]) -> tuple[Score, Verdicts | None]:
    from assay.types import Message, Score, Task
    from assay.verifiers import Code, as_rollout, score_rollout

    recorded = CodeRecorder(verifier) if isinstance(verifier, Code) else None
    answer = row["answer"] if recorded is None else tests_of(row, f"row {row['id']!r}")
    task = Task("verify", (Message("user", row.get("question", "")),), answer)
    rollout = as_rollout(row["response"], task, finish_reason=row.get("finish_reason", "stop"))
    try:
        score = await score_rollout(recorded or verifier, rollout, task)
    except DataError as error:
        # A gold answer that cannot be compared with: the row's own, and no fault of the response.
        score = Score.not_measured(str(error)[:300])
    return score, None if recorded is None else recorded.verdicts


def _verifier(
    name: str, workers: int | None, timeout_seconds: float | None, bare: bool, settings: list[str]
) -> tuple[Verifier, dict[str, Any]]:
    from assay.verifiers import VERIFIERS, Code, Math, make_verifier

    options = parse_options(settings, VERIFIERS.get(name))
    given = {
        "--workers": ("num_workers", workers),
        "--timeout-seconds": ("timeout_seconds", timeout_seconds),
        "--bare": ("answer_form", "bare" if bare else None),
    }
    for option, (key, value) in given.items():
        if value is None:
            continue
        if name == "code" and option == "--timeout-seconds":
            key = "seconds"
        if name != "math" and (name != "code" or option == "--bare"):
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


def _read(path: Path, verifier: str) -> list[dict[str, Any]]:
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


def _row(line: bytes, place: str, verifier: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is not JSON: {error}") from None
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
    if is_code:
        tests_of(row, place)
    elif isinstance(row["answer"], bool) or not isinstance(row["answer"], str | int | float):
        raise DataError(f"{place}: answer is {type(row['answer']).__name__}, not text")
    if not isinstance(row.get("question", ""), str):
        raise DataError(f"{place}: question is {type(row['question']).__name__}, not text")
    if row.get("finish_reason", "stop") not in _FINISH_REASONS:
        raise DataError(f"{place}: finish_reason {row['finish_reason']!r} is none of {', '.join(_FINISH_REASONS)}")
    if not is_code and not isinstance(row["answer"], str):
        row["answer"] = str(row["answer"])
    return row


def _resume(source: Path, output: Path, settings: dict[str, Any], rows: list[dict[str, Any]]) -> tuple[int, list[int]]:
    """How many rows the output has already, and which of them were not measured; what was written half is cut off.

    Raises:
        RunFolderError: the output is of other rows, or of other settings.
    """
    record = output.with_name(f"{output.name}.settings.json")
    if not output.exists() or not output.stat().st_size:
        output.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        output.touch()
        return 0, []
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise RunFolderError(
            f"{output} exists, and {record.name} does not say what it was scored with; choose another --output"
        ) from None
    if before != settings:
        changed = [key for key in {**before, **settings} if before.get(key) != settings.get(key)]
        raise RunFolderError(
            f"{output} was scored with another {', '.join(sorted(changed))}; choose another --output, or remove it"
        )
    done = end = 0
    again: list[int] = []
    with output.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                before = json.loads(line)
            except ValueError:
                before = {}
            if done >= len(rows) or _digest(before) != _digest(rows[done]):
                raise RunFolderError(
                    f"{output}, line {done + 1}, is not row {done + 1} of {source}; choose another --output"
                )
            if before.get("outcome") == "not_measured":
                again.append(done)
            done, end = done + 1, end + len(line)
    os.truncate(output, end)
    return done, again


def _digest(row: dict[str, Any]) -> bytes:
    content = json.dumps([row.get(key) for key in _IDENTITY])
    return hashlib.sha256(content.encode()).digest()

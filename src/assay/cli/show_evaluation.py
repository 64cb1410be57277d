"""`assay show FOLDER` of an evaluation: its attempts as transcripts, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from assay.evaluation import EvalRow


def is_evaluation(folder: Path) -> bool:
    """Return True where the folder is one that `assay eval` made."""
    return (folder / "rows.jsonl").is_file() and (folder / "settings.json").is_file()


def first_attempts(folder: Path, limit: int) -> list[EvalRow]:
    """Return the first attempts of an evaluation, in the order of its tasks."""
    from assay.evaluation.folder import read_rows

    return read_rows(folder / "rows.jsonl")[:limit]


def show_attempts(console: Console, rows: Sequence[EvalRow]) -> None:
    """Print attempts as transcripts."""
    from rich.text import Text

    from assay.observe.visible import visible

    for row in rows:
        console.print()
        heading = f"task {row.task_index + 1} ({row.task_id}, {row.domain}, level {row.level}), sample {row.sample + 1}"
        console.print(Text(visible(heading)), style="bold")
        for who, text in _lines(row):
            console.print(Text.assemble((f"{visible(who)}: " if text else visible(who), "dim"), visible(text)))


def _lines(row: EvalRow) -> list[tuple[str, str]]:
    told = [(line.who, line.text) for number, turn in enumerate(row.turns) for line in turn.lines(number)]
    scores = [
        (
            f"score, {reading}",
            ", ".join(
                filter(
                    None,
                    [
                        score.verdict.value.replace("_", " "),
                        score.reason,
                        "" if score.value is None else f"value {score.value:g}",
                        *(f"{name} {value:g}" for name, value in score.parts.items()),
                    ],
                )
            ),
        )
        for reading, score in row.scores.items()
    ]
    ended = f"{row.ending}, at the boundary: {row.boundary}" if row.boundary else row.ending
    return [("prompt", row.prompt), *(told or [("assistant", row.response)]), ("ended", ended), *scores]

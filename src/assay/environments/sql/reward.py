"""The sql verifier: a query is run on several databases, and must give what the gold query gives on each."""

from __future__ import annotations

import asyncio
import functools
import math
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

from assay.environments.database.sql import MAX_STATEMENT_CHARACTERS, BoundedDatabase, QueryFailure
from assay.environments.sql.themes import THEMES, database
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters
from assay.verifiers.verifier import Verifier

RELATIVE_TOLERANCE = 1e-9
"""Two numbers with fractions are the same within this: sums in another order differ in their last digits."""

Rows = Sequence[tuple[object, ...]]

_FENCE = re.compile(r"```(?:sql|sqlite)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL | re.IGNORECASE)
_START = re.compile(r"\b(?:SELECT|WITH)\b", re.IGNORECASE)


class Query(AnswerReader):
    """Solved where the query gives the gold query's rows on every database of the task.

    Rows are compared as a multiset, in their order only where the question asks for one, and column by column without
    the columns' names. 1 and 1.0 are the same number; a number is no text. The query is run in SQLite, for which it was
    asked, as it stands: read-only, without schema changes, pragmas and files, and bounded in steps, sizes and rows
    (`BoundedDatabase`).
    """

    name: Literal["sql"] = "sql"
    is_cheap: ClassVar[bool] = True
    reading: Literal["whole", "found"] = "whole"
    """whole: the response is one query, bare or in a fenced block. found: the last fenced block, or where there is none
    what begins with the first SELECT or WITH."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        seeds = task.metadata.get("databases")
        if not seeds:
            raise DataError(f"task {task.task_id} has no databases; the verifier sql scores its own tasks")
        if is_cut_off(rollout):
            return Score.failed("cut off")
        query = self._query(self.answer_text(rollout))
        if not query:
            return Score.failed("no query")
        return await asyncio.to_thread(_judged, query, task)

    def _query(self, text: str) -> str:
        if self.reading == "found":
            said = last_characters(text)
            fenced = _FENCE.findall(said)
            start = None if fenced else _START.search(said)
            query = fenced[-1] if fenced else said[start.start() :] if start else ""
        else:
            said = text.strip() if len(text) <= 2 * MAX_STATEMENT_CHARACTERS else ""
            block = _FENCE.fullmatch(said)
            query = block[1] if block else said
        query = query.strip().removesuffix(";").strip()
        return query if _START.match(query) else ""

    def lenient(self) -> Verifier | None:
        return None if self.reading == "found" else self.model_copy(update={"reading": "found"})

    def cases(self) -> list[Case]:
        return []


def _judged(query: str, task: Task) -> Score:
    ordered = bool(task.metadata["ordered"])
    for number, script in enumerate(scripts_of(task)):
        expected, given = rows_of(script, task.answer), None
        try:
            given = rows_of(script, query)
        except QueryFailure as failure:
            return Score.failed("refused", evidence=str(failure)[:200])
        if not same_rows(given, expected, ordered=ordered):
            parts = {"databases_right": number / len(task.metadata["databases"])}
            return Score.failed("wrong", parts=parts, evidence=f"database {number + 1}: {list(given[:3])!r:.150}")
    return Score.solved(parts={"databases_right": 1.0})


def scripts_of(task: Task) -> list[str]:
    """Return the scripts of a task's databases."""
    chain = THEMES[task.metadata["theme"]][: int(task.horizon or 1)]
    return [database(chain, seed, tuple(task.metadata["wanted"].items())) for seed in task.metadata["databases"]]


@functools.lru_cache(maxsize=512)
def rows_of(script: str, query: str) -> Rows:
    """Return the rows that a query gives on a fresh database.

    Raises:
        QueryFailure: it is refused, wrong, or too much.
    """
    made = BoundedDatabase(script, read_only=True)
    try:
        return made.select(query)
    finally:
        made.close()


def same_rows(one: Rows, other: Rows, *, ordered: bool) -> bool:
    """Return whether two results hold the same rows, as often, and where `ordered` in the same order."""
    if len(one) != len(other) or any(len(a) != len(b) for a, b in zip(one, other, strict=True)):
        return False
    if not ordered:
        one, other = sorted(one, key=_key), sorted(other, key=_key)
    return all(_same(a, b) for left, right in zip(one, other, strict=True) for a, b in zip(left, right, strict=True))


def _same(one: object, other: object) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE)
    return type(one) is type(other) and one == other


def _key(row: tuple[object, ...]) -> tuple[tuple[str, float, str], ...]:
    """Numbers by size rounded well above the tolerance, others by their text."""
    return tuple(
        ("number", float(f"{each:.6g}"), "")
        if isinstance(each, int | float)
        else (type(each).__name__, 0.0, repr(each))
        for each in row
    )

"""The schema verifier: a JSON text that is valid under the task's schema and says what its text says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, ClassVar, Literal

from assay.environments.schema.validator import MAX_CHARACTERS, parse, problem_of
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.text import AnswerReader, is_cut_off, last_characters
from assay.verifiers.verifier import Verifier

_FENCE = re.compile(r"```(?:json)?[ \t]*\n(.*?)\n[ \t]*```", re.DOTALL | re.IGNORECASE)


class Extracted(AnswerReader):
    """Solved where the response is JSON, valid under the task's schema, and equal to the gold value.

    Numbers are compared as decimals: 19.99 and 19.990 are equal, 19.9900001 is not, and "19.99" is a text. Lists are
    compared in their order, the members of objects in none, texts character by character. The score's parts: `valid`,
    and `fields`, the share of the gold value's leaves that are there and right.
    """

    name: Literal["schema"] = "schema"
    is_cheap: ClassVar[bool] = True
    reading: Literal["whole", "found"] = "whole"
    """whole: the response is one JSON text, bare or in a fenced block. found: the last fenced block, or what stands
    from the first brace to the last."""

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        schema = task.metadata.get("schema")
        if not isinstance(schema, dict):
            raise DataError(f"task {task.task_id} has no schema; the verifier schema scores its own tasks")
        if is_cut_off(rollout):
            return Score.failed("cut off")
        try:
            value = parse(self._json(self.answer_text(rollout)))
        except ValueError as error:
            return Score.failed("no JSON", evidence=str(error)[:200])
        gold = parse(task.answer)
        leaves = dict(_leaves(gold))
        found = dict(_leaves(value))
        right = sum(path in found and _same(found[path], leaf) for path, leaf in leaves.items())
        problem = problem_of(value, schema)
        parts = {"valid": float(not problem), "fields": right / len(leaves)}
        if problem:
            return Score.failed("not valid", parts=parts, evidence=problem)
        if not _same(value, gold):
            return Score.failed("wrong", parts=parts)
        return Score.solved(parts=parts)

    def _json(self, text: str) -> str:
        if self.reading == "whole":
            said = text.strip() if len(text) <= MAX_CHARACTERS else ""
            block = _FENCE.fullmatch(said)
            return block[1] if block else said
        said = last_characters(text, MAX_CHARACTERS)
        blocks = _FENCE.findall(said)
        return blocks[-1] if blocks else said[said.find("{") : said.rfind("}") + 1]

    def lenient(self) -> Verifier | None:
        return None if self.reading == "found" else self.model_copy(update={"reading": "found"})

    def cases(self) -> list[Case]:
        return []


def _leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """(path, value) of everything that holds nothing else; the depth is bounded by `parse`."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))
    else:
        yield path, value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | Decimal) and isinstance(other, int | Decimal):
        return one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other

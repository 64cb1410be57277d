"""Competition problems from JSON lines in the forms of APPS, CodeContests and LiveCodeBench. Verified by `code`.

Rows are data of strangers: what they hold as JSON in text is parsed and bounded, and nothing is unpickled.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import pickletools
import zlib
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from assay.environments.code_rows import CodeRows
from assay.errors import DataError
from assay.suite import Suite, read_suite
from assay.types import Task

MAX_UNPACKED_BYTES = 1 << 28
"""Most bytes that the private tests of one LiveCodeBench row may unpack to."""
_LEVELS = {"introductory": 1.0, "interview": 2.0, "competition": 3.0, "easy": 1.0, "medium": 2.0, "hard": 3.0}
_PYTHON3 = 3
"""CodeContests' number of the language."""


class Competition(CodeRows):
    """Problems from stdin to stdout, or of a function to write, with the tests that their authors published.

    A row is read by the columns that it has: `input_output` (APPS, Hendrycks et al. 2021,
    https://arxiv.org/abs/2105.09938), `public_tests` (CodeContests, Li et al. 2022, https://arxiv.org/abs/2203.07814)
    or `public_test_cases` (LiveCodeBench, Jain et al. 2024, https://arxiv.org/abs/2403.07974). Complexity is 1 to 3
    for a difficulty in words, a rating over 1000 for one in numbers.
    """

    name: Literal["competition"] = "competition"
    max_tests: int | None = pydantic.Field(default=None, ge=1)
    """Number of a problem's tests that are used, from the first on; None for all."""
    without_tests: Literal["error", "leave_out"] = "error"
    """Treatment of a row without tests: an error, or the row is left out."""

    def make_task(self, row: Mapping[str, Any], place: str) -> Task | None:
        readers = {"input_output": _apps, "public_tests": _code_contests, "public_test_cases": _live_code_bench}
        reader = next((reader for column, reader in readers.items() if column in row), None)
        if reader is None:
            raise DataError(
                f"{place} has none of the columns {', '.join(readers)}, by which APPS, CodeContests and LiveCodeBench "
                f"are told apart; it has: {', '.join(row)}"
            )
        question, data = reader(row, place)
        for form in ("cases", "calls"):
            if form in data:
                data[form] = data[form][: self.max_tests]
        if not (data.get("cases") or data.get("calls")) and self.without_tests == "leave_out":
            return None
        suite = read_suite({key: value for key, value in data.items() if value}, place)
        return self.as_task(row, place, _question(question, suite, row), suite)

    def dial(self, row: Mapping[str, Any], place: str) -> float | None:
        rating = row.get("cf_rating")
        if isinstance(rating, int | float) and rating > 0 and math.isfinite(rating):
            return rating / 1000
        return _LEVELS.get(str(row.get("difficulty")).lower())


def _question(question: str, suite: Suite, row: Mapping[str, Any]) -> str:
    starter = row.get("starter_code")
    if isinstance(starter, str) and starter.strip():
        return f"{question.strip()}\n\nGo on from this code:\n```python\n{starter.strip()}\n```"
    if suite.entry_point:
        return f"{question.strip()}\n\nWrite a function `{suite.entry_point}`."
    return f"{question.strip()}\n\nRead from standard input and write to standard output."


def _apps(row: Mapping[str, Any], place: str) -> tuple[str, dict[str, Any]]:
    tests = _json(row["input_output"], "input_output", place) or {}
    inputs, outputs = _lists(tests, "inputs", "outputs", place)
    solutions = _json(row.get("solutions") or "[]", "solutions", place)
    data: dict[str, Any] = {"reference": solutions[0] if isinstance(solutions, list) and solutions else ""}
    if name := tests.get("fn_name"):
        calls = zip(inputs, outputs, strict=True)
        data["entry_point"] = name
        data["calls"] = [{"arguments": given, "expected": expected, "wrapped": True} for given, expected in calls]
    else:
        data["cases"] = [
            {"input": _text(given), "output": _text(expected)} for given, expected in zip(inputs, outputs, strict=True)
        ]
    return _string(row, "question", place), data


def _code_contests(row: Mapping[str, Any], place: str) -> tuple[str, dict[str, Any]]:
    cases = []
    for column in ("public_tests", "private_tests", "generated_tests"):
        inputs, outputs = _lists(row.get(column) or {}, "input", "output", f"{place}, {column}")
        cases += [{"input": given, "output": expected} for given, expected in zip(inputs, outputs, strict=True)]
    data: dict[str, Any] = {"cases": cases, "reference": _python_solution(row.get("solutions"))}
    limit = row.get("time_limit")
    if isinstance(limit, Mapping):
        limit = limit.get("seconds", 0) + limit.get("nanos", 0) / 1e9
    if isinstance(limit, int | float) and limit > 0:
        data["seconds"] = float(min(limit, 600))
    memory = row.get("memory_limit_bytes")
    if isinstance(memory, int) and memory > 0:
        data["memory_mb"] = min(max(memory >> 20, 16), 1 << 16)
    return _string(row, "description", place), data


def _python_solution(solutions: Any) -> str:
    if not isinstance(solutions, Mapping):
        return ""
    pairs = zip(solutions.get("language") or (), solutions.get("solution") or (), strict=False)
    return next((text for language, text in pairs if language in (_PYTHON3, "PYTHON3")), "")


def _live_code_bench(row: Mapping[str, Any], place: str) -> tuple[str, dict[str, Any]]:
    tests = _json(row["public_test_cases"], "public_test_cases", place) or []
    tests = [*tests, *_private(row.get("private_test_cases"), place)]
    if not all(isinstance(t, Mapping) and isinstance(t.get("input"), str) for t in tests):
        raise DataError(f"{place}: its test cases are not objects with input, output and testtype")
    metadata = _json(row.get("metadata") or "{}", "metadata", place)
    name = metadata.get("func_name") if isinstance(metadata, Mapping) else None
    if not name:
        return _string(row, "question_content", place), {
            "cases": [{"input": test["input"], "output": _text(test.get("output", ""))} for test in tests]
        }
    calls = []
    for number, test in enumerate(tests, start=1):
        where = f"test case {number}"
        arguments = [_json(line, where, place) for line in test["input"].split("\n") if line.strip()]
        calls.append({"arguments": arguments, "expected": _json(test.get("output", ""), where, place)})
    return _string(row, "question_content", place), {"entry_point": name, "calls": calls}


def _private(packed: Any, place: str) -> list[Any]:
    """LiveCodeBench's private tests: JSON, or JSON as a pickled text, compressed, in base 64. Only the text is read."""
    if not packed:
        return []
    if not isinstance(packed, str):
        raise DataError(f"{place}: private_test_cases is {type(packed).__name__}, not text")
    if packed.lstrip().startswith("["):
        return _json(packed, "private_test_cases", place)
    try:
        unpacker = zlib.decompressobj()
        raw = unpacker.decompress(base64.b64decode(packed, validate=True), MAX_UNPACKED_BYTES)
        if unpacker.unconsumed_tail:
            raise DataError(f"{place}: private_test_cases is more than {MAX_UNPACKED_BYTES >> 20} MiB")
        texts = [argument for _, argument, _ in pickletools.genops(raw) if isinstance(argument, str)]
    except (binascii.Error, zlib.error, ValueError) as error:
        raise DataError(f"{place}: private_test_cases cannot be read: {error}") from None
    if len(texts) != 1:
        raise DataError(f"{place}: private_test_cases holds {len(texts)} texts, not one")
    return _json(texts[0], "private_test_cases", place)


def _lists(data: Any, first: str, second: str, place: str) -> tuple[list[Any], list[Any]]:
    inputs, outputs = (data.get(first) or [], data.get(second) or []) if isinstance(data, Mapping) else (None, None)
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise DataError(f"{place}: {first} and {second} are not two lists of one length")
    return inputs, outputs


def _text(value: Any) -> str:
    """APPS has lines as a list in places."""
    if isinstance(value, list):
        return "\n".join(map(str, value))
    return value if isinstance(value, str) else str(value)


def _json(text: Any, what: str, place: str) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text) if text.strip() else None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place}: {what} is not JSON: {error}") from None


def _string(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise DataError(f"{place} has no {name}; it has: {', '.join(row)}")
    return value

"""Responses that say a value: CRUXEval's outputs and inputs.

The value is what stands in the last [ANSWER] block; where there is none, in the last fenced block, else on the last
line. An assertion is read by the side that was asked for. Only literals are values: f(1) is none, whatever it would
return.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from assay.errors import DataError
from assay.suite import Prediction
from assay.types import Rollout
from assay.verifiers.text import is_cut_off, last_characters, strip_reasoning

MAX_LITERAL = 5_000
"""Characters of a value: a longer one is none. Far below what Python's parser cannot bear."""
_ANSWER = re.compile(r"\[ANSWER\]([^\[]*(?:\[(?!/?ANSWER\])[^\[]*)*)\[/ANSWER\]", re.IGNORECASE)
MAX_NESTED = 90
"""Containers within containers, of a value: deeper ones do not cross into a space."""
_FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)


class NoLiteralError(ValueError):
    """A text that is no Python literal."""


def find_value(rollout: Rollout, reasoning_tags: Sequence[tuple[str, str]] = ()) -> tuple[str, str]:
    """(the text of the value, why there is none)."""
    text = last_characters(strip_reasoning(rollout.response, reasoning_tags), 4 * MAX_LITERAL)
    answers = _ANSWER.findall(text)
    if not answers and is_cut_off(rollout):
        return "", "cut off"
    if answers:
        found = answers[-1]
    else:
        fenced = _FENCED.findall(text)
        found = fenced[-1] if fenced else (text.strip().splitlines() or [""])[-1]
    found = found.strip().strip("`").strip()
    if len(found) > MAX_LITERAL:
        return "", "too long"
    return found, "" if found else "no answer"


def gold_value(prediction: Prediction, function: str) -> str | None:
    """A response that says what the data say; None for an input that is no literal, such as a lambda."""
    if prediction.of == "output":
        return f"[ANSWER]{prediction.output}[/ANSWER]"
    call = f"{function}({prediction.input})"
    try:
        arguments_in(call, function)
    except NoLiteralError:
        return None
    return f"[ANSWER]{call}[/ANSWER]"


def output_in(text: str) -> Any:
    """The value that a text says an output is: a literal, or the right side of `assert f(...) == literal`.

    Raises:
        NoLiteralError: it says none.
    """
    tree = _parsed(text.removeprefix("assert ").strip())
    if isinstance(tree, ast.Compare) and len(tree.ops) == 1 and isinstance(tree.ops[0], ast.Eq):
        tree = tree.comparators[0]
    return _evaluated(tree)


def arguments_in(text: str, function: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a text says: `1, 2`, `f(1, 2)` or `assert f(1, 2) == 3`.

    Raises:
        NoLiteralError: it says none.
    """
    text = text.removeprefix("assert ").strip()
    if not re.match(rf"{re.escape(function)}\s*\(", text):
        text = f"{function}({text})"
    tree = _parsed(text)
    if isinstance(tree, ast.Compare):
        tree = tree.left
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.func.id != function:
        raise NoLiteralError("no arguments")
    if any(keyword.arg is None for keyword in tree.keywords):
        raise NoLiteralError("arguments from a dictionary")
    return tuple(map(_evaluated, tree.args)), {k.arg or "": _evaluated(k.value) for k in tree.keywords}


def literal_value(text: str, place: str) -> Any:
    """The value of a literal of the data.

    Raises:
        DataError: it is none; names `place`.
    """
    try:
        return _evaluated(_parsed(text))
    except NoLiteralError as error:
        raise DataError(f"{place}: {text[:60]!r} is no Python literal: {error}") from None


def _parsed(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoLiteralError(f"{type(error).__name__}") from None


def _evaluated(tree: ast.expr) -> Any:
    try:
        value = ast.literal_eval(tree)
        _require_plain(value, MAX_NESTED)
        return value
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise NoLiteralError(str(error)[:100]) from None


def _require_plain(value: Any, depth: int) -> None:
    if value is Ellipsis:
        raise ValueError("an ellipsis")
    if not depth:
        raise ValueError(f"nested deeper than {MAX_NESTED}")
    if isinstance(value, list | tuple | set):
        for item in value:
            _require_plain(item, depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            _require_plain(key, depth - 1)
            _require_plain(item, depth - 1)

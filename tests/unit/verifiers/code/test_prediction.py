from __future__ import annotations

from typing import Any

import pytest

from assay.suite import Prediction
from assay.types import Task
from assay.verifiers.code.prediction import NoLiteralError, arguments_in, find_value, gold_value, output_in
from assay.verifiers.verifier import as_rollout


def value(response: str, finish: str = "stop") -> str:
    text, reason = find_value(as_rollout(response, Task("d", (), "x"), finish_reason=finish))  # type: ignore[arg-type]
    return text or f"<{reason}>"


@pytest.mark.parametrize(
    ("response", "said"),
    [
        ("[ANSWER]3[/ANSWER]", "3"),
        ("[ANSWER]1[/ANSWER] no: [ANSWER] [1, 2] [/ANSWER] done", "[1, 2]"),
        ("It is\n```python\nassert f(1) == 'a'\n```", "assert f(1) == 'a'"),
        ("It returns\n3", "3"),
        ("`3`", "3"),
        ("<think>[ANSWER]3[/ANSWER]</think>4", "4"),
        ("", "<no answer>"),
        ("[ANSWER]" + "1" * 6000 + "[/ANSWER]", "<too long>"),
    ],
)
def test_the_value_is_found(response: str, said: str) -> None:
    assert value(response) == said


def test_a_value_that_was_cut_off_is_none() -> None:
    assert value("3", "length") == "<cut off>"
    assert value("[ANSWER]3[/ANSWER] beca", "length") == "3"


@pytest.mark.parametrize(
    ("text", "expected"), [("3", 3), ("assert f(1) == [1, (2,)]", [1, (2,)]), ("f(1) == 'a'", "a"), ("-1.5", -1.5)]
)
def test_outputs(text: str, expected: Any) -> None:
    assert output_in(text) == expected


@pytest.mark.parametrize("text", ["f(1)", "x", "1 + f(2)", "[" * 3000, "", "__import__('os')", "1 == 2 == 3"])
def test_only_literals_are_values(text: str) -> None:
    with pytest.raises(NoLiteralError):
        output_in(text)


def test_inputs() -> None:
    assert arguments_in("1, [2]", "f") == ((1, [2]), {})
    assert arguments_in("f(1, x=2)", "f") == ((1,), {"x": 2})
    assert arguments_in("assert f('a') == 3", "f") == (("a",), {})
    for hostile in ("g(1)", "*[1]", "**{'a': 1}", "1), (2"):
        with pytest.raises(NoLiteralError):
            arguments_in(hostile, "f")


@pytest.mark.parametrize(
    ("given", "gold"),
    [
        ("1, [2]", "[ANSWER]f(1, [2])[/ANSWER]"),
        ("", "[ANSWER]f()[/ANSWER]"),
        ("lambda x: x", None),
        ("dict(a=1)", None),
    ],
)
def test_an_input_that_is_no_literal_has_no_gold_response(given: str, gold: str | None) -> None:
    assert gold_value(Prediction(of="input", code="def f(): pass", input=given, output="1"), "f") == gold

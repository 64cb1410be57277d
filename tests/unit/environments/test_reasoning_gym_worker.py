from __future__ import annotations

import pytest

from assay.environments.reasoning_gym.worker import entry_hash, is_formula


@pytest.mark.parametrize(
    "text",
    ["2*x**3 + C", "(3 + 5) * 2.5 - 1/4", "exp(x)*sin(2*x)", "-7*X**10 + .5", "sqrt(2) = y", "log(Abs(x))", ""],
)
def test_formulas(text: str) -> None:
    assert is_formula(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "x.__class__",
        "1..real",
        "(1).conjugate()",
        "open(x)",
        "exit()",
        "Integral(x, x)",
        "[1, 2]",
        "lambda: 1",
        '"text"',
        "x; y",
        "1" * 10_001,
    ],
)
def test_what_is_no_plain_formula(text: str) -> None:
    assert not is_formula(text)


def test_a_question_with_a_lone_surrogate_has_a_name() -> None:
    assert entry_hash("\ud800", "") != entry_hash("?", "")
    assert entry_hash("a", "bc") != entry_hash("ab", "c")
    assert len(entry_hash("", "")) == 16

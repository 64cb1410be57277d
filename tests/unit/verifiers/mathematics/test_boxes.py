"""From a response to the answer in its boxes."""

from __future__ import annotations

import time

import pytest

from assay.verifiers.mathematics.bounds import is_bomb
from assay.verifiers.mathematics.boxes import boxed_answer, is_balanced, last_box
from assay.verifiers.mathematics.prose import prose_answer
from assay.verifiers.mathematics.reader import read_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\boxed{42}", ("42", False)),
        ("\\boxed{\\frac{1}{2}} then \\fbox{3}", ("3", False)),
        ("\\boxed{a\\}b}", ("a\\}b", False)),
        ("\\boxed{\\boxed{7}}", ("7", False)),
        ("\\boxed{1} \\boxed{2", ("1", True)),
        ("\\boxed{ \\boxed{42}", ("42", False)),
        ("\\boxed{a \\boxed{1} \\boxed{2} b}", ("2", False)),
        ("\\boxed{\\frac{1}{2}", (None, True)),
        ("no box, \\boxed", (None, False)),
        ("\\boxed 2", ("2", False)),
        ("\\boxed\\frac12.", ("\\frac12", False)),
        ("\\boxed \\pi$", ("\\pi", False)),
        ("\\boxed\\sqrt{2}$", ("\\sqrt{2}", False)),
        ("\\boxed 42", (None, True)),
        ("\\bbox[5px, border: 1px]{4}", ("4", False)),
        ("\\framebox{4}", ("4", False)),
    ],
)
def test_last_box(text: str, expected: tuple[str | None, bool]) -> None:
    assert last_box(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\\boxed{3} and \\boxed{5}", "3, 5"),
        ("$\\boxed{3}$, $\\boxed{5}$", "3, 5"),
        ("\\boxed{2}, \\boxed{3}, and \\boxed{5}", "2, 3, 5"),
        ("$x=\\boxed{3}$ or $x=\\boxed{5}$", "x=3 \\text{ or } x=5"),
        ("$x = \\boxed{3}$ and $y = \\boxed{5}$", "x = 3, y = 5"),
        ("\\boxed{3} \\quad \\text{and} \\quad \\boxed{5}", "3, 5"),
        ("\\boxed{3} and \\boxed{3}", "3"),
        ("\\boxed{3}. So \\boxed{5}", "5"),
        ("\\boxed{3} = \\boxed{5}", "5"),
        ("\\boxed{3}\n\nNo: \\boxed{5}", "5"),
    ],
)
def test_boxes_that_belong_together(text: str, expected: str) -> None:
    assert boxed_answer(text) == (expected, False)


@pytest.mark.parametrize(
    ("text", "balanced"),
    [
        ("\\frac{1}{2}", True),
        ("\\{1, 2\\}", True),
        ("\\}", True),
        ("42}", False),
        ("} {", False),
        ("\\boxed{42", False),
    ],
)
def test_is_balanced(text: str, balanced: bool) -> None:
    assert is_balanced(text) == balanced


@pytest.mark.parametrize(
    "text",
    [
        "\\boxed{" * 3_000,
        "\\boxed{" * 1_500 + "}" * 1_500,
        "\\boxed" * 3_000,
        "\\boxed\\frac" * 1_500,
        "\\boxed{1}, " * 2_000,
        "^" + "~" * 20_000,
        "$" * 20_000,
        "$a b " * 4_000,
        "=" * 20_000,
        "." * 20_000,
        "**" * 10_000,
        "\\text{" * 3_000,
        "\\frac" * 4_000,
        "(" * 20_000,
        "]1,2[" * 4_000,
        "1 " * 10_000,
        ", " * 10_000,
        "^{" * 10_000,
        "answer is " * 2_000,
        "answer is 3 \n" * 1_500,
        "0." + "3" * 19_000 + "...",
        "a" * 20_000,
        "\\pm " * 5_000,
        "{\\choose" * 2_500,
        "\\overline{" * 2_000,
    ],
    ids=lambda text: text[:12],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    for shown in (text, text[:2_000]):
        began = time.process_time()
        last_box(shown)
        boxed_answer(shown)
        read_answer(shown)
        prose_answer(shown)
        is_bomb(shown)
        # Linear: milliseconds. What is quadratic takes seconds here.
        assert time.process_time() - began < 2.0

"""From a response to the answer in it, and from an answer to its parts: no worker, no sympy."""

from __future__ import annotations

import time

import pytest

from assay.verifiers.expression import Answer, clean, compare_leaves, is_balanced, is_bomb, last_box, parse_answer, same


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
    ],
)
def test_last_box(text: str, expected: tuple[str | None, bool]) -> None:
    assert last_box(text) == expected


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
        "^" + "~" * 20_000,
        "$" * 20_000,
        "=" * 20_000,
        "." * 20_000,
        "\\text{" * 3_000,
        "(" * 20_000,
        "1 " * 10_000,
        ", " * 10_000,
        "^{" * 10_000,
    ],
    ids=lambda text: text[:8],
)
def test_hostile_text_takes_no_time(text: str) -> None:
    began = time.process_time()
    last_box(text)
    parse_answer(text)
    is_bomb(text)
    # Linear: milliseconds. What is quadratic takes seconds here.
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("$\\dfrac12$", "\\frac{1}{2}"),
        ("\\left( 1 , 2 \\right).", "( 1 , 2 )"),
        ("1\\,234\\,567", "1234567"),
        ("10,\\!000", "10,000"),
        ("90^{\\circ}", "90"),
        ("x^{2}", "x^2"),
        ("x^{12}", "x^{12}"),
        ("f^{\\prime\\prime}(x)", "f''(x)"),
        ("f\u2032(x)", "f'(x)"),
        ("\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}", "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


def leaf(text: str, unit: str = "") -> Answer:
    return Answer("leaf", text, unit=unit)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1,234", leaf("1,234")),
        ("\\$1,800", leaf("1,800")),
        ("50\\%", leaf("50")),
        ("12 \\text{ cm}", leaf("12", "cm")),
        ("3 hours", leaf("3", "hour")),
        ("2m", leaf("2m")),
        ("2 \\text{ m}", leaf("2", "m")),
        ("99\\pi \\text{ square inches}", leaf("99\\pi", "square inche")),
        ("5 \\text{ cm}^2", leaf("5", "cm2")),
        ("5 \\text{ millions}", leaf("5 \\text{ millions}")),
        ("5 \\text{ square}", leaf("5 \\text{ square}")),
        ("5 \\text{ }^2", leaf("5 \\text{ }^2")),
        ("2\\text{/3}", leaf("2\\text{/3}")),
        ("a - b", leaf("a - b")),
        ("abc", leaf("abc")),
        ("1\\frac{1}{2}", leaf("1 1/2")),
        ("x = 5", Answer("equation", "x", (leaf("5"),))),
        ("5 = 5", Answer("equation", "", (leaf("5 = 5"),))),
        ("1, 2", Answer("list", "", (leaf("1"), leaf("2")))),
        ("1 \\text{ or } 2", Answer("list", "", (leaf("1"), leaf("2")))),
        ("x = 1, x = 2", Answer("list", "", (leaf("1"), leaf("2")))),
        ("\\pm 3", Answer("list", "", (leaf("3"), leaf("- 3")))),
        ("\\{1, 2\\}", Answer("set", "", (leaf("1"), leaf("2")))),
        ("(1, 234)", Answer("tuple", "()", (leaf("1"), leaf("234")))),
        ("[0, 1)", Answer("interval", "[)", (leaf("0"), leaf("1")))),
        ("(7)", leaf("7")),
        ("\\text{(C)}", leaf("C")),
        ("\\text{Evelyn}", Answer("words", "evelyn")),
        ("\\begin{pmatrix} 1 & 2 \\end{pmatrix}", Answer("matrix", "", (Answer("row", "", (leaf("1"), leaf("2"))),))),
    ],
)
def test_parse(text: str, answer: Answer) -> None:
    assert parse_answer(text) == answer


def never(gold: str, response: str) -> str:
    raise AssertionError(f"{gold} and {response} need no algebra")


def unknown(gold: str, response: str) -> str:
    return "unknown"


@pytest.mark.parametrize(
    ("gold", "response", "verdict"),
    [
        ("1/2", "0.5", "same"),
        ("1, 2, 3", "3, 1, 2", "same"),
        ("\\{1, 2\\}", "\\{1, 1\\}", "different"),
        ("(3,4)", "(4,3)", "different"),
        ("[0,1)", "[0,1]", "different"),
        ("42", "41, 42", "different"),
        ("x=5", "5", "same"),
        ("x=5", "y=5", "different"),
        ("5", "2+3=5", "different"),
        ("12 \\text{ cm}", "12 \\text{ km}", "different"),
        ("12", "12 \\text{ km}", "same"),
    ],
)
def test_what_needs_no_algebra(gold: str, response: str, verdict: str) -> None:
    assert same(parse_answer(gold), parse_answer(response), never) == verdict  # pyright: ignore[reportArgumentType]


def test_what_needs_algebra_is_unknown_only_where_it_matters() -> None:
    assert same(parse_answer("(x+1)^2"), parse_answer("x^2+2x+1"), unknown) == "unknown"
    assert same(parse_answer("(1, x+1)"), parse_answer("(2, 1+x)"), unknown) == "different"
    assert same(parse_answer("\\{1, x+1\\}"), parse_answer("\\{1+x, 1\\}"), unknown) == "unknown"


def test_spaces_between_digits_are_kept() -> None:
    assert compare_leaves("82", "8 2", never) == "different"  # pyright: ignore[reportArgumentType]
    assert compare_leaves("a+b", "a + b", never) == "same"  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "text",
    [
        "9^{9^{9}}",
        "9^9^9",
        "2^{40000}",
        "9**9**9",
        "99999!",
        "((9!)!)!",
        "(" * 41 + ")" * 41,
        "2^{2^{2^{2^{9}}}}",
        "(2^{2024})^{2024}",
        "2^{2024}!",
        "x^{2024}",
        "2^{2024x}",
        "9^{9^{(9)}}",
        "(x+2^{3})^{9999}",
        "2^{30000}+3^{30000}",
    ],
)
def test_bombs(text: str) -> None:
    assert is_bomb(text)


@pytest.mark.parametrize(
    "text",
    [
        "x^2",
        "2^{100}",
        "5!",
        "e^{x^2}",
        "\\frac{x^2}{y^3}",
        "a^2+b^2",
        "2^{2^3}",
        "\\frac{n!}{k!(n-k)!}",
        "2^{2024}-1",
        "3^{-2007}",
        "2^{33000}",
        "2^{2^{13}}",
    ],
)
def test_no_bombs(text: str) -> None:
    assert not is_bomb(text)

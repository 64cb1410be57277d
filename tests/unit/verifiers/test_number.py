from __future__ import annotations

import random
import time
from fractions import Fraction

import pytest

from assay.verifiers.number import MAX_EXPONENT, find_numbers, may_go_on, parse_number


def values(text: str) -> list[Fraction | None]:
    return [number.value for number in find_numbers(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("37 + 45 = 82", [37, 45, 82]),
        ("-12", [-12]),
        ("x=-12", [-12]),
        ("(-12)", [-12]),
        ("- 12", [12]),
        ("item-12", [12]),
        ("10-12", [10, 12]),
        ("37 -45", [37, -45]),
        ("5 * -3", [5, -3]),
        ("-$1,234.50", [Fraction("-1234.5")]),
        ("$-3$", [-3]),
        ("1,234,567 and 12", [1234567, 12]),
        ("1{,}234", [1234]),
        ("1\\,234", [1234]),
        ("\\boxed{\\frac{-3}{4}}", [Fraction(-3, 4)]),
        ("\\dfrac{3}{4}", [Fraction(3, 4)]),
        ("-\\frac{3}{4}", [Fraction(-3, 4)]),
        ("3/4", [Fraction(3, 4)]),
        ("2 1/4", [Fraction(9, 4)]),
        (".5", [Fraction(1, 2)]),
        ("0.1", [Fraction(1, 10)]),
        ("1.5e-3", [Fraction(3, 2000)]),
        ("2 × 10^{3}", [2000]),
        ("10^-2", [Fraction(1, 100)]),
        ("50%", [50]),
        ("82. Next", [82]),
        ("82, 83", [82, 83]),
        ("**82**", [82]),
        ("82cm", [82]),
        ("x2 H2O _3 a_1", []),
        ("", []),
    ],
)
def test_values(text: str, expected: list[int | Fraction]) -> None:
    assert values(text) == expected


@pytest.mark.parametrize(
    "text",
    ["1.2.3", "12,34", "1,2345", "1_000", "0x2A", "1/0", "±3", "--3", "1e5e5", "12/05/2024", "1e1001", "10^1001", "4^"],
)
def test_what_cannot_be_vouched_for_has_no_value(text: str) -> None:
    assert values(text)
    assert values(text)[0] is None


def test_powers() -> None:
    assert values("2^5") == [None, None]
    assert values("2^{-5}")[1] is None
    assert values("x_{2}") == [None]
    assert values("2^10^3") == [None, None]


def test_operands_are_told_from_results() -> None:
    assert [n.is_operand for n in find_numbers("37 + 45 = 82")] == [False, True, False]
    assert [n.is_operand for n in find_numbers("37 + (45)")] == [False, True]
    assert [n.is_operand for n in find_numbers("3 x 4")] == [False, True]
    assert [n.is_operand for n in find_numbers("3 **4**")] == [False, False]
    assert [n.is_operand for n in find_numbers("12:30")] == [False, True]


def test_spans_include_the_sign() -> None:
    text = "so -$12 it is"
    (number,) = find_numbers(text)
    assert text[number.start : number.end] == "-$12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("82", 82), (" -82\n", -82), ("1/3", Fraction(1, 3)), ("1e3", 1000), ("x = 5", None), ("5 6", None), ("", None),
     ("nan", None), ("inf", None), ("5%", None), ("five", None)],
)  # fmt: skip
def test_parse_number(text: str, expected: int | Fraction | None) -> None:
    assert parse_number(text) == expected


@pytest.mark.parametrize(
    ("tail", "expected"),
    [("", True), (",", True), (".", True), ("/", True), (" ", False), (")", False), (". So", False)],
)
def test_may_go_on(tail: str, expected: bool) -> None:
    text = f"82{tail}"
    assert may_go_on(text, find_numbers(text)[0]) is expected


def test_integers_beyond_the_digit_limit_of_int() -> None:
    assert values("7" * 9_999) == [Fraction(7 * (10**9_999 - 1) // 9)]


def test_exponents_are_bounded() -> None:
    assert values(f"1e{MAX_EXPONENT}") == [Fraction(10**MAX_EXPONENT)]
    assert values("1e999999999") == [None]
    assert values("1e" + "9" * 9000) == [None]


def test_every_spelling_of_random_numbers() -> None:
    generator = random.Random(0)
    for _ in range(300):
        value = generator.randrange(-(10**9), 10**9)
        for text in (
            f"{value}",
            f"{value:,}",
            f"It is {value:,}.",
            f"\\boxed{{{value}}}",
            f"**{value}**",
            f"= {value}.0",
        ):
            assert values(text) == [value], text


def test_random_text_is_read_without_error() -> None:
    generator = random.Random(1)
    for _ in range(2000):
        text = "".join(generator.choices("0123456789.,/^eE+-*{}()\\x$ ×_:frac%", k=40))
        for number in find_numbers(text):
            assert 0 <= number.start < number.end <= len(text)


@pytest.mark.parametrize(
    "piece", ["1", "1 ", "1,", "1/", "-", "(", "1 1/", "\\frac{", "\\frac{1", "10^", "1e", "{,}", "1.", "$", "a1"]
)
def test_time_is_linear(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    started = time.process_time()
    find_numbers(text + "x")
    assert time.process_time() - started < 15

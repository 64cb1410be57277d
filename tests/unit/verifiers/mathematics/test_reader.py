"""From the text of an answer to its tree, and what two trees tell without algebra: no worker, no sympy."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.comparison import AnswerComparer, Tolerance
from assay.verifiers.mathematics.grammar import read_expression
from assay.verifiers.mathematics.node import Comparison, Node, number
from assay.verifiers.mathematics.reader import read_answer
from assay.verifiers.mathematics.tokens import tidy, tokenize
from assay.verifiers.mathematics.units import BARE, same_unit, unit_of
from assay.verifiers.mathematics.words import is_word

x = Node("symbol", "x")


def quantity(value: Node, unit: str) -> Node:
    return Node("quantity", unit, (value,))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("1,234", number(1234)),
        ("1{,}234", number(1234)),
        ("1\\,234\\,567", number(1234567)),
        ("1 234 567", number(1234567)),
        ("\\$1,800", quantity(number(1800), "dollar")),
        ("50\\%", quantity(number(50), "percent")),
        ("12 \\text{ cm}", quantity(number(12), "centimetre")),
        ("3 hours", quantity(number(3), "hour")),
        ("2 \\text{ m}", quantity(number(2), "metre")),
        ("5 \\text{ cm}^2", quantity(number(5), "centimetre^2")),
        ("5 \\text{ square}", Node("text", "5\\text{square}")),
        ("5 \\text{ millions}", Node("text", "5\\text{millions}")),
        ("90^\\circ", quantity(number(90), "degree")),
        ("1\\frac{1}{2}", number(Fraction(3, 2))),
        ("\\frac12", number(Fraction(1, 2))),
        ("0.1\\overline{6}", number(Fraction(1, 6))),
        ("x = 5", Node("equation", "x", (number(5),))),
        ("5 = 5", Node("equation", "", (number(5), number(5)))),
        ("1, 2", Node("list", "", (number(1), number(2)))),
        ("1 \\text{ or } 2", Node("list", "", (number(1), number(2)))),
        ("x = 1, x = 2", Node("list", "", (number(1), number(2)))),
        ("x = 1, 2", Node("list", "", (number(1), number(2)))),
        ("x = 1, y = 2", Node("point", "x,y", (number(1), number(2)))),
        ("(y, x) = (1, 2)", Node("point", "x,y", (number(2), number(1)))),
        ("\\pm 3", Node("list", "", (number(3), number(-3)))),
        ("\\{1, 2\\}", Node("set", "", (number(1), number(2)))),
        ("(1, 234)", Node("tuple", "", (number(1), number(234)))),
        ("(1,234)", Node("tuple", "", (number(1), number(234)))),
        ("[0, 1)", Node("interval", "[)", (number(0), number(1)))),
        ("]0, 1]", Node("interval", "(]", (number(0), number(1)))),
        ("(7)", number(7)),
        ("x > 3", Node("relation", ">", (x, number(3)))),
        ("3:2", Node("ratio", "", (number(3), number(2)))),
        ("6:30", Node("clock", "6:30")),
        ("6:30 p.m.", Node("clock", "6:30 pm")),
        ("\\text{(C)}", Node("symbol", "C")),
        ("\\text{Evelyn}", Node("words", "evelyn")),
        ("BAC", Node("words", "bac")),
        ("1010_2", Node("numeral", "1010_2", (), Fraction(10))),
        ("{\\bf 73}", number(73)),
        ("\\begin{pmatrix} 1 & 2 \\end{pmatrix}", Node("matrix", "", (Node("row", "", (number(1), number(2))),))),
        ("\\emptyset", Node("set")),
    ],
)
def test_read_answer(text: str, tree: Node) -> None:
    assert read_answer(text) == tree


@pytest.mark.parametrize(
    "text",
    ["8 2", "5'", "\\frac{1}{", "2 \\text{ maybe}", "1, \\ldots", "\\int_0^1 x dx", "((((", "x2", "5_a"],
)
def test_what_the_grammar_does_not_have_stays_text(text: str) -> None:
    assert read_answer(text).kind in ("text", "list")


@pytest.mark.parametrize("name", sorted(notation.FUNCTIONS))
def test_every_function_is_read_in_all_its_spellings(name: str) -> None:
    expected = Node("call", name, (x,))
    for text in (f"\\{name} x", f"\\{name}(x)", f"\\mathrm{{{name}}} x", f"\\operatorname{{{name}}}(x)", f"{name}(x)"):
        assert read_expression(tokenize(text)) == expected, text


@pytest.mark.parametrize("name", sorted(notation.STYLES | notation.READ_OVER - {"left", "right"}))
def test_every_command_of_looks_is_read_over(name: str) -> None:
    text = f"\\{name}{{73}}" if name in notation.STYLES else f"{{\\{name} 73}}"
    assert read_answer(text) == number(73)


@pytest.mark.parametrize("alias", sorted(notation.COMMANDS))
def test_every_alias_is_read_as_its_command(alias: str) -> None:
    if not alias.isalpha() or not notation.COMMANDS[alias].isalpha():
        return
    assert tokenize(f"3 \\{alias} {{2}}{{4}}") == tokenize(f"3 \\{notation.COMMANDS[alias]} {{2}}{{4}}")


@pytest.mark.parametrize("word", sorted(BARE - {"per", "square", "cubic", "sq", "cu"}))
def test_every_bare_unit_is_one(word: str) -> None:
    assert unit_of(word)


@pytest.mark.parametrize(
    "text",
    ["million", "squared", "more", "maybe", "plus one", "hundredths", "/3", "xy", "factorial", "base two", "square"],
)
def test_no_unit(text: str) -> None:
    assert unit_of(text) is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("feet", "ft", True),
        ("square feet", "ft^2", True),
        ("m/s", "m s^{-1}", True),
        ("miles per hour", "mph", True),
        ("pct", "%", True),
        ("dollars", "$", True),
        ("apples", "red apples", True),
        ("p.m.", "PM", True),
        ("m/s", "m/s^2", False),
        ("cm", "m", False),
        ("dollars", "cents", False),
        ("am", "pm", False),
        ("apples", "oranges", False),
        ("percent", "dollars", False),
    ],
)
def test_units(first: str, second: str, same: bool) -> None:
    a, b = unit_of(first), unit_of(second)
    assert a
    assert b
    assert same_unit(a, b) == same


@pytest.mark.parametrize(
    ("text", "tidied"),
    [
        ("$x$.", "x"),
        ("**73**", "73"),
        ("`73`", "73"),
        ("\\( 1 \\)", "1"),
        ('"x+1"', "x+1"),
        ("$1$ and $2$", "$1$ and $2$"),
        ("2**3", "2**3"),
    ],
)
def test_tidy(text: str, tidied: str) -> None:
    assert tidy(text) == tidied


def test_words_and_products() -> None:
    assert [run for run in ("BAC", "cat", "HT", "Tom", "even", "no") if not is_word(run)] == []
    assert [run for run in ("abc", "xy", "xyz", "nRT", "mn", "x") if is_word(run)] == []


def never(gold: Node, response: Node) -> Comparison:
    raise AssertionError(f"{gold} and {response} need no algebra")


@pytest.mark.parametrize(
    ("gold", "response", "verdict"),
    [
        ("1/2", "0.5", "same"),
        ("82", "37+45", "same"),
        ("82", "8 2", "different"),
        ("a+b", "a + b", "same"),
        ("1, 2, 3", "3, 1, 2", "same"),
        ("\\{1, 2\\}", "\\{1, 1\\}", "different"),
        ("(3,4)", "(4,3)", "different"),
        ("[0,1)", "[0,1]", "different"),
        ("42", "41, 42", "different"),
        ("x=5", "5", "same"),
        ("x=5", "y=5", "different"),
        ("5", "2+3=5", "different"),
        ("x=5", "2x=10", "different"),
        ("12 \\text{ cm}", "12 \\text{ km}", "different"),
        ("12", "12 \\text{ km}", "same"),
        ("6:30", "7:35", "different"),
        ("1010_2", "1010_3", "different"),
    ],
)
def test_what_needs_no_algebra(gold: str, response: str, verdict: str) -> None:
    assert AnswerComparer(never).same(read_answer(gold), read_answer(response)) == verdict


def test_what_needs_algebra_is_unknown_only_where_it_matters() -> None:
    def verdict(gold: str, response: str) -> str:
        return AnswerComparer().same(read_answer(gold), read_answer(response))

    assert verdict("(x+1)^2", "x^2+2x+1") == "unknown"
    assert verdict("(1, x+1)", "(2, 1+x)") == "different"
    assert verdict("\\{1, x+1\\}", "\\{1+x, 1\\}") == "unknown"


def test_a_tolerance_is_of_the_gold_number() -> None:
    assert Tolerance(relative=0.01).allows(Fraction(100), Fraction(101))
    assert not Tolerance(relative=0.01).allows(Fraction(100), Fraction(1011, 10))
    assert not Tolerance(relative=0.01).allows(Fraction(0), Fraction(1, 10**9))
    assert Tolerance(decimals=2).allows(Fraction(314, 100), Fraction(31449, 10_000))
    assert not Tolerance(decimals=2).allows(Fraction(314, 100), Fraction(3146, 1000))
    assert not math.isnan(Tolerance().relative)

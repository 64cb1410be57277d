"""Expressions that grow beyond any machine are told before anybody tries them."""

from __future__ import annotations

import math

import pytest

from assay.verifiers.mathematics.bounds import is_bomb, num_digits
from assay.verifiers.mathematics.reader import read_answer


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
        "9^{9^{9}}",
        "2^{40000}",
        "99999!",
        "((9!)!)!",
        "(2^{2024})^{2024}",
        "2^{2024}!",
        "\\binom{10^9}{5}",
        "x^{2024}",
        "100000!!",
    ],
)
def test_a_tree_that_is_a_bomb(text: str) -> None:
    assert math.isinf(num_digits(read_answer(text)))


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


@pytest.mark.parametrize("text", ["2^{2024}-1", "5!!", "(5!)!", "\\binom{52}{5}", "2^{33000}+1", "x^{99}"])
def test_a_tree_that_is_none(text: str) -> None:
    assert not math.isinf(num_digits(read_answer(text)))

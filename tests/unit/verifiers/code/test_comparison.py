from __future__ import annotations

import math

import pytest

from assay.verifiers.code.comparison import close_values, same_json, same_output


@pytest.mark.parametrize(
    ("expected", "output", "exact", "tokens", "floats"),
    [
        (b"3\n", b"3\n", True, True, True),
        (b"3\n", b"3", True, True, True),
        (b"3\n4\n", b"3\r\n4\r\n\r\n", True, True, True),
        (b"3 4", b"3  4", False, True, True),
        (b"3 4", b"3\n4", False, True, True),
        (b"3 4", b"34", False, False, False),
        (b"3", b"3 4", False, False, False),
        (b"1.5", b"1.50", False, True, True),
        (b"1.5", b"1.5000001", False, True, True),
        (b"1.5", b"1.50001", False, False, True),
        (b"1.5", b"1.51", False, False, False),
        (b"1000000.0", b"1000000.5", False, True, True),
        (b"1000000.0", b"1000200", False, False, False),
        (b"0", b"1e-7", False, True, True),
        (b"0.3333333333", b"0.3333333333333333", False, True, True),
        (b"-0.0", b"0.0", False, True, True),
        (b"1e9", b"1000000000", False, True, True),
        (b"3", b"3.0", False, True, True),
        (b"3", b"3.0000001", False, True, True),
        # Whole numbers are never near.
        (b"1000000007", b"1000000008", False, False, False),
        (b"1000000007", b"1000000008.0", False, False, False),
        (b"1000000007", b"1000000007.5", False, False, False),
        (b"1000000007", b"1000000007.0", False, True, True),
        (b"2000001 0.5", b"2000000 0.5", False, False, False),
        (b"12345678901234567890", b"12345678901234567891", False, False, False),
        (b"-7", b"7", False, False, False),
        (b"007", b"7", False, False, False),
        (b"x1.5", b"x1.50", False, False, False),
        (b"inf", b"inf", True, True, True),
        (b"nan", b"nan", True, True, True),
        (b"1.0", b"nan", False, False, False),
        (b"1.0", b"inf", False, False, False),
        (b"1e999", b"1e998", False, False, False),
        (b"yes", b"Yes", False, False, False),
        (b"1_0", b"10", False, False, False),
        (b"a\xff", b"a\xfe", False, False, False),
        ("a\ufffd".encode(), b"a\xff", False, False, False),
        (b"", b"", True, True, True),
        (b"", b"x", False, False, False),
    ],
)
def test_outputs(expected: bytes, output: bytes, exact: bool, tokens: bool, floats: bool) -> None:
    assert same_output(expected, output, "exact", 1e-4) is exact
    assert same_output(expected, output, "tokens", 1e-4) is tokens
    assert same_output(expected, output, "floats", 1e-4) is floats


@pytest.mark.parametrize(
    ("expected", "value", "same"),
    [
        ([1, [2, 3]], (1, (2, 3)), True),
        ([1, 2], [1, 2, 3], False),
        ([1, 2], {1, 2}, False),
        ({"1": [2]}, {1: (2,)}, True),
        ({"1": 2, "x": 3}, {1: 2, "1": 3}, False),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        (True, 1, True),
        (1.0, 1, True),
        ("1", 1, False),
        (None, None, True),
        (None, 0, False),
        (1.0, 1.0000001, True),
        (0.3, 0.1 * 3, True),
        (1.0, 1.00001, False),
        (10**9 + 7, 10**9 + 8, False),
        (10**9 + 7, 10**9 + 8.0, False),
        (3, 3.0, True),
        ([[0.1, 2]], ([0.1 + 1e-9, 2],), True),
        (math.nan, math.nan, False),
    ],
)
def test_json_values(expected: object, value: object, same: bool) -> None:
    assert same_json(expected, value, None) is same


def test_json_numbers_within_a_tolerance() -> None:
    assert same_json([1.0, {"a": 100.0}], (1.0 + 5e-7, {"a": 100.00005}), 1e-6)
    assert not same_json(1.0, 1.00001, 1e-6)
    assert not same_json(True, 1.0000001, 1e-6), "a truth value is not a number to be near to"
    assert not same_json(1.0, 10**400, 1e-6)


def test_values_that_are_close() -> None:
    assert close_values([1.0, (2.0,)], (1.0000001, [2.0]), 1e-6)
    assert not close_values([1.0], [1.1], 1e-6)
    assert not close_values([1.0], [1.0, 2.0], 1e-6)
    assert not close_values(1.0, math.nan, 1e-6)
    assert not close_values(1.0, 10**400, 1e-6)


@pytest.mark.parametrize("infinite", [math.inf, -math.inf])
def test_an_infinite_number_is_near_itself_alone(infinite: float) -> None:
    for close in (same_json, close_values):
        assert close(infinite, infinite, 1e-6)
        assert not close(infinite, 3.0, 1e-6)
        assert not close(infinite, -infinite, 1e-6)
        assert not close(3.0, infinite, 1e-6)

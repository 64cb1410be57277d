from __future__ import annotations

import copy
import json
import pickle

import pytest

from assay.environments.values import parse_json, text_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1234567890123456789012", "0.1234567890123456789012"),
        ("3.14159265358979323846264338327950288", "3.14159265358979323846264338327950288"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("12345678901234567890.5", "12345678901234567890.5"),
        ("-98765432109876543210.25", "-98765432109876543210.25"),
        ("1e400", "1e400"),
        ("-1E999", "-1E999"),
        ("1e-400", "1e-400"),
        ("9" * 5000, "9" * 5000),
        # What a double holds has the text of that double.
        ("0.1", "0.1"),
        ("0.10", "0.1"),
        ("0.10000000000000001", "0.1"),
        ("0.50000000000000000000000000", "0.5"),
        ("2.0", "2"),
        ("-3.00", "-3"),
        ("1e5", "100000"),
        ("1e23", "100000000000000000000000"),
        ("0.0", "0"),
        ("0e-400", "0"),
        ("true", "true"),
        ("false", "false"),
        ('"True"', "True"),
        ("Infinity", "inf"),
    ],
)
def test_the_text_of_a_json_value(text: str, expected: str) -> None:
    assert text_of(parse_json(text)) == expected


def test_a_number_of_many_digits_is_still_a_number() -> None:
    number = parse_json("0.1234567890123456789012")
    assert number == 0.1234567890123456789012
    assert number + 1 == 1.1234567890123457
    assert json.loads(json.dumps({"n": number})) == {"n": float(number)}
    for copied in (copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (copied, str(copied)) == (number, "0.1234567890123456789012")


def test_nan_is_nothing() -> None:
    assert parse_json('{"a": NaN, "b": [NaN]}') == {"a": None, "b": [None]}

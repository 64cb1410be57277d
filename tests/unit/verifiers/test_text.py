from __future__ import annotations

import pytest

from assay.types import Message, Task
from assay.verifiers import as_rollout
from assay.verifiers.text import MAX_RESPONSE, is_cut_off, last_characters, normalise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("82", "82"),
        ("\u221212", "-12"),
        ("\uff18\uff12", "82"),
        ("8\u200b2\ufeff", "82"),
        ("\u202e28\u202c", "28"),  # read in stored order
        ("4\u00b2", "4^2"),
        ("x\u2082", "x_2"),
        ("1\u00bd", "1 1/2"),
        ("\u2460", "\u2460"),
        ("4\u0336", "4^"),
        ("caf\u00e9", "caf\u00e9"),
        ("cafe\u0301", "caf\u00e9"),
        ("\U0001d7d2", "4"),
        ("\u0664", "4"),
        ("1\u2009234", "1,234"),
        ("a\u00a0b\u3000c", "a b c"),
        ("\ud800", "\ud800"),
    ],
)
def test_normalise(text: str, expected: str) -> None:
    assert normalise(text) == expected


def test_last_characters_leaves_no_half_word() -> None:
    assert last_characters("182 short") == "182 short"
    filler = "x" * (MAX_RESPONSE - 4)
    assert last_characters(f"182 {filler}") == f"182 {filler}"
    assert last_characters(f"182 {filler}yy") == f" {filler}yy"
    assert last_characters("7" * (MAX_RESPONSE + 1)) == ""


def test_is_cut_off() -> None:
    task = Task("d", (Message("user", "?"),), "1")
    assert not is_cut_off(as_rollout("1", task))
    assert is_cut_off(as_rollout("1", task, finish_reason="length"))

from __future__ import annotations

import pytest

from assay.environments.moves import listed, plain, read_letter, read_word


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("**C**", "C"),
        ("Pile B, I think.", "B"),
        ("A or B", None),
        ("a card", None),
        ("It's", None),
        ("D", None),
        ("AB", None),
        ("", None),
        ("<think>Is it A? Or C?</think>\n\nB", "B"),
        ("\uff22", "B"),
        ("B" * 1_000_000, None),
        (" " * 1_000_000 + "B", "B"),
        ("\ud800\u202eB\x00", "B"),
    ],
)
def test_a_letter(text: str, expected: str | None) -> None:
    assert read_letter(text, "ABC") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("north", "north"),
        ("I go NORTH!", "north"),
        ("<think>north, or south?</think> take", "take"),
        ("northward", None),
        ("north south", None),
        ("north " * 100_000, "north"),
    ],
)
def test_a_word(text: str, expected: str | None) -> None:
    assert read_word(text, ("north", "south", "take")) == expected


def test_what_is_read_is_bounded_and_on_one_line() -> None:
    assert plain(" a \n\t b ") == "a b"
    assert len(plain("x" * 1_000_000)) == 1_000
    assert listed(("A",)) == "A"
    assert listed("ABC", "and") == "A, B and C"

from __future__ import annotations

import pytest

from assay.observe.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ± ünï 漢字\nnext", "plain ± ünï 漢字\nnext"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\r\tb", "a\\r\\tb"),
        ("\u202eevil\u200b", "\\u202eevil\\u200b"),
        ("\ud800", "\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_control_characters_are_spelled_out(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_newlines_can_be_escaped_too() -> None:
    assert visible("a\nb", keep_newlines=False) == "a\\nb"

from __future__ import annotations

import pytest

from assay.environments.inspect.worker import stands


@pytest.mark.parametrize(
    ("name", "answer", "target", "right"),
    [
        ("exact", "1,234", "1234", True),
        ("exact", "-1,234.5", "-1234.5", True),
        ("exact", "12", "1,2", False),
        ("exact", "0,125", "125", False),
        ("exact", "-5", "5", False),
        ("match", "It is 1,234.", "1234", True),
        ("match", "It is 0,125.", "125", False),
        ("match", "It is 12,34.", "1234", False),
        ("match", "It is 3*4.", "34", False),
    ],
)
def test_an_accepted_answer_is_read_again_with_its_signs_and_commas(
    name: str, answer: str, target: str, right: bool
) -> None:
    assert stands(name, {"numeric": name == "match"}, answer, [target]) is right

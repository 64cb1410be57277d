from __future__ import annotations

import asyncio

import pytest

from assay.errors import DataError
from assay.types import FinishReason, Message, Score, Task, Verdict
from assay.verifiers import Exact, as_rollout


def score(response: str, answer: str = "82", finish_reason: FinishReason = "stop") -> Score:
    task = Task("d", (Message("user", "?"),), answer)
    return asyncio.run(Exact()(as_rollout(response, task, finish_reason=finish_reason), task))


@pytest.mark.parametrize("response", ["82", " 82\n", "\uff18\uff12", "8\u200b2"])
def test_solved(response: str) -> None:
    assert score(response) == Score.solved(evidence="82")


@pytest.mark.parametrize("response", ["82.", "082", "+82", "82.0", "83", "The answer is 82", "<think>82</think>82"])
def test_nothing_but_the_answer(response: str) -> None:
    assert score(response).reason == "wrong"


def test_reasons() -> None:
    assert score(" ").reason == "empty"
    assert score("8" * 20_000).reason == "too long"
    assert score("82", finish_reason="length").reason == "cut off"
    assert score("8", finish_reason="length").reason == "wrong"


def test_an_answer_of_any_text() -> None:
    assert score("Blue  whale", answer="Blue  whale").value == 1.0
    assert score("blue whale", answer="Blue whale").value == 0.0


def test_an_empty_answer_is_a_mistake_in_the_data() -> None:
    with pytest.raises(DataError, match="empty answer"):
        score("82", answer=" \u200b")


@pytest.mark.parametrize(
    ("response", "solved"),
    [
        ("37 + 45 = 82", True),
        ("37 + 45 = 81 = 82\n", True),
        ("82", True),
        ("37 + 45 = 82.", False),
        ("37 + 45 = 82. For example, 3 = 3", False),
        ("82 = 37 + 45", False),
        ("82 =", False),
        ("37 + 45 is 82", False),
    ],
)
def test_only_what_follows_the_last_marker_is_read(response: str, solved: bool) -> None:
    task = Task("d", (Message("user", "?"),), "82")
    found = asyncio.run(Exact(after="=")(as_rollout(response, task), task))
    assert (found.verdict is Verdict.SOLVED) == solved

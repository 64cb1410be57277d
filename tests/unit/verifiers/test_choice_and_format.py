from __future__ import annotations

import asyncio

import pytest

from assay.errors import DataError
from assay.types import FinishReason, Message, Task
from assay.verifiers import Choice, Format, as_rollout


def outcome(verifier: Choice | Format, response: str, answer: str = "B", finish_reason: FinishReason = "stop") -> str:
    task = Task("test", (Message("user", "?"),), answer)
    score = asyncio.run(verifier(as_rollout(response, task, finish_reason=finish_reason), task))
    return score.reason or score.verdict.value


@pytest.mark.parametrize(
    ("response", "reason"),
    [("A", "wrong"), ("A or B", "no answer"), ("The answer is Z", "no answer"), ("", "no answer"), ("B", "solved")],
)
def test_the_reason_says_why(response: str, reason: str) -> None:
    assert outcome(Choice(), response) == reason


def test_a_choice_that_was_cut_off_may_have_gone_on() -> None:
    assert outcome(Choice(), "The answer is B", finish_reason="length") == "cut off"
    assert outcome(Choice(), "\\boxed{B} because", finish_reason="length") == "solved"


def test_a_gold_answer_that_is_no_option_is_an_error() -> None:
    with pytest.raises(DataError, match="none of A, B, C, D, E"):
        outcome(Choice(), "B", answer="G")
    assert outcome(Choice(options="ABCDEFG"), "G", answer="G") == "solved"


def test_a_shape_that_was_cut_off_or_is_endless() -> None:
    assert outcome(Format(), "\\boxed{1}", finish_reason="length") == "cut off"
    assert outcome(Format(), "x" * 20_000 + "\\boxed{1}") == "too long"
    assert outcome(Format(), "1") == "shape"

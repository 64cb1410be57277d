"""A conversation beyond the context of a reward model is the policy's doing, unless its prompt is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from assay.rollout.collector import _with_suspects_failed
from assay.types import Ending, EndingKind, Message, Rollout, Score, Task, Verdict
from assay.verifiers import RewardModelScore
from assay.verifiers.verifier import as_rollout


def scored(prompt: str, response: str) -> Score:
    """By a model of ten tokens of context, whose tokens are characters and whose reward is their number."""
    verifier = RewardModelScore(source="not opened")
    scorer = SimpleNamespace(max_context=10, rewards=lambda texts: [float(len(text)) for text in texts])
    renderer = SimpleNamespace(
        render=lambda messages: [ord(each) for message in messages for each in message.content],
        encode_answer=lambda text: [ord(each) for each in text],
    )
    verifier.__dict__["_models"] = [(scorer, renderer)]
    task = Task("t", (Message("user", prompt),), "")
    return asyncio.run(verifier(as_rollout(response, task), task))


def test_a_response_that_is_too_long_is_suspected_and_a_prompt_is_not() -> None:
    assert scored("abc", "defg").value == 7.0
    assert scored("abc", "d" * 50).suspected == 10.0
    too_long = scored("a" * 50, "b")
    assert not too_long.measured
    assert too_long.suspected is None


@pytest.mark.parametrize(
    ("sibling", "verdict", "value"),
    [
        (Score.graded(3.0), Verdict.GRADED, 3.0),
        (Score.graded(40.0), Verdict.GRADED, 10.0),
        (Score.solved(12.0), Verdict.FAILED, 10.0),
        (Score.not_measured("gone"), Verdict.NOT_MEASURED, None),
    ],
)
def test_it_earns_no_more_than_a_measured_sibling(sibling: Score, verdict: Verdict, value: float | None) -> None:
    rollouts = tuple(Rollout("t", 0, member, (), Ending(EndingKind.FINISHED)) for member in range(2))
    _, scores = _with_suspects_failed(rollouts, (scored("abc", "d" * 50), sibling))
    assert (scores[0].verdict, scores[0].value) == (verdict, value)
    assert scores[1] == sibling

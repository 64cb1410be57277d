from __future__ import annotations

import asyncio

import pytest

from assay.errors import ConfigError, DataError
from assay.types import FinishReason, Message, Score, Task
from assay.verifiers import as_rollout, make_verifier


def score(response: str, answer: str = "82", finish_reason: FinishReason = "stop", **options: object) -> Score:
    task = Task("d", (Message("user", "?"),), answer)
    verifier = make_verifier("numeric", options)
    return asyncio.run(verifier(as_rollout(response, task, finish_reason=finish_reason), task))


def test_last_number_counts() -> None:
    assert score("37 + 45 = 82") == Score.solved(evidence="82")
    assert score("82, or 83").reason == "wrong"


def test_reasons() -> None:
    assert score("no idea").reason == "no number"
    assert score("37 + 45").reason == "not worked out"
    assert score("12,34").reason == "unreadable"
    assert score("It is 82", finish_reason="length").reason == "cut off"
    assert score("It is 82, so", finish_reason="length").value == 1.0


def test_any_number_counts() -> None:
    assert score("82, or 83", reading="any").value == 1.0
    assert score("41 or 83", reading="any").reason == "wrong"
    assert score("82", reading="any", finish_reason="length").reason == "cut off"
    assert score("82 8", reading="any", finish_reason="length").value == 1.0


def test_reasoning_earns_nothing() -> None:
    assert score("<think>82</think> Hm.").value == 0.0
    assert score("<think>82</think> Hm.", reading="any").value == 0.0
    assert score("<think>" + "It is 82. " * 5_000, reading="any").value == 0.0


def test_comparison_is_exact() -> None:
    assert score("0.3333333333333333", answer="1/3").value == 0.0
    assert score("10000000000000000", answer="10000000000000001").value == 0.0
    assert score("0.30", answer="3/10").value == 1.0


def test_tolerance_is_absolute_and_decimal() -> None:
    assert score("0.4", answer="0.3", tolerance=0.1).value == 1.0
    assert score("0.4000001", answer="0.3", tolerance=0.1).value == 0.0
    assert score("100.4", answer="100").value == 0.0
    with pytest.raises(ConfigError, match="tolerance"):
        score("1", tolerance=-1.0)


def test_a_number_cut_by_the_length_that_is_read_is_not_read() -> None:
    assert score("1" + "82" + " " * 9_998).reason == "no number"


@pytest.mark.parametrize("answer", ["nan", "", "x = 5", "five", "1 2"])
def test_an_answer_that_is_no_number_is_a_mistake_in_the_data(answer: str) -> None:
    with pytest.raises(DataError, match="not a number"):
        score("82", answer=answer)


def test_misspelt_reading() -> None:
    with pytest.raises(ConfigError, match="reading"):
        score("82", reading="first")
    with pytest.raises(ConfigError, match=r"'numbers'; did you mean 'numeric'\? known: by_environment, choice, code"):
        make_verifier("numbers")

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from assay.errors import DataError
from assay.evaluation import Evaluation, cautions, commonest_answer, commonest_response
from assay.types import Score


def evaluation(make, answers: Sequence[str], responses: Sequence[str]) -> Evaluation:
    """One sample a task, solved where the response is the answer."""
    signs = ["+" if response == answer else "-" for answer, response in zip(answers, responses, strict=True)]
    rows = make(signs).rows
    return Evaluation(
        tuple(replace(row, answer=a, response=r) for row, a, r in zip(rows, answers, responses, strict=True))
    )


def test_a_policy_that_always_says_the_commonest_answer(make):
    """What reinforcement made of reasoning-gym's letter_counting: 81 of 192 answers are "1", and all responses."""
    answers = ["1"] * 81 + [str(i) for i in range(2, 113)]
    found = evaluation(make, answers, ["1"] * 192)
    assert commonest_response(found).to_dict() == {"text": "1", "share": 1.0}
    assert commonest_answer(found).to_dict() == {"text": "1", "share": 81 / 192}
    same, constant = cautions(found, "strict")
    assert same == "100 % of the responses are the same text: '1'"
    assert constant == "always answering '1' would earn 42.2 %; 42.2 % [35.4, 49.3] is not shown to be above it"


def test_a_policy_that_reads_its_tasks(make):
    answers = ["1"] * 40 + [str(i) for i in range(2, 62)]
    assert cautions(evaluation(make, answers, answers), "strict") == []


def test_yes_and_no(make):
    """Said to 60 % where it is right of half is no collapse; said always, it is."""
    answers = ["yes", "no"] * 50
    mostly = ["yes" if i % 2 == 0 or i % 10 == 1 else "no" for i in range(100)]
    assert mostly.count("yes") == 60
    assert cautions(evaluation(make, answers, mostly), "strict") == []
    assert len(cautions(evaluation(make, answers, ["yes"] * 100), "strict")) == 2


def test_answers_that_are_all_different_say_nothing(make):
    """Nothing solved of tasks that share no answer: the share of one task is no baseline."""
    answers = [str(i) for i in range(20)]
    assert cautions(evaluation(make, answers, [f"no {i}" for i in range(20)]), "strict") == []


def test_empty_texts_are_no_answer(make):
    found = evaluation(make, [""] * 4, [" "] * 4)
    assert commonest_answer(found).to_dict() == commonest_response(found).to_dict() == {"text": "", "share": 0.0}
    assert cautions(found, "strict") == []


def test_empty_texts_count_towards_all(make):
    assert commonest_response(evaluation(make, list("abcd"), ["a", "a ", "", ""])).share == 0.5


def test_answers_count_once_a_task(make):
    rows = make(["+--", "+"]).rows
    found = Evaluation(tuple(replace(row, answer="7" if row.task_index else "8") for row in rows))
    assert commonest_answer(found).share == 0.5


def test_nothing_measured_has_no_accuracy_to_doubt(make):
    found = evaluation(make, ["1", "1"], ["1", "1"])
    score = Score.not_measured("died")
    unmeasured = Evaluation(tuple(replace(row, scores={"strict": score, "lenient": score}) for row in found.rows))
    assert cautions(unmeasured, "strict") == []
    with pytest.raises(DataError, match="no reading 'fair'"):
        cautions(found, "fair")


def test_long_texts_are_cut(make):
    found = evaluation(make, ["y", "y"], ["x" * 500] * 2)
    assert commonest_response(found).to_dict()["text"] == "x" * 60 + "..."

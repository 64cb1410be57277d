from __future__ import annotations

import dataclasses
import json

import pytest

from assay.errors import DataError
from assay.evaluation import Evaluation, transcripts
from assay.evaluation.row import EvalTurn
from assay.types import Message


def test_the_first_tasks_whatever_came_of_them(make):
    before, after = make(["--", "+-", "?-", "--"]), make(["-+", "++", "+-", "++"])
    shown = transcripts(before, after, "strict")
    assert [entry["task_id"] for entry in shown] == ["task-0", "task-1", "task-2"]
    assert [entry["before_verdict"] for entry in shown] == ["failed", "solved", "not_measured"]
    assert [entry["after_verdict"] for entry in shown] == ["failed", "solved", "solved"], "the first sample of each"
    assert shown[0]["prompt"] == "user: What is 3 + 4?"
    assert shown[0]["after"].startswith("7")
    assert json.loads(json.dumps(shown)) == shown


def test_fewer_tasks_than_asked_for(make):
    assert len(transcripts(make(["+"]), make(["+"]), "strict", count=3)) == 1


def test_needs_the_same_tasks_and_a_known_reading(make):
    with pytest.raises(DataError, match="only in the evaluation before"):
        transcripts(make(["+"]), Evaluation(()), "strict")
    with pytest.raises(DataError, match="no reading 'x'"):
        transcripts(make(["+"]), make(["+"]), "x")


def test_turns_are_told_where_there_were_several(make):
    before, after = make(["-"]), make(["+"])
    turn = EvalTurn(Message("assistant", "north"), (Message("user", "a wall"),), state="hall")
    after = Evaluation(tuple(dataclasses.replace(row, turns=(turn,)) for row in after.rows))
    (shown,) = transcripts(before, after, "strict")
    assert "before_turns" not in shown
    assert shown["after_turns"] == [
        {"who": "turn 1, state hall", "text": ""},
        {"who": "assistant", "text": "north"},
        {"who": "user", "text": "a wall"},
        {"who": "reward", "text": "-"},
    ]

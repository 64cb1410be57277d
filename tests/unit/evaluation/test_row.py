from __future__ import annotations

import json

from assay.evaluation import EvalRow, Evaluation
from assay.types import Completion, Ending, EndingKind, Message, Rollout, Score, Task, Turn

TASK = Task("arithmetic", (Message("system", "Be brief."), Message("user", "3 + 4?")), "7", 2, 1)


def rollout(ending: Ending) -> Rollout:
    completion = Completion((5, 6, 7), (-0.1, -0.2, -0.3), "stop", ((0, 0),))
    return Rollout(TASK.task_id, 4, 2, (Turn((1, 2), False, completion, Message("assistant", "7")),), ending)


def test_row_of_a_rollout():
    row = EvalRow.of(TASK, 4, rollout(Ending(EndingKind.FINISHED)), {"strict": Score.solved()})
    assert (row.task_id, row.task_index, row.sample) == (TASK.task_id, 4, 2)
    assert (row.level, row.complexity, row.horizon) == ("c2 h1", 2, 1)
    assert row.prompt == "system: Be brief.\nuser: 3 + 4?"
    assert (row.response, row.ending, row.num_tokens) == ("7", "finished", 3)
    assert row.measured
    cut = EvalRow.of(TASK, 4, rollout(Ending(EndingKind.TRUNCATED, "length")), {"strict": Score.not_measured("x")})
    assert cut.ending == "truncated: length"
    assert not cut.measured


def test_round_trip_through_json():
    scores = {"a": Score.failed("wrong", 0.25, parts={"x": 0.25}, evidence="\udc80"), "b": Score.not_measured("died")}
    row = EvalRow.of(TASK, 0, rollout(Ending(EndingKind.BROKEN, "OSError")), scores)
    assert EvalRow.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def episode(sample: int, ending: Ending, num_turns: int = 2) -> Rollout:
    call = {"type": "function", "function": {"name": "look", "arguments": {"at": "box"}}}
    completion = Completion((5,), (-0.1,), "stop", ((0, 0),))
    first = Turn(
        (1, 2),
        False,
        completion,
        Message("assistant", "", (call,), call_errors=("not JSON: {",)),
        (Message("tool", "empty \x1b[31m", name="look"),),
        0.5,
        "hall",
    )
    second = Turn((1, 2, 3), False, completion, Message("assistant", "done"))
    return Rollout(TASK.task_id, 0, sample, (first, second)[:num_turns], ending)


def test_turns_are_kept_with_calls_and_come_back():
    row = EvalRow.of(TASK, 0, episode(0, Ending(EndingKind.FINISHED)), {"strict": Score.solved()})
    assert EvalRow.from_dict(json.loads(json.dumps(row.to_dict()))) == row
    assert row.num_turns == 2
    lines = [(line.who, line.text) for number, turn in enumerate(row.turns) for line in turn.lines(number)]
    assert lines == [
        ("turn 1, state hall", ""),
        ("call", 'look(at="box")'),
        ("call error", "not JSON: {"),
        ("tool look", "empty \x1b[31m"),
        ("reward", "0.5"),
        ("turn 2, prompt rewritten: a new sample", ""),
        ("assistant", "done"),
        ("reward", "-"),
    ]


def test_an_episode_cut_after_its_first_turn_keeps_it():
    row = EvalRow.of(TASK, 0, episode(0, Ending(EndingKind.TRUNCATED, "turns"), 1), {"strict": Score.failed("x")})
    assert (row.num_turns, len(row.turns)) == (1, 1)
    plain = EvalRow.of(TASK, 0, rollout(Ending(EndingKind.FINISHED)), {"strict": Score.solved()})
    assert (plain.num_turns, plain.turns) == (1, ()), "the response is all there is"


def test_rows_of_before_turns_are_read():
    row = EvalRow.of(TASK, 0, rollout(Ending(EndingKind.FINISHED)), {"strict": Score.solved()})
    old = {key: value for key, value in row.to_dict().items() if key not in ("turns", "num_turns", "boundary")}
    read = EvalRow.from_dict(old)
    assert (read.num_turns, read.turns, read.boundary) == (None, (), "")
    assert Evaluation((read,)).mean_turns is None, "unknown is not zero"


def test_turns_endings_and_parts_of_an_evaluation():
    """Parts: 1 and 0.5 of two samples of one task; the third was not measured and says nothing."""
    half, whole = {"reports": 0.5}, {"reports": 1.0, "late": 0.0}
    broken = Ending(EndingKind.BROKEN, "OSError: no route", "environment")
    rows = (
        EvalRow.of(TASK, 0, episode(0, Ending(EndingKind.FINISHED)), {"s": Score.solved(parts=whole)}),
        EvalRow.of(TASK, 0, episode(1, Ending(EndingKind.TRUNCATED, "turns"), 1), {"s": Score.failed(parts=half)}),
        EvalRow.of(TASK, 0, episode(2, broken), {"s": Score.not_measured("OSError", parts={"reports": 9.0})}),
    )
    found = Evaluation(rows)
    assert found.mean_turns == 5 / 3
    assert found.takes_turns
    assert found.ended() == {"finished": 1, "truncated: turns": 1, "broken: environment": 1}
    assert found.mean_parts("s") == {"reports": 0.75, "late": 0.0}
    data = found.to_dict()
    assert data["readings"]["s"]["by_level"]["c2 h1"]["parts"] == {"reports": 0.75, "late": 0.0}
    assert (data["mean_turns"], data["ended"]["broken: environment"]) == (5 / 3, 1)
    assert list(found.by_horizon()) == ["h1"]

from __future__ import annotations

import json

from assay.evaluation import EvalRow
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

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from assay.environments.arithmetic import Arithmetic
from assay.environments.selection import choose_tasks
from assay.errors import ConfigError, DataError
from assay.evaluation import Evaluation, Until, evaluate_until
from assay.evaluation import until as module
from assay.evaluation.row import EvalRow
from assay.types import Score, Task

READINGS = ("strict", "lenient")


def row(task: Task, position: int, solved: bool) -> EvalRow:
    score = Score.solved() if solved else Score.failed("wrong")
    return EvalRow(task.task_id, position, 0, "d", "l", None, None, "?", "1", "2", "finished", 1, {"strict": score})


@pytest.fixture
def tasks() -> list[Task]:
    return list(choose_tasks(Arithmetic(), "test", [(2, 1)], 200, 0))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """Positions of the tasks that were asked for, a list a batch; three of four are solved."""
    batches: list[list[int]] = []

    async def evaluate(tasks: Sequence[Task], *, positions=None, done=(), settings=None, seed=0, **_) -> Evaluation:
        places = list(positions or range(len(tasks)))
        batches.append(places)
        before = {each.task_id: each for each in done}
        rows = [
            before.get(task.task_id) or row(task, place, place % 4 > 0)
            for task, place in zip(tasks, places, strict=True)
        ]
        return Evaluation(tuple(rows), settings or {})

    monkeypatch.setattr(module, "evaluate", evaluate)
    return batches


def run(question: str | None, tasks: Sequence[Task], **options) -> Evaluation:
    until = None if question is None else Until.parse(question, ("strict",))
    return asyncio.run(evaluate_until(until, tasks, seed=0, **options))


def test_without_a_question_all_is_measured(tasks, asked):
    assert run(None, tasks).num_tasks == 200
    assert len(asked) == 1


def test_stops_when_it_is_decided(tasks, asked):
    result = run(">20", tasks)
    assert 32 <= result.num_tasks <= 64
    look = Until.parse(">20", ("strict",)).looked(result)
    assert look.decided
    assert "above 20 %" in look.told()
    assert look.to_dict()["num_tasks"] == result.num_tasks
    places = [place for batch in asked for place in batch]
    assert places != sorted(places), "levels in their order would say something of what comes"
    assert len(set(places)) == len(places)


def test_what_is_not_decided_is_said(tasks, asked):
    result = run("±1", tasks)
    assert result.num_tasks == 200
    assert "not decided by all of the tasks" in Until.parse("±1", ("strict",)).looked(result).told()


def test_the_same_seed_takes_the_same_tasks_and_what_was_there_is_not_asked_again(tasks, asked):
    first = run(">20", tasks)
    again = run(">20", tasks, done=first.rows)
    assert [each.task_id for each in again.rows] == [each.task_id for each in first.rows]
    with pytest.raises(DataError, match="of another evaluation"):
        run(">20", tasks[:10], done=first.rows)


def test_a_gain_over_an_earlier_evaluation(tasks, asked):
    base = Evaluation(tuple(row(task, place, place % 4 == 1) for place, task in enumerate(tasks)))
    until = Until.parse(">0", ("strict",), base)
    result = asyncio.run(evaluate_until(until, tasks, seed=0))
    assert until.looked(result).decided
    assert until.looked(result).interval.low > 0
    assert result.num_tasks < 200
    fewer = Until.parse(">0", ("strict",), Evaluation(base.rows[:5]))
    with pytest.raises(DataError, match="same tasks"):
        asyncio.run(evaluate_until(fewer, tasks, seed=0))


def test_looking_does_not_decide_falsely():
    """Whether the accuracy is above or below what it is: 95 in 100 evaluations never decide, looked at 20 times."""
    generator = np.random.default_rng(0)
    until, wrong = Until.parse(">50", ("strict",)), 0
    for _ in range(60):
        solved = generator.random(640) < 0.5
        rows = tuple(
            EvalRow(
                f"t{i}",
                i,
                0,
                "d",
                "l",
                None,
                None,
                "",
                "",
                "",
                "",
                1,
                {"strict": Score.solved() if s else Score.failed()},
            )
            for i, s in enumerate(solved)
        )
        wrong += any(until.looked(Evaluation(rows[:end])).decided for end in range(32, 641, 64))
    assert wrong <= 6


@pytest.mark.parametrize(
    ("text", "reading", "threshold", "half_width"),
    [
        (">30", "strict", 0.3, None),
        ("lenient < 12.5 %", "lenient", 0.125, None),
        ("±5", "strict", None, 0.05),
        ("+-5", "strict", None, 0.05),
        ("lenient±2", "lenient", None, 0.02),
    ],
)
def test_questions(text: str, reading: str, threshold: float | None, half_width: float | None):
    until = Until.parse(text, READINGS)
    assert (until.reading, until.threshold, until.half_width) == (reading, threshold, half_width)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("soon", "asks nothing"),
        ("judge>30", "no reading 'judge'; there are strict, lenient"),
        (">100", "below 100"),
        ("±0", "above 0"),
        (">0", "--against"),
    ],
)
def test_what_is_no_question(text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        Until.parse(text, READINGS)

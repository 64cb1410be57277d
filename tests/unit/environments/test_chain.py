"""Chain: states, updates, reports, and the scripts that play it."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from assay.engines.engine import Sampling
from assay.environments import check_environment, check_episode
from assay.environments.chain import Chain
from assay.environments.chain.machines import MACHINES, Ledger, Register, Stack
from assay.errors import DataError
from assay.rollout import run_rollout
from assay.types import Message, Rollout, Task, Verdict

KINDS = tuple(MACHINES)


def first(environment: Chain, number: int = 1, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("train", **dials), number))


def play(environment: Chain, task: Task, script) -> Rollout:
    return asyncio.run(
        run_rollout(
            task,
            environment.episode,
            script,
            None,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=environment.max_turns,
        )
    )


class Says:
    """A script of fixed reports."""

    def __init__(self, *reports: str) -> None:
        self._reports = list(reports)

    def reply(self, messages, tools) -> Message:
        return Message("assistant", self._reports.pop(0))


@pytest.mark.parametrize("machine", KINDS)
@pytest.mark.parametrize("form", ["turns", "single"])
def test_it_keeps_the_promises_of_environments_and_episodes(machine, form) -> None:
    environment = Chain(machine=machine, form=form)
    asyncio.run(check_environment(environment, num_tasks=5))
    asyncio.run(check_episode(environment.episode, first(environment)[0]))


@pytest.mark.parametrize("machine", KINDS)
@pytest.mark.parametrize("form", ["turns", "single"])
@pytest.mark.parametrize("complexity", [1, 2, 3])
@pytest.mark.parametrize("horizon", [1, 4, 16])
def test_the_expert_solves_every_task_and_the_weak_script_few(machine, form, complexity, horizon) -> None:
    environment = Chain(machine=machine, form=form)
    tasks = first(environment, 20, complexity=complexity, horizon=horizon)
    for task in tasks:
        rollout = play(environment, task, environment.expert(task))
        assert rollout.score is not None
        assert rollout.score.verdict is Verdict.SOLVED
        assert len(rollout.turns) == (horizon if form == "turns" else 1)
        assert rollout.response == task.answer
    weak = [play(environment, task, environment.weak(task)).score for task in tasks]
    assert sum(score.verdict is Verdict.SOLVED for score in weak) <= (0 if horizon == 1 else 6)


def test_both_forms_are_the_same_tasks() -> None:
    turns, single = (first(Chain(form=form), 20, complexity=2, horizon=8) for form in ("turns", "single"))
    assert [task.metadata for task in turns] == [task.metadata for task in single]
    assert [task.answer for task in turns] == [task.answer for task in single]


def test_tasks_that_differ_in_later_updates_alone_are_different_tasks() -> None:
    tasks = first(Chain(), 400, complexity=1, horizon=2)
    assert len({task.task_id for task in tasks}) == 400
    assert len({task.prompt for task in tasks}) < 400


TASK = Task(
    "chain",
    (Message("user", "..."),),
    "20",
    complexity=1,
    horizon=4,
    metadata={"world": {"start": [10], "updates": ["add 1", "add 2", "add 3", "add 4"]}},
)
"""States 10, 11, 13, 16, 20."""


@pytest.mark.parametrize(
    ("reports", "verdict", "parts"),
    [
        (("11", "13", "16", "20"), Verdict.SOLVED, {"reports_right": 1.0, "steps_right": 1.0}),
        # One slip, then true to it: three of four steps follow, and both after the slip.
        (
            ("11", "14", "17", "21"),
            Verdict.FAILED,
            {"reports_right": 0.25, "steps_right": 0.75, "steps_right_after_error": 1.0},
        ),
        # A slip that is mended: what follows from the wrong report is wrong, and the last report right.
        (
            ("11", "14", "16", "20"),
            Verdict.SOLVED,
            {"reports_right": 0.75, "steps_right": 0.5, "steps_right_after_error": 0.5},
        ),
        # Nothing follows from a report that says nothing: the turn after it is no step.
        (
            ("11", "?", "16", "20"),
            Verdict.SOLVED,
            {"reports_right": 0.75, "steps_right": 2 / 3, "steps_right_after_error": 1.0},
        ),
    ],
)
def test_parts_tell_errors_from_what_they_cause(reports, verdict, parts) -> None:
    score = play(Chain(), TASK, Says(*reports)).score
    assert score is not None
    assert score.verdict is verdict
    assert score.parts == pytest.approx(parts)


def test_turns_are_paid_where_asked_for() -> None:
    paid = play(Chain(pays_turns=True), TASK, Says("11", "14", "16", "21"))
    assert [turn.env_reward for turn in paid.turns] == [1.0, 0.0, 1.0, 0.0]
    assert {turn.env_reward for turn in play(Chain(), TASK, Says(*"abcd")).turns} == {None}


def test_the_same_reports_are_the_same_state() -> None:
    one, other, third = (
        [turn.state for turn in play(Chain(), TASK, Says(*reports)).turns]
        for reports in (("11", "13", "0", "0"), ("It is 11.", "13", "1", "0"), ("12", "13", "16", "20"))
    )
    assert one[:3] == other[:3]
    assert one[3] != other[3]
    assert not set(one[1:]) & set(third[1:])


def test_an_episode_that_was_cut_off_failed() -> None:
    rollout = asyncio.run(
        run_rollout(
            TASK, Chain().episode, Says(*"123"), None, Sampling(), run_seed=0, group_id=0, member=0, max_turns=2
        )
    )
    assert rollout.score is not None
    assert (rollout.score.verdict, rollout.score.reason) == (Verdict.FAILED, "not to the end")


@pytest.mark.parametrize(
    ("machine", "report", "state"),
    [
        (Register(1), "17", (17,)),
        (Register(1), " The number is 17.", (17,)),
        (Register(1), "**17**", (17,)),
        (Register(1), "12 + 5 = 17", None),
        (Register(1), "17.5", None),
        (Register(1), "1,017", None),
        (Register(1), "seventeen", None),
        (Register(1), "17" + " " * 500, None),
        (Ledger(1), "Ann 4, Bob 8", (4, 8)),
        (Ledger(1), "bob: 8\nann = 4", (4, 8)),
        (Ledger(1), "Ann has 4, Bob has 8", (4, 8)),
        (Ledger(1), "Ann 4", None),
        (Ledger(1), "Ann 4, Bob 8, Ann 5", None),
        (Ledger(1), "Ann 4, Bob 8, Cat 1", None),
        (Stack(1), "3 1 4", (3, 1, 4)),
        (Stack(1), "[3, 1, 4]", (3, 1, 4)),
        (Stack(1), "31 4", None),
        (Stack(1), "", None),
    ],
)
def test_a_report_means_one_state_or_none(machine, report, state) -> None:
    assert machine.read(report) == state


@pytest.mark.parametrize("dials", [{"complexity": 4}, {"complexity": 1.5}, {"horizon": 0}, {"horizon": 257}])
def test_a_dial_out_of_range_is_named(dials) -> None:
    with pytest.raises(DataError, match="is a whole number from 1 to"):
        first(Chain(), **dials)

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from pydantic import PrivateAttr

from assay.errors import ContractError, DataError
from assay.types import Message, Rollout, Score, Task
from assay.verifiers import Case, Exact, Numeric, Verifier, VerifierReport, builtin_cases, check_gold, check_verifier

CLOCK = [0.0]
"""The time that it is for whoever checks: a busy machine makes nothing slow."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.verifiers.check.time.perf_counter", lambda: CLOCK[0])


class Careless(Verifier):
    """A verifier with a known fault."""

    fault: str
    name: str = "careless"
    _asked: bool = PrivateAttr(default=False)

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if self.fault == "accepts all":
            return Score.solved()
        if self.fault == "rejects all":
            return Score.failed()
        if self.fault == "raises":
            raise RuntimeError("boom")
        if self.fault == "slow" or (self.fault == "slow once" and not self._asked):
            CLOCK[0] += 0.02
        self._asked = True
        if self.fault == "executes" and (path := re.search(r"open\('([^']+canary)'", rollout.response)):
            Path(path[1]).touch()
        return Score.solved() if rollout.response.strip() == task.answer else Score.failed()


def check(fault: str, cases: list[Case] | None = None) -> VerifierReport:
    return asyncio.run(check_verifier(Careless(fault=fault), cases, slow_seconds=0.01))


CASES = [Case("right", "gold", "82", "82", True), Case("wrong", "near miss", "82", "83", False)]


@pytest.mark.parametrize(
    ("fault", "gold", "near_miss"),
    [
        ("accepts all", "", "false accept"),
        ("rejects all", "false reject", ""),
        ("raises", "raised", "raised"),
        ("slow", "slow", "slow"),
        ("none", "", ""),
    ],
)
def test_faults_are_found_and_named(fault: str, gold: str, near_miss: str) -> None:
    assert [result.error for result in check(fault, CASES).results] == [gold, near_miss]


def test_a_busy_machine_is_no_slow_verifier() -> None:
    assert not check("slow once", CASES).errors


def test_bombs_must_be_refused_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.verifiers.check.BOMB_SECONDS", 0.01)
    bomb = Case("bomb", "bomb", "82", "9^9^9", False)
    report = asyncio.run(check_verifier(Careless(fault="slow"), [bomb, *CASES], slow_seconds=10.0))
    assert [result.error for result in report.results] == ["slow", "", ""]


def test_a_side_effect_is_found() -> None:
    errors = check("executes").errors
    assert {result.case.case_id for result in errors if result.error == "side effect"} == {"injection-write"}


def test_counts_and_table() -> None:
    report = check("accepts all", CASES)
    assert report.counts()["near miss"] == {
        "cases": 1, "false accept": 1, "false reject": 0, "raised": 0, "slow": 0, "side effect": 0
    }  # fmt: skip
    lines = str(report).splitlines()
    assert lines[0].split("  ")[0] == "verifier careless"
    assert lines[3].split() == ["all", "2", "1", "0", "0", "0", "0"]
    assert lines[4] == "false accept: wrong: gold '82', response '83': solved"


def test_strict_raises_the_report() -> None:
    with pytest.raises(ContractError, match="false accept: wrong"):
        asyncio.run(check_verifier(Careless(fault="accepts all"), CASES, strict=True))


def test_cases_are_many_and_distinct() -> None:
    cases = builtin_cases("last")
    assert len(cases) > 150
    assert len({case.case_id for case in cases}) == len(cases)
    assert len({case.category for case in cases}) == 10


def test_readings_nest() -> None:
    exact, last, any_number = (
        {case.case_id for case in builtin_cases(reading) if case.accepted} for reading in ("exact", "last", "any")
    )
    assert exact < last < any_number


def test_a_wrong_reading_is_told_apart() -> None:
    report = asyncio.run(check_verifier(Exact(), builtin_cases("last")))
    assert {result.error for result in report.errors} == {"false reject"}
    report = asyncio.run(check_verifier(Numeric(reading="any"), builtin_cases("last")))
    assert {result.error for result in report.errors} == {"false accept"}


def test_check_gold_names_task_and_answer() -> None:
    task = Task("d", (Message("user", "What is 1 + 1?"),), "2")
    asyncio.run(check_gold(Careless(fault="none"), [task]))
    with pytest.raises(DataError, match=rf"task {task.task_id}: prompt 'What is 1 \+ 1\?', answer '2'"):
        asyncio.run(check_gold(Careless(fault="rejects all"), [task]))
    with pytest.raises(ContractError, match="boom"):
        asyncio.run(check_gold(Careless(fault="raises"), [task]))

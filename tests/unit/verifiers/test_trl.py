"""What TRL passes to its reward functions beside the data."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from assay.errors import VerifierError
from assay.types import Message, Score, Task
from assay.verifiers import (
    TRLReward,
    Verifier,
    as_rollout,
    check_gold,
    make_verifier,
    score_group,
    tell_progress,
    verifier_metrics,
)

TASK = Task("test", (Message("user", "1 + 1?"),), "2")
FUNCTIONS = """
def logs(completions, answer, log_extra, log_metric, **kwargs):
    said = [c[0]["content"] for c in completions]
    log_extra("said", said)
    log_extra("golden", answer)
    log_metric("length", sum(map(len, said)) / len(said))
    log_metric("nan", float("nan"))
    return [float(s == a) for s, a in zip(said, answer)]

def logs_in_kwargs(completions, **kwargs):
    kwargs["log_extra"]("only one", ["x"])
    kwargs["log_metric"]("n", len(completions))
    return [0.0] * len(completions)

def logs_perhaps(completions, log_extra=None, log_metric=None):
    if log_extra:
        log_extra("long", ["y" * 10_000] * len(completions))
    if log_metric:
        log_metric("m", True)
    return [None] * len(completions)

def shaped(completions, trainer_state, **kwargs):
    assert trainer_state.is_world_process_zero and trainer_state.log_history == []
    return [trainer_state.global_step / trainer_state.max_steps + trainer_state.epoch] * len(completions)

def logs_nonsense(completions, log_metric, **kwargs):
    log_metric("x", "seven")

def fails(completions, **kwargs):
    return helper(completions)

def helper(completions):
    return completions["x"]
"""


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "theirs.py").write_text(FUNCTIONS)
    return str(tmp_path / "theirs.py")


def scores(verifier: Any, *responses: str) -> list[Score]:
    return asyncio.run(score_group(verifier, [as_rollout(response, TASK) for response in responses], TASK))


def test_what_is_logged_is_evidence_and_metrics(functions: str) -> None:
    verifier = TRLReward(function=f"{functions}:logs")
    asyncio.run(check_gold(verifier, [TASK]))
    right, wrong = scores(verifier, "2", "345")
    assert right == Score.graded(1.0, evidence="said: 2; golden: 2")
    assert wrong.evidence == "said: 345; golden: 2"
    scores(verifier, "2222")
    assert verifier_metrics(verifier) == {"reward/logged/length": 3.0}, "the mean of both calls; NaN is none"
    assert verifier_metrics(verifier) == {}, "each step's are its own"


def test_logging_reaches_functions_in_every_form(functions: str) -> None:
    verifier = TRLReward(function=f"{functions}:logs_in_kwargs")
    assert [score.evidence for score in scores(verifier, "a", "b")] == ["only one: x", ""]
    assert verifier_metrics(verifier) == {"reward/logged/n": 2.0}
    verifier = TRLReward(function=f"{functions}:logs_perhaps")
    (score,) = scores(verifier, "a")
    assert len(score.evidence) < 200
    assert verifier_metrics(verifier) == {"reward/logged/m": 1.0}


def test_logging_inside_of_a_weighted_sum(functions: str) -> None:
    parts = {"theirs": {"verifier": {"name": "trl", "function": f"{functions}:logs"}}}
    verifier = make_verifier("weighted", {"parts": parts, "solved_by": "theirs"})
    assert scores(verifier, "2")[0].evidence == "theirs: said: 2; golden: 2"
    assert verifier_metrics(verifier) == {"reward/logged/length": 1.0}


def test_functions_see_how_far_training_has_come(functions: str) -> None:
    alone: Verifier = TRLReward(function=f"{functions}:shaped")
    parts = {"theirs": {"verifier": {"name": "trl", "function": f"{functions}:shaped"}}}
    for verifier in (alone, make_verifier("weighted", {"parts": parts, "solved_by": "theirs"})):
        assert scores(verifier, "2")[0].value == 0.0, "outside of training: at its beginning"
        tell_progress([verifier], 30, 40)
        assert scores(verifier, "2")[0].value == 1.5
        tell_progress([verifier], 40, 40)
        assert scores(verifier, "2")[0].value == 2.0
    tell_progress([make_verifier("exact")], 1, 2)


def test_what_cannot_be_logged_is_the_functions_fault(functions: str) -> None:
    verifier = TRLReward(function=f"{functions}:logs_nonsense")
    with pytest.raises(VerifierError, match=r"logs_nonsense raised ValueError.*theirs\.py, line 27, in logs_nonsense"):
        asyncio.run(verifier(as_rollout("2", TASK), TASK))


def test_what_a_function_raised_is_told_with_its_place(functions: str, tmp_path: Path) -> None:
    with pytest.raises(VerifierError, match=r"fails raised TypeError: list .*\(.*theirs\.py, line 33, in helper\)"):
        asyncio.run(TRLReward(function=f"{functions}:fails")(as_rollout("2", TASK), TASK))
    (tmp_path / "mine.py").write_text("import json\ndef mine(response, answer):\n    return json.loads(response)\n")
    mine = make_verifier("python", {"function": f"{tmp_path}/mine.py:mine"})
    with pytest.raises(VerifierError, match=r"raised JSONDecodeError: .*\(.*mine\.py, line 3, in mine\) for task"):
        asyncio.run(mine(as_rollout("{", TASK), TASK))
    (tmp_path / "wrong.py").write_text("def wrong(answers):\n    return 1.0\n")
    wrong = make_verifier("python", {"function": f"{tmp_path}/wrong.py:wrong"})
    with pytest.raises(
        VerifierError, match=r"raised TypeError: wrong\(\) takes 1 positional argument but 2 were given"
    ):
        asyncio.run(wrong(as_rollout("2", TASK), TASK))


def test_means_of_many_values_are_kept_in_little_space(functions: str) -> None:
    verifier = TRLReward(function=f"{functions}:logs")
    for value in range(1001):
        verifier.logged.add("v", value)
    verifier.logged.add("v", math.inf)
    assert verifier.logged.take() == {"v": 500.0}

"""Rewards of somebody else's: TRL's signature, and several with weights."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pydantic
import pytest

from assay.environments.rows import Rows
from assay.errors import ConfigError, ContractError, DataError, VerifierError
from assay.types import Ending, EndingKind, Message, Score, Task
from assay.verifiers import (
    Numeric,
    TRLReward,
    Verifier,
    Weighted,
    as_rollout,
    check_gold,
    make_verifier,
    score_group,
)

TASK = Task(
    "test", (Message("system", "s"), Message("user", "1 + 1?")), "2", complexity=3.0, metadata={"source": "book"}
)

FUNCTIONS = """
import asyncio

# The example of TRL's documentation, plain text.
def reward_len(completions, **kwargs):
    return [-abs(20 - len(completion)) / 20 for completion in completions]

# Conversational, with a column and without **kwargs.
def accuracy(completions, answer, source):
    assert source == ["book"]
    return [float(c[0]["content"].strip() == a) for c, a in zip(completions, answer)]

def everything(prompts, completions, completion_ids, trainer_state, complexity, **kwargs):
    assert prompts == [[{"role": "system", "content": "s"}, {"role": "user", "content": "1 + 1?"}]]
    assert completion_ids == [[]] and trainer_state.global_step == 0 and complexity == [3.0]
    return [1]

async def waits(completions, **kwargs):
    await asyncio.sleep(0)
    return [0.5]

def does_not_apply(completions, **kwargs):
    return [None]

def raises(completions, **kwargs):
    raise RuntimeError("broken")

def numpy_scalar(completions, **kwargs):
    import numpy
    return [numpy.float32(0.5)]

def numpy_array(completions, **kwargs):
    import numpy
    return numpy.array([0.5])

def torch_scalar(completions, **kwargs):
    import torch
    return [torch.tensor(0.5)]

def torch_tensor(completions, **kwargs):
    import torch
    return torch.tensor([0.5])

def number(completions, **kwargs):
    return 1.0

def not_finite(completions, **kwargs):
    return [float("nan")]
"""


@pytest.fixture
def functions(tmp_path: Path) -> str:
    (tmp_path / "rewards_of_theirs.py").write_text(FUNCTIONS)
    return str(tmp_path / "rewards_of_theirs.py")


def score(verifier: Verifier, response: str = "2") -> Score:
    return asyncio.run(verifier(as_rollout(response, TASK), TASK))


@pytest.mark.parametrize(
    ("name", "response", "value", "verdict"),
    [
        ("accuracy", " 2", 1.0, "solved"),
        ("accuracy", "3", 0.0, "failed"),
        ("everything", "", 1.0, "solved"),
        ("waits", "", 0.5, "failed"),
        ("does_not_apply", "", None, "not_measured"),
        ("numpy_scalar", "", 0.5, "failed"),
        ("numpy_array", "", 0.5, "failed"),
        ("torch_scalar", "", 0.5, "failed"),
        ("torch_tensor", "", 0.5, "failed"),
    ],
)
def test_functions_for_trl_run_unchanged(functions: str, name: str, response: str, value: Any, verdict: str) -> None:
    found = score(TRLReward(function=f"{functions}:{name}"), response)
    assert (found.value, found.verdict.value) == (value, "not_measured" if value is None else "graded")
    found = score(TRLReward(function=f"{functions}:{name}", solved_at=1.0), response)
    assert (found.value, found.verdict.value) == (value, verdict)


def test_plain_text_as_trl_passes_it(functions: str) -> None:
    found = score(TRLReward(function=f"{functions}:reward_len", conversational=False), "x" * 10)
    assert found.value == -0.5


@pytest.mark.parametrize(("name", "message"), [("raises", "RuntimeError: broken"), ("number", "not a list")])
def test_functions_that_fail_are_the_verifiers_fault(functions: str, name: str, message: str) -> None:
    with pytest.raises(VerifierError, match=message):
        score(TRLReward(function=f"{functions}:{name}"))


COLUMNS = """
def documented(completions, ground_truth, **kwargs):
    return [1.0 if c == gt else 0.0 for c, gt in zip(completions, ground_truth)]

def everything(prompts, completions, **kwargs):
    given = sorted(set(kwargs) - {"row", "completion_ids", "trainer_state", "log_extra", "log_metric"})
    assert given == ["answer", "complexity", "ground_truth", "horizon", "level", "tags"], given
    assert kwargs["answer"] == [7, 7] and kwargs["complexity"] == [3.0, 3.0] and kwargs["level"] == ["Level 3"] * 2
    assert kwargs["tags"] == [["a", {"b": None}]] * 2
    return [1.0] * len(completions)

def cut(completions, answer, **kwargs):
    return [float(c == a) for c, a in zip(completions, answer)]

def solution(completions, solution, limit=3):
    return [1.0] * len(completions)
"""


def test_columns_of_a_data_file_reach_the_function_under_their_names(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text(COLUMNS)
    row = {
        "prompt": "3 + 4?",
        "completion": "seven",
        "ground_truth": "7",
        "answer": 7,
        "level": "Level 3",
        "tags": ["a", {"b": None}],
    }
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(row))

    def rewards(function: str, responses: list[str], **options: Any) -> list[float | None]:
        domain = Rows(path=str(data), **options)
        (task,) = [task for tasks in domain.splits.values() for task in tasks]
        assert Task.from_dict(json.loads(json.dumps(task.to_dict()))) == task, "a resumed run has the columns too"
        verifier = TRLReward(function=f"{tmp_path / 'rewards.py'}:{function}", conversational=False)
        asyncio.run(check_gold(verifier, [task]))
        rollouts = [as_rollout(response, task) for response in responses]
        return [score.value for score in asyncio.run(score_group(verifier, rollouts, task))]

    assert rewards("documented", ["7", "8"]) == [1.0, 0.0]
    assert rewards("documented", ["7", "8"], answer="") == [1.0, 0.0]
    assert rewards("everything", ["7", "8"], complexity="level") == [1.0, 1.0]
    assert rewards("cut", ["7"], answer="so #### {answer}", answer_after="####") == [1.0], "the gold answer"
    with pytest.raises(
        ConfigError, match=r"asks for 'solution', which data.jsonl, line 1 does not .* given .*ground_truth"
    ):
        rewards("solution", ["7"])


def test_a_function_that_asks_for_an_answer_gets_none_where_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text(COLUMNS)
    (tmp_path / "data.jsonl").write_text('{"prompt": "q"}')
    domain = Rows(path=str(tmp_path / "data.jsonl"), answer="")
    (task,) = [task for tasks in domain.splits.values() for task in tasks]
    part = {"verifier": {"name": "trl", "function": f"{tmp_path / 'rewards.py'}:cut"}}
    for verifier in (
        make_verifier("trl", part["verifier"]),
        make_verifier("weighted", {"parts": {"theirs": part}, "solved_by": "theirs"}),
    ):
        with pytest.raises(ConfigError, match="asks for 'answer'"):
            asyncio.run(check_gold(verifier, [task]))


def test_every_part_is_asked_where_no_answer_is_sure_to_be_solved(functions: str) -> None:
    parts = {
        "theirs": {"verifier": {"name": "trl", "function": f"{functions}:waits"}},
        "number": {"verifier": {"name": "numeric"}},
    }
    verifier = make_verifier("weighted", {"parts": parts, "solved_by": "theirs"})
    asyncio.run(check_gold(verifier, [TASK]))
    with pytest.raises(DataError, match=r"'two' of task .* is not a number"):
        asyncio.run(check_gold(verifier, [replace(TASK, answer="two")]))


def test_a_function_that_is_not_there(functions: str) -> None:
    with pytest.raises(ConfigError, match="has no function 'nothing'"):
        score(TRLReward(function=f"{functions}:nothing"))


WEIGHTED: dict[str, Any] = {
    "parts": {
        "right": {"verifier": {"name": "math"}},
        "shape": {"weight": 0.1, "verifier": {"name": "format"}},
    },
    "solved_by": "right",
}


def test_a_weighted_sum_keeps_its_parts() -> None:
    verifier = make_verifier("weighted", WEIGHTED)
    found = score(verifier, "\\boxed{2}")
    assert found.value == pytest.approx(1.1)
    assert found.parts == {"right": 1.0, "shape": 1.0}
    assert found.verdict.value == "solved"
    only_shape = score(verifier, "\\boxed{3}")
    assert (only_shape.value, only_shape.verdict.value, only_shape.reason) == (pytest.approx(0.1), "failed", "wrong")
    asyncio.run(check_gold(verifier, [TASK]))


def test_a_part_that_is_not_measured_leaves_the_whole_unknown(functions: str) -> None:
    parts = {**WEIGHTED["parts"], "theirs": {"verifier": {"name": "trl", "function": f"{functions}:not_finite"}}}
    found = score(Weighted.model_validate({"parts": parts, "solved_by": "right"}), "\\boxed{2}")
    assert found.value is None
    assert found.reason.startswith("theirs: ")


def trl_parts(functions: str, weights: dict[str, float], solved_by: str) -> Weighted:
    parts = {
        name: {"weight": weight, "verifier": {"name": "trl", "function": f"{functions}:{name}", "solved_at": 1.0}}
        for name, weight in weights.items()
    }
    return Weighted.model_validate({"parts": parts, "solved_by": solved_by})


def test_a_function_that_does_not_apply_is_left_out_of_the_sum(functions: str) -> None:
    """0.5 x 2 without the other; the part that says what solved is may be the one that is left out."""
    found = score(trl_parts(functions, {"does_not_apply": 3.0, "waits": 2.0}, "waits"))
    assert (found.value, found.parts, found.verdict.value) == (1.0, {"waits": 0.5}, "failed")
    found = score(trl_parts(functions, {"does_not_apply": 1.0, "accuracy": 1.0, "waits": -1.0}, "does_not_apply"))
    assert (found.value, found.verdict.value) == (0.5, "solved"), "what is subtracted decides nothing"
    found = score(trl_parts(functions, {"does_not_apply": 1.0, "accuracy": 1.0, "waits": 1.0}, "does_not_apply"))
    assert (found.value, found.verdict.value) == (1.5, "failed"), "not every part that applies is solved"
    found = score(trl_parts(functions, {"does_not_apply": 1.0}, "does_not_apply"))
    assert (found.value, found.reason) == (None, "no part applies to this sample")
    scores = asyncio.run(
        score_group(trl_parts(functions, {"waits": 1.0, "raises": 1.0}, "waits"), [as_rollout("2", TASK)], TASK)
    )
    assert [found.value for found in scores] == [None], "what a function raises is unknown"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"solved_by": "wrong"}, "none of the parts right, shape"),
        ({"parts": {"right": {"weight": 0.0, "verifier": {"name": "math"}}}}, "weight 0 and so no effect"),
    ],
)
def test_weights_that_cannot_be_meant(changes: dict, message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        Weighted.model_validate({**WEIGHTED, **changes})


# Rewards that compare the attempts at one task.

COMPARING = """
def shortest_right(responses, answer):
    right = [r for r in responses if answer in r]
    return [float(answer in r and len(r) == min(map(len, right))) for r in responses]

def one_is_nan(responses, answer):
    return [float("nan") if r == "3" else 1.0 for r in responses]

calls = []

def none_or_nan(completions, **kwargs):
    calls.append(len(completions))
    return [{"3": None, "4": float("nan")}.get(c[0]["content"], 1.0) for c in completions]

def fails_at_three(response, answer):
    if response == "3":
        raise RuntimeError("died")
    return 1.0

def fails_once(responses, answer):
    calls.append(len(responses))
    if len(calls) == 1:
        raise RuntimeError("died")
    return [1.0] * len(responses)

def too_few(responses, answer):
    return [1.0]

# TRL's signature, over the whole batch.
def longest(completions, answer, **kwargs):
    assert answer == ["2"] * len(completions)
    lengths = [len(c[0]["content"]) for c in completions]
    return [float(length == max(lengths)) for length in lengths]
"""
ATTEMPTS = ["it is 2", "2", "3", "well, 2", "2"]


@pytest.fixture
def comparing(tmp_path: Path) -> str:
    (tmp_path / "comparing.py").write_text(COMPARING)
    return str(tmp_path / "comparing.py")


def score_all(verifier: Verifier, responses: list[str] = ATTEMPTS) -> list[float | None]:
    assert verifier.compares
    rollouts = [as_rollout(response, TASK) for response in responses]
    return [score.value for score in asyncio.run(score_group(verifier, rollouts, TASK))]


def test_a_function_of_the_whole_group(comparing: str) -> None:
    verifier = make_verifier("python", {"function": f"{comparing}:shortest_right", "per": "group"})
    assert score_all(verifier) == [0, 1, 0, 0, 1]
    assert score(verifier, "well, 2").value == 1.0, "alone, an attempt is a group of one"
    assert not make_verifier("python", {"function": f"{comparing}:shortest_right"}).compares


def test_a_function_for_trl_sees_the_whole_group(comparing: str) -> None:
    assert score_all(make_verifier("trl", {"function": f"{comparing}:longest"})) == [1, 0, 0, 1, 0]


def test_a_weighted_sum_of_what_compares_and_what_does_not(comparing: str) -> None:
    short = {"weight": 0.5, "verifier": {"name": "python", "function": f"{comparing}:shortest_right", "per": "group"}}
    parts = {"right": {"verifier": {"name": "exact", "after": "is"}}, "short": short}
    verifier = make_verifier("weighted", {"parts": parts, "solved_by": "right"})
    assert score_all(verifier) == [1.0, 1.5, 0.0, 0.0, 1.5]
    del parts["short"]
    assert not make_verifier("weighted", {"parts": parts, "solved_by": "right"}).compares


def test_one_that_broke_is_not_compared(comparing: str) -> None:
    verifier = make_verifier("python", {"function": f"{comparing}:shortest_right", "per": "group"})
    assert verifier.compares
    whole, broken = (
        as_rollout("it is 2", TASK),
        replace(as_rollout("2", TASK), ending=Ending(EndingKind.BROKEN, "died")),
    )
    scores = asyncio.run(score_group(verifier, [broken, whole], TASK))
    assert [score.value for score in scores] == [None, 1.0]
    assert scores[0].reason == "died"


def test_a_list_of_another_length_is_the_verifiers_fault(comparing: str) -> None:
    verifier = make_verifier("python", {"function": f"{comparing}:too_few", "per": "group"})
    assert score_all(verifier, ["2"]) == [1.0]
    assert score_all(verifier, ["2", "3"]) == [None, None], "not measured, never 0"


def test_nonsense_for_one_member_costs_no_other_its_score(comparing: str) -> None:
    verifier = make_verifier("python", {"function": f"{comparing}:one_is_nan", "per": "group"})
    assert score_all(verifier) == [1, 1, None, 1, 1]
    theirs = make_verifier("trl", {"function": f"{comparing}:none_or_nan"})
    assert score_all(theirs, ["2", "3", "4"]) == [1, None, None]
    assert isinstance(theirs, TRLReward)
    assert theirs.reward.__globals__["calls"] == [3], "None is an answer: it is asked once"


def test_a_call_that_failed_is_made_again(comparing: str) -> None:
    assert score_all(make_verifier("python", {"function": f"{comparing}:fails_once", "per": "group"})) == [1] * 5


def test_a_part_that_fails_for_one_costs_no_other_its_score(comparing: str) -> None:
    parts = {
        "short": {"verifier": {"name": "python", "function": f"{comparing}:shortest_right", "per": "group"}},
        "theirs": {"verifier": {"name": "python", "function": f"{comparing}:fails_at_three"}},
    }
    verifier = make_verifier("weighted", {"parts": parts, "solved_by": "short"})
    assert score_all(verifier) == [1, 2, None, 1, 2]


def test_what_is_no_list_is_a_broken_contract() -> None:
    class Nothing(Numeric):
        @property
        def compares(self) -> bool:
            return True

        async def score_group(self, rollouts: object, task: Task) -> None:
            return None

    with pytest.raises(ContractError, match="returned None for 1 rollouts"):
        asyncio.run(score_group(Nothing(), [as_rollout("2", TASK)], TASK))  # pyright: ignore[reportArgumentType]

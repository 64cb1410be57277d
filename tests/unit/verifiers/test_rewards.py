"""Rewards of somebody else's: TRL's signature, and several with weights."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pydantic
import pytest

from assay.errors import ConfigError, VerifierError
from assay.types import Message, Score, Task
from assay.verifiers import TRLReward, Verifier, Weighted, as_rollout, check_gold, make_verifier

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
    assert completion_ids == [[]] and trainer_state is None and complexity == [3.0]
    return [1]

async def waits(completions, **kwargs):
    await asyncio.sleep(0)
    return [0.5]

def does_not_apply(completions, **kwargs):
    return [None]

def raises(completions, **kwargs):
    raise RuntimeError("broken")

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
    ],
)
def test_functions_for_trl_run_unchanged(functions: str, name: str, response: str, value: Any, verdict: str) -> None:
    found = score(TRLReward(function=f"{functions}:{name}"), response)
    assert (found.value, found.verdict.value) == (value, verdict)


def test_plain_text_as_trl_passes_it(functions: str) -> None:
    found = score(TRLReward(function=f"{functions}:reward_len", conversational=False), "x" * 10)
    assert found.value == -0.5


@pytest.mark.parametrize(
    ("name", "message"), [("raises", "RuntimeError: broken"), ("number", "not a list"), ("not_finite", "finite")]
)
def test_functions_that_fail_are_the_verifiers_fault(functions: str, name: str, message: str) -> None:
    with pytest.raises(VerifierError, match=message):
        score(TRLReward(function=f"{functions}:{name}"))


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
    parts = {**WEIGHTED["parts"], "theirs": {"verifier": {"name": "trl", "function": f"{functions}:does_not_apply"}}}
    found = score(Weighted.model_validate({"parts": parts, "solved_by": "right"}), "\\boxed{2}")
    assert found.value is None
    assert found.reason.startswith("theirs: ")


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

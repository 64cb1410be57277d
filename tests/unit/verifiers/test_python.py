from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from assay.config import validate
from assay.errors import ConfigError, ContractError, DataError, VerifierError
from assay.types import Message, Score, Task, Verdict
from assay.verifiers import AnyVerifier, PythonReward, as_rollout, check_gold, score_rollout

TASK = Task("d", (Message("user", "?"),), "82")


@pytest.fixture
def rewards(tmp_path: Path) -> Path:
    path = tmp_path / "rewards.py"
    path.write_text(
        "import math\n"
        "from assay.types import Score\n"
        "from assay.errors import DataError\n"
        "async def waits(response, answer): return 1.0\n"
        "def graded(response, answer): return len(response) / 4\n"
        "def same(response, answer): return response == answer\n"
        "def nan(response, answer): return math.nan\n"
        "def infinite(response, answer): return math.inf\n"
        "def huge(response, answer): return 10 ** 400\n"
        "def nothing(response, answer): return None\n"
        "def text(response, answer): return '1.0'\n"
        "def raises(response, answer): raise KeyError('boom')\n"
        "def bad_data(response, answer): raise DataError('no such file')\n"
        "def whole(response, answer): return Score.failed('shape', value=0.25, parts={'form': 0.25})\n"
        "number = 3\n"
    )
    return path


def call(path: Path, name: str, response: str = "82", **options: object) -> Score:
    verifier = PythonReward(function=f"{path}:{name}", **options)  # pyright: ignore[reportArgumentType]
    return asyncio.run(verifier(as_rollout(response, TASK), TASK))


def test_values_become_scores(rewards: Path) -> None:
    assert call(rewards, "same") == Score.solved(1.0)
    assert call(rewards, "same", "83").value == 0.0
    assert call(rewards, "waits") == Score.solved(1.0)
    assert call(rewards, "graded") == Score.failed("low reward", value=0.5)
    assert call(rewards, "graded", solved_at=0.5) == Score.solved(0.5)
    assert call(rewards, "whole").parts == {"form": 0.25}


@pytest.mark.parametrize("name", ["nan", "infinite", "huge", "nothing", "text", "raises"])
def test_what_is_no_reward_names_function_value_and_task(rewards: Path, name: str) -> None:
    with pytest.raises(VerifierError) as caught:
        call(rewards, name)
    assert f"rewards.py:{name}" in str(caught.value)
    assert TASK.task_id in str(caught.value)
    assert {"nan": "nan", "infinite": "inf", "huge": "1000", "nothing": "None", "text": "'1.0'", "raises": "boom"}[
        name
    ] in str(caught.value)


def test_a_failing_function_is_never_a_reward(rewards: Path) -> None:
    verifier = PythonReward(function=f"{rewards}:nan")
    score = asyncio.run(score_rollout(verifier, as_rollout("82", TASK), TASK))
    assert score.verdict is Verdict.NOT_MEASURED
    assert score.value is None


def test_a_mistake_that_a_person_must_mend_passes_through(rewards: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        call(rewards, "bad_data")


def test_not_found(rewards: Path) -> None:
    with pytest.raises(ConfigError, match="no function 'rewrd'; it has: waits, graded, same"):
        call(rewards, "rewrd")
    with pytest.raises(ConfigError, match="no function 'number'"):
        call(rewards, "number")
    with pytest.raises(ConfigError, match=r"no file at .*missing\.py"):
        call(rewards.with_name("missing.py"), "same")
    with pytest.raises(ConfigError, match=r"expected path/to/file\.py:name"):
        asyncio.run(PythonReward(function="same")(as_rollout("", TASK), TASK))
    with pytest.raises(ConfigError, match="module 'no_such_module' could not be imported"):
        asyncio.run(PythonReward(function="no_such_module:same")(as_rollout("", TASK), TASK))


def test_a_file_that_does_not_import(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("1 / 0\n")
    with pytest.raises(ConfigError, match="ZeroDivisionError"):
        call(path, "reward")


def test_a_module(rewards: Path) -> None:
    verifier = PythonReward(function="operator:eq")
    assert asyncio.run(verifier(as_rollout("82", TASK), TASK)) == Score.solved(1.0)


def test_gold_is_checked_unless_told_otherwise(rewards: Path) -> None:
    asyncio.run(check_gold(PythonReward(function=f"{rewards}:same"), [TASK]))
    with pytest.raises(DataError, match=r'rejects the gold answer .* set gold_format = "" in its options'):
        asyncio.run(check_gold(PythonReward(function=f"{rewards}:graded"), [TASK]))
    asyncio.run(check_gold(PythonReward(function=f"{rewards}:graded", gold_format="= {answer}"), [TASK]))
    asyncio.run(check_gold(PythonReward(function=f"{rewards}:graded", gold_format=""), [TASK]))
    with pytest.raises(ContractError, match="raised KeyError"):
        asyncio.run(check_gold(PythonReward(function=f"{rewards}:raises"), [TASK]))


def test_in_a_recipe() -> None:
    from assay.config import Settings

    class Recipe(Settings):
        verifier: AnyVerifier

    recipe = validate(Recipe, {"verifier": {"name": "python", "function": "a.py:b"}})
    assert recipe.verifier == PythonReward(function="a.py:b")

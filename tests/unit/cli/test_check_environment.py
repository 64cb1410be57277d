from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError

GOOD = {"text": "Add one.", "code": "def add(x):\n    return x + 1", "task_id": 12, "test_list": ["assert add(1) == 2"]}
BAD = {"text": "Add two.", "code": "def two(x):\n    return x + 1", "task_id": 13, "test_list": ["assert two(1) == 3"]}


def run(tmp_path: Path, *rows: dict[str, object]) -> str:
    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(app, ["check", "env", "mbpp", "--set", f"path={path}"])
    if isinstance(result.exception, AssayError):
        raise result.exception
    return result.output


def test_references_that_pass(tmp_path: Path) -> None:
    output = run(tmp_path, GOOD)
    assert "test: 1 tasks" in output
    assert "code accepts every gold answer" in output


def test_a_reference_that_fails_its_own_tests_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(AssayError, match="does not accept 1 gold answers of mbpp"):
        run(tmp_path, GOOD, BAD)


def test_a_generator_is_held_to_its_promises() -> None:
    result = CliRunner().invoke(app, ["check", "env", "second_try", "--num-tasks", "5"], catch_exceptions=False)
    assert "exact accepts every gold answer" in result.output
    assert "levels, splits and episodes keep their promises" in result.output
    assert "15 of 15 levels" in result.output, "a generator that takes minutes is not silent meanwhile"


def test_an_environment_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "worlds.py"
    path.write_text(
        "from assay.environments.arithmetic import Arithmetic\n\n\n"
        "class Leaky(Arithmetic):\n"
        "    def tasks(self, split, **options):\n"
        "        yield from super().tasks('train', **options)\n"
    )
    result = CliRunner().invoke(app, ["check", "env", f"{path}:Leaky", "--num-tasks", "5"])
    assert isinstance(result.exception, AssayError)
    assert "is in two splits" in str(result.exception)
    missing = CliRunner().invoke(app, ["check", "env", f"{path}:Leak"])
    assert "has no 'Leak'; it has Arithmetic, Leaky" in str(missing.exception)


@pytest.mark.parametrize(
    ("name", "row", "verifier"),
    [
        ("gsm8k", {"question": "1000 + 234?", "answer": "It is so.\n#### 1,234"}, "numeric"),
        ("math", {"problem": "Half of 1?", "level": "Level 1", "solution": "It is $\\boxed{\\frac12}$."}, "math"),
    ],
)
def test_known_data_sets_name_their_verifier(tmp_path: Path, name: str, row: dict[str, str], verifier: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row))
    result = CliRunner().invoke(app, ["check", "env", name, "--set", f"path={path}"], catch_exceptions=False)
    assert f"{verifier} accepts every gold answer" in result.output


def test_a_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "1?", "answer": "#### 1"}\n{"question": "2?", "answer": "#### two"}\n')
    result = CliRunner().invoke(app, ["check", "env", "gsm8k", "--set", f"path={path}"])
    assert isinstance(result.exception, AssayError)
    assert "WRONG  rows.jsonl, line 2: the answer 'two' of task" in result.output


def test_scripts_are_played_and_an_expert_that_does_not_solve_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "shop.py"
    path.write_text(
        "from assay.environments.clarify import Clarify\n\n\n"
        "class Shop(Clarify):\n"
        "    def levels(self):\n"
        "        return ((1, 1),)\n\n\n"
        "class Hopeless(Shop):\n"
        "    def expert(self, task):\n"
        "        return self.weak(task)\n"
    )
    fine = CliRunner().invoke(app, ["check", "env", f"{path}:Shop", "--num-tasks", "2"], catch_exceptions=False)
    assert "c1 h1: expert solves 20 of 20, mean reward 1.00, at most 2 turns; weak solves 0 of 20" in fine.output
    hopeless = CliRunner().invoke(app, ["check", "env", f"{path}:Hopeless", "--num-tasks", "2"])
    assert isinstance(hopeless.exception, AssayError)
    assert "does not solve task" in str(hopeless.exception)

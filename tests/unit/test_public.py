"""What Python callers give `train` and `load_recipe`: tables, paths, subscribers, classes of their own."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.components import reference_of
from assay.config import dump, load, validate
from assay.environments.file_environment import FileEnvironment
from assay.environments.humaneval import HumanEval
from assay.environments.mbpp import MBPP
from assay.environments.rows import Rows
from assay.errors import ConfigError
from assay.launch import lost_on_resume
from assay.observe.console import Console
from assay.recipe import RunConfig


def small(model: Path) -> dict[str, Any]:
    return {
        "num_steps": 2,
        "groups_per_step": 2,
        "group_size": 2,
        "num_threads": 1,
        "model": {"source": model, "device": "cpu", "compute_dtype": "fp32"},
        "sampling": {"max_new_tokens": 4},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
    }


class Outer:
    """A place where somebody keeps classes together."""

    class Starts(assay.Verifier):
        letter: str = "a"

        async def __call__(self, rollout: assay.Rollout, task: assay.Task) -> assay.Score:
            return assay.Score.solved() if rollout.response.startswith(self.letter) else assay.Score.failed("other")

        def gold_response(self, task: assay.Task) -> None:
            return None


def test_a_table_changes_the_settings_that_it_names() -> None:
    recipe = {"trainer": {"learning_rate": 3e-4, "warmup_steps": 7}, "algorithm": {"name": "grpo", "clip_low": 0.1}}
    config = assay.load_recipe(recipe, trainer={"learning_rate": 1e-5}, algorithm={"clip_high": 0.4})
    assert (config.trainer.learning_rate, config.trainer.warmup_steps) == (1e-5, 7)
    assert dump(config)["algorithm"] | {"clip_low": 0.1, "clip_high": 0.4} == dump(config)["algorithm"]
    # Another component has other options; an object is taken as it is.
    other = assay.load_recipe(recipe, algorithm={"name": "rloo"}, verifier=Outer.Starts(letter="b"))
    assert other.algorithm.name == "rloo"
    assert isinstance(other.verifier, Outer.Starts)
    with pytest.raises(ConfigError, match=r"trainer\.learning_rat'; did you mean 'learning_rate'"):
        assay.load_recipe(recipe, trainer={"learning_rat": 1e-5})


def test_a_path_is_taken_wherever_a_setting_names_a_file(tmp_path: Path) -> None:
    config = assay.load_recipe({"model": {"source": tmp_path}}, environment=Rows(path=tmp_path / "rows.jsonl"))  # pyright: ignore[reportArgumentType]
    assert config.model.source == str(tmp_path)
    assert dump(config)["environment"]["path"] == str(tmp_path / "rows.jsonl")


def test_a_class_inside_a_class_is_found_again() -> None:
    config = validate(RunConfig, {"verifier": Outer.Starts(letter="c")})
    assert reference_of(Outer.Starts).endswith(":Outer.Starts")
    assert validate(RunConfig, dump(config)).verifier == config.verifier
    assert lost_on_resume(config) == []


def test_a_class_of_the_script_that_runs_is_cautioned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(Outer.Starts):
        pass

    Own.__module__, Own.__qualname__ = "__main__", "Own"
    monkeypatch.setattr("__main__.Own", Own, raising=False)
    (caution,) = lost_on_resume(validate(RunConfig, {"verifier": Own()}))
    assert "verifier Own is defined in the script" in caution


@pytest.mark.parametrize("environment", [HumanEval(test_path="x.jsonl"), MBPP(), Rows(path="a.jsonl")])
def test_an_environment_of_a_file_is_the_same_from_its_own_dump(environment: FileEnvironment) -> None:
    again = load(RunConfig, dump(RunConfig(environment=environment))).environment
    assert again == environment
    assert isinstance(again, FileEnvironment)
    assert again.to_measure() == environment.to_measure()
    assert environment.to_measure().test_only == (True if isinstance(environment, HumanEval | Rows) else None)


def test_a_file_whose_splits_were_asked_for_keeps_them() -> None:
    assert Rows(path="a.jsonl", test_only=False).to_measure().test_only is False
    with pytest.raises(ConfigError, match="test_only has no effect with test_path"):
        validate(Rows, {"path": "a.jsonl", "test_path": "b.jsonl", "test_only": True})


def test_subscribers_are_told_of_each_step(tiny_model: Path, tmp_path: Path) -> None:
    told: list[int] = []

    class Listens:
        async def step_done(self, done: assay.StepDone) -> None:
            assert (tmp_path / "run" / "run.sqlite").is_file()
            told.append(done.step)

    console = Console(stream=io.StringIO(), live=False)
    assay.train(small(tiny_model), run_folder=tmp_path / "run", console=console, subscribers=[Listens()])
    assert told == [0, 1]

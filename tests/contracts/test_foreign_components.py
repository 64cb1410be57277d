"""Components that Assay does not know: from an installed package, from a file, and as objects in a running loop."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import assay
from assay.config import validate
from assay.errors import ConfigError
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig

SOURCE = Path(__file__).parents[1] / "foreign" / "components.py"
KINDS = {"environment": "Echo", "algorithm": "Centred", "verifier": "Starts", "engine": "Twin"}
NAMES = {"environment": "echo", "algorithm": "centred", "verifier": "starts", "engine": "twin"}


def small(model: Path) -> dict[str, Any]:
    return {
        "num_steps": 3,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32"},
        "sampling": {"max_new_tokens": 5},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 1},
    }


def chosen(model: Path, references: dict[str, str]) -> dict[str, Any]:
    tables = {kind: {"name": reference} for kind, reference in references.items()}
    tables["engine"]["model"] = str(model)
    return {**small(model), **tables}


def fingerprint(folder: Path) -> list[Any]:
    store = RunStore.open_readonly(folder)
    assert store.num_steps() == 3
    return [(record.token_ids, record.token_logprobs, record.trainer_logprobs) for record in store.rollouts()]


DIES = """
import os, signal, sys

def die(event, arguments):
    if event == "os.rename" and os.fspath(arguments[1]).endswith("step-000002"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die)
from assay.cli.main import main
main()
"""


def kill_after_a_step(recipe: Path, folder: Path, environment: dict[str, str]) -> None:
    """Starts a run in a process of its own, which is killed when its second checkpoint would be there."""
    command = [sys.executable, "-c", DIES, "train", str(recipe), "--run-folder", str(folder)]
    run = subprocess.run(command, env=environment, capture_output=True, timeout=300, check=False)
    assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert (folder / "checkpoints" / "step-000001").is_dir()


@pytest.fixture(scope="module")
def unbroken(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    references = {kind: f"{SOURCE}:{name}" for kind, name in KINDS.items()}
    assay.train(chosen(tiny_model, references), run_folder=folder, console=Console(live=False))
    return fingerprint(folder)


def test_an_installed_package_is_trained_with_killed_and_resumed(
    tiny_model: Path, tmp_path: Path, unbroken: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    site.mkdir()
    shutil.copy(SOURCE, site / "arboretum.py")
    about = site / "arboretum-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: arboretum\nVersion: 1.0\n")
    groups = {"environment": "environments", "algorithm": "algorithms", "verifier": "verifiers", "engine": "engines"}
    lines = [f"[assay.{groups[kind]}]\n{NAMES[kind]} = arboretum:{name}\n" for kind, name in KINDS.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(_toml(chosen(tiny_model, NAMES)))
    path = os.pathsep.join([str(site), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path}
    folder = tmp_path / "run"
    kill_after_a_step(recipe, folder, environment)
    assert json.loads((folder / "config.json").read_text())["settings"]["algorithm"]["name"] == "centred"
    monkeypatch.syspath_prepend(str(site))
    assert assay.train(resume=folder, console=Console(live=False)).status == "finished"
    assert fingerprint(folder) == unbroken


def test_a_file_is_found_again_and_a_change_of_it_is_noticed(
    tiny_model: Path, tmp_path: Path, unbroken: list[Any]
) -> None:
    own = tmp_path / "mine.py"
    shutil.copy(SOURCE, own)
    settings = chosen(tiny_model, {kind: f"{own}:{name}" for kind, name in KINDS.items()})
    recipe, folder = tmp_path / "recipe.toml", tmp_path / "run"
    recipe.write_text(_toml(settings))
    kill_after_a_step(recipe, folder, dict(os.environ))
    own.write_text(own.read_text() + "\n# another remark\n")
    with pytest.raises(ConfigError, match=r"mine.py:Echo.* has changed since the run began"):
        assay.train(resume=folder, console=Console(live=False))
    shutil.copy(SOURCE, own)
    assert assay.train(resume=folder, console=Console(live=False)).status == "finished"
    assert fingerprint(folder) == unbroken


class Trees(assay.Environment):
    """An environment that a notebook defines."""

    def tasks(self, split: Any, *, complexity: Any = None, horizon: Any = None, seed: int = 0) -> Any:
        first = {"train": 0, "validation": 20, "test": 40}[split]
        for number in range(first, first + 20):
            yield assay.Task(self.name, (assay.Message("user", f"Which tree is {number}?"),), str(number))


class Length(assay.Verifier):
    async def __call__(self, rollout: assay.Rollout, task: assay.Task) -> assay.Score:
        return assay.Score.failed("length", value=len(rollout.response) / 100)

    def gold_response(self, task: assay.Task) -> None:
        return None


def test_objects_in_a_cell_whose_event_loop_is_running(tiny_model: Path, tmp_path: Path) -> None:
    async def cell() -> tuple[assay.TrainResult, assay.Evaluation]:
        settings = {**small(tiny_model), "environment": Trees(), "verifier": Length()}
        result = assay.train(**settings, run_folder=tmp_path / "run", console=Console(live=False))
        scores = assay.evaluate(
            result.model, Trees(), verifiers={"strict": Length()}, num_tasks=3, max_new_tokens=4, device="cpu"
        )
        return result, scores

    result, scores = asyncio.run(cell())
    assert result.status == "finished"
    assert scores.num_tasks == 3
    assert {row.domain for row in scores.rows} == {"trees"}
    assert result.summary["settings"]["environment"]["name"].endswith(":Trees")
    resumed = assay.train(resume=tmp_path / "run", num_steps=4, console=Console(live=False))
    assert resumed.summary["num_steps"] == 4


def test_mistakes_name_the_place_and_the_remedy(tmp_path: Path) -> None:
    wrong = {
        "algorithm": {"name": f"{SOURCE}:Echo"},
        "environment": {"name": f"{SOURCE}:Ecko"},
        "verifier": {"name": f"{SOURCE}:Starts", "speed": 3},
        "engine": {"name": "nowhere.at.all:Engine"},
        "curriculum": {"name": "level_by_levl"},
    }
    with pytest.raises(ConfigError) as caught:
        validate(RunConfig, wrong)
    said = str(caught.value)
    assert "algorithm: " in said
    assert "has 'Echo', which is no algorithm; it has Centred" in said
    assert "has no 'Ecko'; it has Echo" in said
    assert "unknown key 'verifier.speed'" in said
    assert "module 'nowhere.at.all' could not be imported" in said
    assert "unknown curriculum 'level_by_levl'; did you mean 'level_by_level'?" in said
    with pytest.raises(ConfigError, match=r"algorithm\.clip_low"):
        validate(RunConfig, {"algorithm": {"clip_low": -1.0}})
    with pytest.raises(ConfigError, match="environment: needs a name"):
        validate(RunConfig, {"environment": {"path": "x.jsonl"}})

    with pytest.raises(ConfigError, match=r"'scale' of Loud hides Algorithm\.scale"):

        class Loud(assay.Algorithm):
            scale: float = 2.0

    with pytest.raises(ConfigError, match=r"'max_turns' of Long hides Environment\.max_turns"):

        class Long(assay.Environment):
            max_turns: int = 5

    class Hidden(assay.Environment):
        pass

    with pytest.raises(ConfigError, match="define it at the top of its file"):
        validate(RunConfig, {"environment": Hidden()})


class Breaks(Trees):
    """A world whose tasks cannot be used once a run has begun."""

    def episode(self, task: assay.Task) -> Any:
        raise assay.DataError("a world that a person must mend")


def test_a_failed_run_lets_go_of_its_folder(tiny_model: Path, tmp_path: Path) -> None:
    settings = {**small(tiny_model), "environment": Breaks(), "verifier": Length()}
    for again in ({**settings, "run_folder": tmp_path / "run"}, {"resume": tmp_path / "run"}):
        with pytest.raises(assay.DataError, match="a person must mend"):
            assay.train(**again, console=Console(live=False))


CELL = """
import _thread, asyncio, sys
import assay
from assay.observe.console import Console


class Presses(Console):
    def step(self, view):
        if view.step == 1:
            _thread.interrupt_main()
        super().step(view)


async def cell():
    settings = {"num_steps": 200, "groups_per_step": 2, "group_size": 2, "sampling": {"max_new_tokens": 4}}
    settings |= {"model": {"source": sys.argv[1], "compute_dtype": "fp32"}, "num_threads": 1}
    settings |= {"evaluation": {"every_steps": 0, "test_tasks": 0}}
    return assay.train(**settings, run_folder=sys.argv[2], console=Presses(live=False))


# As a notebook runs a cell: `asyncio.run` would keep the interrupt for itself.
result = asyncio.new_event_loop().run_until_complete(cell())
print(result.status, result.summary["num_steps"])
"""


def test_an_interrupt_in_a_notebook_stops_after_the_step(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CELL, str(tiny_model), str(tmp_path / "run")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stderr
    status, num_steps = said.stdout.split()[-2:]
    assert status == "interrupted"
    assert 2 <= int(num_steps) < 200


def test_wrong_arguments_are_refused_before_the_model_is_opened() -> None:
    class NoStrict(Trees):
        @property
        def rewards(self) -> dict[str, assay.Verifier]:
            return {"lenient": Length()}

    for options, said in (
        ({"environment": Trees}, "such as Mine()"),
        ({"environment": NoStrict()}, 'there is no "strict" one'),
        ({"split": "tests"}, "split='tests'"),
        ({"num_tasks": 0}, "num_tasks=0"),
        ({"dtype": "float32"}, "dtype='float32'"),
        ({"verifiers": {"strict": 3}}, "'strict' is no verifier"),
    ):
        with pytest.raises(ConfigError, match=re.escape(said)):
            assay.evaluate("/nowhere/at/all", **{"environment": Trees(), **options})  # pyright: ignore


def test_old_recipes_are_told_the_new_form() -> None:
    with pytest.raises(ConfigError, match=r"unknown key 'domain'; environments hold .* write \[environment\]"):
        validate(RunConfig, {"domain": {"name": "arithmetic"}})


def _toml(settings: dict[str, Any]) -> str:
    """Settings of two levels as TOML."""
    plain = [f"{key} = {json.dumps(value)}\n" for key, value in settings.items() if not isinstance(value, dict)]
    tables = [
        f"[{key}]\n" + "".join(f"{name} = {json.dumps(part)}\n" for name, part in value.items())
        for key, value in settings.items()
        if isinstance(value, dict)
    ]
    return "\n".join(["".join(plain), *tables])

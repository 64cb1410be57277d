"""Documents say what is: links lead somewhere, code blocks run, commands exist."""

from __future__ import annotations

import asyncio
import functools
import io
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import load, validate
from assay.environments import check_environment
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.types import Message, Task, Verdict

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/**/*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"^assay (\w+)(.*)$", re.MULTILINE)
OPTION = re.compile(r"--[a-z-]+")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text()) if "://" not in target]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_their_options_exist(page: Path) -> None:
    groups = {group.name for group in app.registered_groups}
    for command, rest in COMMAND.findall(page.read_text()):
        # A group's options are those of its command: assay check env.
        words = [command, *rest.split()[:1]] if command in groups and re.match(r" [a-z]+( |$)", rest) else [command]
        exit_code, shown = help_of(*words)
        assert exit_code == 0, f"{page.name} names assay {' '.join(words)}"
        for option in OPTION.findall(rest.split("#")[0]):
            assert option in shown, f"{page.name} gives assay {command} the option {option}"


@functools.cache
def help_of(*words: str) -> tuple[int, str]:
    shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "300", "NO_COLOR": "1", "TERM": "dumb"})
    return shown.exit_code, shown.output


def test_the_reward_of_the_first_guide_runs() -> None:
    guide = (ROOT / "docs" / "guides" / "01-first-run.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)
    reward = names["reward"]
    assert callable(reward)
    assert reward("It is 82", "82") == 1.0
    assert reward("It is 83", "82") == 0.0


def test_the_model_of_the_third_guide_opens(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "guides" / "03-your-model.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    folder = write_tiny_model(tmp_path / "model")
    names: dict[str, object] = {}
    exec(code.replace('"default"', repr(str(folder))), names)
    assert capsys.readouterr().out.startswith(f"decoder {folder} ")
    assert {"renderer", "policy"} <= names.keys()


def test_the_one_file_recipe_is_as_short_as_it_says_and_imports_nothing_of_ours() -> None:
    text = (ROOT / "recipes" / "reinforce_in_one_file.py").read_text()
    assert len(text.splitlines()) <= 300
    imported = set(re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE))
    assert "assay" not in imported
    assert imported - {"torch", "transformers"} <= {
        "__future__",
        "argparse",
        "collections",
        "dataclasses",
        "hashlib",
        "pathlib",
        "random",
        "time",
    }


def test_the_task_and_verifier_of_the_second_guide_train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs" / "guides" / "02-task-and-verifier.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    recipe, *other_tables = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(code.splitlines()) < 40
    (tmp_path / "countdown.py").write_text(code)
    (tmp_path / "countdown.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    config = load(
        RunConfig,
        tmp_path / "countdown.toml",
        [
            f"model.source={write_tiny_model(tmp_path / 'model')}",
            "model.compute_dtype=fp32",
            "num_steps=2",
            "num_threads=1",
            "groups_per_step=2",
            "evaluation.validation_tasks=4",
            "evaluation.test_tasks=4",
        ],
    )
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    assert asyncio.run(train(run)).status == "finished"
    asyncio.run(check_environment(config.environment, verifier=config.reward))
    for table in other_tables:
        validate(RunConfig, tomllib.loads(table))


def test_the_environment_of_the_seventh_guide_is_checked_and_trained_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guide = (ROOT / "docs" / "guides" / "07-environment.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    (recipe,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert len(code.splitlines()) < 60
    (tmp_path / "guess.py").write_text(code)
    (tmp_path / "guess.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    checked = CliRunner().invoke(app, ["check", "env", "guess.py:Guess", "--num-tasks", "10"], catch_exceptions=False)
    assert "levels, splits and episodes keep their promises" in checked.output
    small = [f"model.source={write_tiny_model(tmp_path / 'model')}", "model.compute_dtype=fp32", "num_steps=2"]
    small += ["num_threads=1", "groups_per_step=2", "evaluation.validation_tasks=4", "evaluation.test_tasks=4"]
    config = load(RunConfig, tmp_path / "guess.toml", [*small, "sampling.max_new_tokens=6"])
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    assert asyncio.run(train(run)).status == "finished"
    assert config.environment.max_turns == 4


def test_the_tools_of_the_seventh_guide_answer() -> None:
    guide = (ROOT / "docs" / "guides" / "07-environment.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", guide, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    task = Task("shelves", (Message("user", "Where is the cup?"),), "1", metadata={"world": ["a book", "a cup"]})

    async def played() -> list[str]:
        episode = names["Shelves"](task)
        await episode.start()
        said = []
        for at in (1, 7, "two"):
            call = {"type": "function", "function": {"name": "look", "arguments": {"shelf": at}}}
            said += [message.content for message in (await episode.step(Message("assistant", "", (call,)))).messages]
        assert (await episode.step(Message("assistant", "1"))).done
        assert (await episode.score()).verdict is Verdict.SOLVED
        return said

    cup, far, text = asyncio.run(played())
    assert (cup, far) == ("a cup", "Error: there are 2 shelves")
    assert text.startswith("Error: look: shelf: 'two' is not of type 'integer'")


def test_the_agent_of_the_tenth_guide_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents, _, _ = (ROOT / "docs" / "guides" / "10-others.md").read_text().partition("## Environments")
    (code,) = re.findall(r"```python\n(.*?)```", agents, re.DOTALL)
    (recipe,) = re.findall(r"```toml\n(.*?)```", agents, re.DOTALL)
    (tmp_path / "agent.py").write_text(code)
    (tmp_path / "agent.toml").write_text(recipe)
    monkeypatch.chdir(tmp_path)
    small = [f"model.source={write_tiny_model(tmp_path / 'model')}", "model.compute_dtype=fp32", "num_steps=2"]
    small += ["num_threads=1", "groups_per_step=2", "group_size=2", "evaluation.validation_tasks=2"]
    config = load(RunConfig, tmp_path / "agent.toml", [*small, "evaluation.test_tasks=2", "sampling.max_new_tokens=6"])
    run = build_run(config, tmp_path / "run", console=Console(stream=io.StringIO(), live=False))
    assert asyncio.run(train(run)).status == "finished"
    with RunStore.open_readonly(tmp_path / "run") as store:
        played = store.rollouts()
        assert {(record.ending, record.verdict, record.num_turns) for record in played} == {("finished", "failed", 2)}
        assert len(played) == 8

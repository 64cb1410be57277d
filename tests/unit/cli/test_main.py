"""What every command does with a place that cannot be used: an error with the place and what to do, no traceback."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.text import Text

from assay.cli.main import app, main
from assay.errors import explain_place
from assay.policies.tiny import write_tiny_model


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that stand where folders should, a recipe, rows and a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    Path("file").write_text("")
    Path("folder").mkdir()
    Path("recipe.toml").write_text("num_steps = 1\n")
    Path("spec.toml").write_text('name = "s"\nrecipe = "recipe.toml"\nseeds = [1]\n')
    Path("latin.toml").write_bytes(b'# fine\nname = "caf\xe9"\n')
    Path("rows.jsonl").write_text(json.dumps({"id": 1, "response": "4", "answer": "4"}) + "\n")
    write_tiny_model(tmp_path / "model")


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str) -> str:
    """What a command says on its way out with 2."""
    monkeypatch.setattr("sys.argv", ["assay", *command.split()])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("train folder", "error: folder cannot be read (Is a directory)"),
        ("train latin.toml", "line 2 is not UTF-8"),
        ("train missing.toml", "no recipe at missing.toml"),
        ("train file/recipe.toml", "file/recipe.toml cannot be read (Not a directory)"),
        ("train recipe.toml --run-folder file/run --set model.source=model --set model.device=cpu", "file"),
        ("train recipe.toml --run-folder file --set model.source=model --set model.device=cpu", "file"),
        ("eval model --recipe folder", "folder"),
        ("eval model --recipe latin.toml", "line 2 is not UTF-8"),
        ("eval model --output file --num-tasks 1 --complexity 1 --horizon 1 --max-new-tokens 1", "file"),
        ("eval model --output file/out --num-tasks 1 --complexity 1 --horizon 1 --max-new-tokens 1", "file/out"),
        ("demonstrate model --output file/out --num-tasks 1 --complexity 1 --horizon 1 --max-new-tokens 1", "file"),
        ("verify exact --input folder --output out.jsonl", "folder cannot be read: Is a directory"),
        ("verify exact --input rows.jsonl --output file/out.jsonl", "file/out.jsonl"),
        ("verify exact --input rows.jsonl --output folder", "folder"),
        ("sweep folder", "folder cannot be read"),
        ("sweep latin.toml", "line 2 is not UTF-8"),
        ("sweep spec.toml --output file", "file"),
        ("sweep spec.toml --output file/out --report-only", "file"),
        ("sweep spec.toml --report-only --publish file/page", "no run of s has finished"),
        ("export model file/out", "file"),
        ("compare file folder", "file"),
        ("show file", "'file' is no run"),
    ],
)
def test_a_place_that_cannot_be_used_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, said: str
) -> None:
    assert said in refused(capsys, monkeypatch, command)


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG]
)
def test_each_kind_of_place_has_a_remedy(number: int) -> None:
    said = explain_place(OSError(number, os.strerror(number), "out/rows.jsonl"))
    assert said is not None
    assert said.startswith(f"out/rows.jsonl: {os.strerror(number)}; ")


def test_where_a_file_was_to_go_is_what_a_rename_names() -> None:
    said = explain_place(OSError(errno.ENOTDIR, "Not a directory", "a.tmp", None, "file/a"))
    assert said is not None
    assert said.startswith("file/a: ")


@pytest.mark.parametrize("error", [OSError(errno.ECONNREFUSED, "refused"), OSError(errno.EINVAL, "invalid"), OSError()])
def test_what_is_no_matter_of_places_keeps_its_traceback(
    error: OSError, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise error

    assert explain_place(error) is None
    monkeypatch.setattr("assay.cli.main.app", fails)
    with pytest.raises(type(error)) as raised:
        main()
    assert raised.value is error


WORLDS = """
from assay.environments import Environment
from assay.types import Message, Task


class Begins(Environment):
    def __init__(self, **options):
        raise KeyError("secret")


class Draws(Environment):
    def tasks(self, split, **dials):
        yield Task("draws", (Message("user", "1 + 1?"),), "2")
        return 1 / 0


class Returns(Environment):
    def tasks(self, split, **dials):
        return None


class Yields(Environment):
    def tasks(self, split, **dials):
        yield {"prompt": "1 + 1?"}


class Lacks(Environment):
    def tasks(self, split, **dials):
        return []
"""


@pytest.mark.parametrize("command", ["check env", "audit", "train recipe.toml --set model.source=model"])
@pytest.mark.parametrize(
    ("world", "said"),
    [
        ("Begins", "error: KeyError: 'secret'\n  PLACE/worlds.py, line 8, in __init__\n"),
        ("Draws", "error: ZeroDivisionError: division by zero\n  PLACE/worlds.py, line 14, in tasks\n"),
        ("Returns", "tasks() of returns returned None, which is no iterable; yield a Task"),
        ("Yields", "tasks() of yields yields {'prompt': '1 + 1?'}, of type dict; yield an assay.types.Task"),
        ("Lacks", "lacks"),
    ],
)
def test_what_an_environment_of_ones_own_does_wrong_is_named_with_its_place(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, world: str, said: str
) -> None:
    Path("worlds.py").write_text(WORLDS)
    name = f"worlds.py:{world}"
    command += f" --set environment.name={name}" if command.startswith("train") else f" {name}"
    assert said.replace("PLACE", str(Path.cwd())) in refused(capsys, monkeypatch, command)


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["assay", "--version"])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    assert capsys.readouterr().out.startswith("assay 0.")


def test_no_help_text_loses_what_stands_in_brackets() -> None:
    def texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
        yield name, command.help or ""
        for parameter in command.params:
            yield f"{name} {parameter.name}", getattr(parameter, "help", None) or ""
        for inner, other in getattr(command, "commands", {}).items():
            yield from texts(other, f"{name} {inner}")

    for place, text in texts(typer.main.get_command(app), "assay"):
        # Help is shown by rich, which takes [words] for markup.
        assert Text.from_markup(text).plain == text.replace("\\[", "["), place

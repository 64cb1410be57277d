"""Files that a command writes at its end: what cannot be written is said before the work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.common_options import output_file
from assay.cli.main import app
from assay.errors import ConfigError

WRITTEN = ("Write", "Draw", "The .json", "JSON lines: one")


def options(command: Any, name: str = "assay") -> Iterator[tuple[str, Any]]:
    """Every option of every command."""
    for part, inner in getattr(command, "commands", {}).items():
        yield from options(inner, f"{name} {part}")
    yield from ((f"{name} {parameter.opts[-1]}", parameter) for parameter in command.params)


def test_every_file_that_is_written_at_the_end_is_tried_at_the_start() -> None:
    written = {
        name: option
        for name, option in options(typer.main.get_command(app))
        if (getattr(option, "help", None) or "").startswith(WRITTEN) and not getattr(option, "is_flag", False)
    }
    assert "assay audit --json" in written
    assert len(written) >= 12
    no_files = {"assay sweep --publish", "assay prefer import --held-out"}
    assert {name for name, option in written.items() if option.callback is None} == no_files


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for bad, said in ((tmp_path, "is a folder"), (tmp_path / "file" / "out.json", "Not a directory")):
        with pytest.raises(ConfigError, match=said):
            output_file(bad)
    assert output_file(None) is None
    assert output_file(Path("/dev/stdout")) == Path("/dev/stdout")
    new = tmp_path / "a" / "b" / "out.json"
    assert output_file(new) == new
    assert new.parent.is_dir()
    assert not any(new.parent.iterdir())
    assert output_file(tmp_path / "file") == tmp_path / "file"
    assert (tmp_path / "file").read_text() == "kept"


def test_a_dash_is_no_file() -> None:
    with pytest.raises(ConfigError, match="/dev/stdout"):
        output_file(Path("-"))


def test_what_a_command_reads_is_not_written_over(tmp_path: Path) -> None:
    pair = {"prompt": "q", "chosen": "a", "rejected": "b"}
    pairs = tmp_path / "pairs.held-out.jsonl"
    pairs.write_text("".join(json.dumps({**pair, "prompt": f"q{number}"}) + "\n" for number in range(9)))
    table = tmp_path / "table.jsonl"
    table.write_text(json.dumps({"model_a": "x", "model_b": "y", "winner": "tie"}) + "\n")
    link = tmp_path / "link.jsonl"
    link.symlink_to(pairs)
    before = pairs.read_text(), table.read_text()
    for command in (
        ["import", pairs, pairs],
        ["import", pairs, tmp_path / "pairs.jsonl", "--held-out", "0.3"],
        ["import", link, pairs],
        ["import", tmp_path / "pairs.*.jsonl", pairs],
        ["export", pairs, pairs],
        ["stats", pairs, "--json", pairs],
        ["rate", table, "--json", table],
        ["judge", pairs, "openai:x", "--output", pairs],
        ["audit", pairs, "openai:x", "--json", pairs],
        ["agreement", "openai:x", "--labels", pairs, "--output", pairs],
    ):
        found = CliRunner().invoke(app, ["prefer", *map(str, command)])
        assert "written over" in str(found.exception), command
    assert (pairs.read_text(), table.read_text()) == before
    assert not (tmp_path / "pairs.jsonl").exists()


def test_a_file_is_written_before_the_first_line_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or `| head` would end the command without it."""
    table, out = tmp_path / "table.jsonl", tmp_path / "out.json"
    table.write_text(json.dumps({"model_a": "x", "model_b": "y", "winner": "tie"}) + "\n")

    def closed(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("rich.console.Console.print", closed)
    assert CliRunner().invoke(app, ["prefer", "rate", str(table), "--json", str(out)]).exit_code == 1
    assert "x" in json.loads(out.read_text())

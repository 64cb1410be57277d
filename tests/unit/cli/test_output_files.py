"""Files that a command writes at its end: what cannot be written is said before the work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

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

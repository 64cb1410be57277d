from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.models import fetch, list_models


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    app = typer.Typer()
    app.command("list")(list_models)
    app.command("fetch")(fetch)
    return app


def test_list_shows_what_is_fetched_with_its_whole_path(app: typer.Typer, tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "models" / "mine")
    result = CliRunner().invoke(app, ["list"])
    assert result.exit_code == 0
    default, mine = [line.split() for line in result.output.splitlines() if str(tmp_path) in line]
    assert default[:3] == ["default", "not", "fetched"]
    assert mine[:4] == ["mine", "fetched", "0.0", "M"]
    assert mine[-1] == str(tmp_path / "models" / "mine")


def test_fetch_prints_the_folder(app: typer.Typer, tiny_model: Path) -> None:
    result = CliRunner().invoke(app, ["fetch", str(tiny_model)])
    assert result.exit_code == 0
    assert result.output.strip() == str(tiny_model)

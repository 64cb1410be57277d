"""The search over answers as the command does it by default, on all ten planted flaws and their clean twins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.main import app

pytestmark = pytest.mark.slow
FLAWS = Path(__file__).parents[1] / "flaws"
WORLDS = {
    "contains": "Numbers",
    "last_digit": "Numbers",
    "self_declared": "Numbers",
    "both_letters": "Choices",
    "any_letter": "Choices",
    "shape_alone": "Records",
    "braces": "Records",
    "long_enough": "Records",
    "no_look": "Cupboard",
    "written_test": "Cupboard",
}


@pytest.mark.parametrize("flaw", WORLDS)
def test_every_planted_flaw_is_found_by_search_and_no_clean_twin(flaw: str, tmp_path: Path) -> None:
    output = tmp_path / "audit.json"
    run = ["audit", f"{FLAWS}/worlds.py:{WORLDS[flaw]}", "--json", str(output), "--verifier"]
    assert CliRunner().invoke(app, [*run, f"{FLAWS}/{flaw}.py:Flawed"]).exit_code == 3
    found = json.loads(output.read_text())["findings"]
    assert any(each["trick"].startswith("search: ") and each["rate"] == 1.0 for each in found)
    assert CliRunner().invoke(app, [*run, f"{FLAWS}/{flaw}.py:Clean"]).exit_code == 0

from __future__ import annotations

from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import ConfigError


def test_a_level_is_checked() -> None:
    done = CliRunner().invoke(app, ["check", "programs", "1", "--num-tasks", "3"])
    assert done.exit_code == 0
    assert "ok     complexity 1, one arithmetic expression: 3 tasks" in done.output
    table = CliRunner().invoke(app, ["check", "programs", "1", "--num-tasks", "3", "--markdown"])
    assert "| 1 | 3 |" in table.output


def test_an_unknown_level_names_the_range() -> None:
    done = CliRunner().invoke(app, ["check", "programs", "11"])
    assert isinstance(done.exception, ConfigError)
    assert "from 1 to 10" in str(done.exception)

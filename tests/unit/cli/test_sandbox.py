"""`assay sandbox selftest` as a user runs it."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import ConfigError, SandboxUnavailableError
from assay.sandbox import Sandbox

RUNNER = CliRunner()


def test_selftest_prints_what_held():
    result = RUNNER.invoke(app, ["sandbox", "selftest", "--area", "network"])
    if isinstance(result.exception, SandboxUnavailableError):
        pytest.skip(str(result.exception))
    assert result.exit_code == 0, result.output
    assert "backend            bubblewrap" in result.output
    assert "8 of 8 held" in result.output


def test_what_cannot_be_tested_is_refused():
    assert isinstance(RUNNER.invoke(app, ["sandbox", "selftest", "--backend", "unsafe"]).exception, ConfigError)
    unknown = RUNNER.invoke(app, ["sandbox", "selftest", "--area", "nothing"])
    assert isinstance(unknown.exception, ConfigError)
    assert "network" in str(unknown.exception)
    with pytest.raises(SandboxUnavailableError, match="none of auto"):
        Sandbox("nothing")  # type: ignore[arg-type]

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.adapters import ADAPTERS, folder_of, install, installed, interpreter_of, num_pins, venvs
from assay.errors import AdapterError, ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that an installation runs, in a world where they do what they say."""
    ran: list[list[str]] = []

    def run(command: list[str], say: object, name: str) -> None:
        ran.append(command)
        if "venv" in command:
            python = folder_of(name) / "bin" / "python"
            python.parent.mkdir(parents=True)
            python.write_text(
                '#!/bin/sh\ncase "$*" in *--version) echo Python 3.11.7;; *) echo \'[{"name": "it", '
                '"version": "1"}]\';; esac\n'
            )
            python.chmod(0o755)

    monkeypatch.setattr(venvs, "_run", run)
    return ran


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_has_the_versions_that_it_was_tested_with(name: str) -> None:
    pins = (Path(venvs.__file__).parent / "pins" / f"{name}.txt").read_text().splitlines()
    assert len(pins) == num_pins(name)
    assert all("==" in pin for pin in pins)
    for requirement in ADAPTERS[name].requirements:
        assert requirement.lower() in [pin.lower().replace("_", "-") for pin in pins]


def test_an_adapter_that_is_not_installed_names_the_command(home: Path) -> None:
    with pytest.raises(ConfigError, match="install it with: assay adapters install textarena"):
        interpreter_of("textarena")
    with pytest.raises(ConfigError, match="did you mean 'textarena'"):
        interpreter_of("textarina")


def test_an_installation_that_was_stopped_goes_on(commands: list[list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    whole = venvs._run

    def stopped(command: list[str], say: object, name: str) -> None:
        if "install" in command:
            raise AdapterError("no network")
        whole(command, print, name)

    monkeypatch.setattr(venvs, "_run", stopped)
    with pytest.raises(AdapterError, match="no network"):
        install("textarena")
    assert installed("textarena") is None
    monkeypatch.setattr(venvs, "_run", whole)
    stamp = install("textarena")
    assert sum("venv" in command for command in commands) == 1, "the environment is made once"
    assert stamp == installed("textarena")
    assert stamp["packages"] == {"it": "1"}
    assert interpreter_of("textarena").exists()
    before = len(commands)
    install("textarena")
    assert len(commands) == before, "nothing is left to do"
    install("textarena", again=True)
    assert sum("venv" in command for command in commands) == 2


def test_another_version_is_replaced(commands: list[list[str]]) -> None:
    install("textarena")
    stamp = folder_of("textarena") / "assay.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "requirements": ["textarena==0.7.3"]}))
    with pytest.raises(ConfigError, match=r"has textarena==0\.7\.3 installed"):
        interpreter_of("textarena")
    assert install("textarena")["requirements"] == list(ADAPTERS["textarena"].requirements)


def test_a_command_that_fails_says_its_last_line() -> None:
    with pytest.raises(AdapterError, match=r"no such package; that was: sh -c .*goes on where it stopped"):
        venvs._run(["sh", "-c", "echo a; echo no such package; exit 1"], print, "textarena")
    with pytest.raises(AdapterError, match="could not be installed"):
        venvs._run(["/nowhere/python"], print, "textarena")


def test_what_has_more_requirements_than_it_needs_gets_its_pins(commands: list[list[str]]) -> None:
    install("vllm")
    _, torch, pins = commands
    assert "--index-url" in torch
    assert torch[-1].startswith("torch==")
    assert {"--no-deps", "--requirement"} < set(pins)
    listed = Path(pins[-1]).read_text()
    assert "vllm" in listed
    assert "torchvision" not in listed

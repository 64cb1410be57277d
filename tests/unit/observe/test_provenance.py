from __future__ import annotations

import json
import platform
import subprocess
from pathlib import Path

import pytest

from assay.observe import provenance as asked
from assay.observe.provenance import git_state, machine, provenance, versions


@pytest.fixture(autouse=True)
def git_is_asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests ask once."""
    monkeypatch.setattr(asked, "_git", getattr(asked._git, "__wrapped__", asked._git))


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_git_state_says_commit_and_dirt(tmp_path: Path) -> None:
    git(tmp_path, "init", "-b", "work")
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    state = git_state(tmp_path)
    assert state is not None
    assert len(state["commit"]) == 40
    assert (state["branch"], state["dirty"]) == ("work", False)
    (tmp_path / "file").write_text("two")
    changed = git_state(tmp_path)
    assert changed is not None
    assert changed["dirty"] is True


def test_no_work_tree_and_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None
    monkeypatch.setenv("PATH", "")
    assert git_state() is None


def test_versions_and_machine() -> None:
    found = versions()
    assert found["python"] == platform.python_version()
    assert found["torch"].startswith("2.")
    here = machine()
    assert here["num_cores"] >= 1
    assert set(here) == {"system", "cpu", "num_cores", "memory_gb", "gpu"}
    json.dumps(provenance())

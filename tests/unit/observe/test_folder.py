from __future__ import annotations

import json
import math
import os
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.observe.folder import find_run, read_json, write_json
from assay.observe.store import STORE_NAME, RunStore


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for age, name in enumerate(("newest", "demo-1", "demo-2")):
        (tmp_path / name).mkdir()
        RunStore(tmp_path / name).close()
        os.utime(tmp_path / name / STORE_NAME, (1e9 - age, 1e9 - age))
    return tmp_path


def test_a_run_is_found_by_folder_name_or_as_the_latest(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs)
    assert find_run(runs / "demo-1", runs / "elsewhere") == runs / "demo-1"
    assert find_run("demo-1", runs).samefile(runs / "demo-1")
    assert find_run("latest", runs) == runs / "newest"
    # What a running run writes is in the log beside its store.
    (runs / "demo-2" / f"{STORE_NAME}-wal").touch()
    assert find_run("latest", runs) == runs / "demo-2"


def test_a_run_that_is_missing_gets_the_nearest_names(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"'demo-3' is no run; did you mean demo-\d or demo-\d\?"):
        find_run("demo-3", runs)
    with pytest.raises(RunFolderError, match=r"newest runs in .*: newest"):
        find_run("zzz", runs)
    with pytest.raises(RunFolderError, match="no run in"):
        find_run("latest", tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFolderError, match="not a run folder"):
        find_run(tmp_path / "empty", tmp_path / "none")


@pytest.mark.parametrize("content", ["{cut", "[1]", "\x00"])
def test_json_that_is_no_object_is_empty(tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    assert read_json(path) == {}
    path.write_text(content)
    assert read_json(path) == {}
    path.write_text('{"a": 1}')
    assert read_json(path) == {"a": 1}


def test_json_is_written_whole_and_without_numbers_that_json_has_not(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_json(path, {"a": [1.5, math.nan, -math.inf], "b": {"c": "é"}, "path": tmp_path})
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "a": [1.5, None, None],
        "b": {"c": "é"},
        "path": str(tmp_path),
    }
    assert [child.name for child in tmp_path.iterdir()] == ["summary.json"]

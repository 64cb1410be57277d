"""Files that are written whole or not at all."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from assay.observe.folder import write_json


def test_a_pipe_stays_one_and_gets_the_text(tmp_path: Path) -> None:
    pipe = tmp_path / "out.json"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_json(pipe, {"a": 1})
    reader.join(10)
    assert json.loads(read[0]) == {"a": 1}
    assert pipe.is_fifo()
    assert os.listdir(tmp_path) == ["out.json"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("old")
    (tmp_path / "link.json").symlink_to("kept.json")
    write_json(tmp_path / "link.json", [1])
    assert (tmp_path / "link.json").is_symlink()
    assert json.loads((tmp_path / "kept.json").read_text()) == [1]


def test_what_is_not_whole_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(TypeError):
        write_json(tmp_path / "out", {"first": "x" * 100_000, (1, 2): "no key of JSON"})
    assert (tmp_path / "out").read_text() == "old"


def test_half_a_surrogate_pair_comes_back(tmp_path: Path) -> None:
    write_json(tmp_path / "out.json", {"said \ud800": "é"})
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8")) == {"said \ud800": "é"}

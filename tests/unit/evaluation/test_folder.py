from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.evaluation import EvaluationFolder

SETTINGS = {"seed": 0, "sampling": {"temperature": 1.0}, "levels": [[1, 1]]}
PROVENANCE = {"versions": {"assay": "1"}}


def write(folder: Path, rows) -> None:
    with EvaluationFolder(folder, SETTINGS, PROVENANCE) as opened:
        for row in rows:
            opened.append(row)


def test_rows_come_back(make, tmp_path: Path):
    rows = list(make(["+-", "?+"]).rows)
    write(tmp_path / "a" / "b", rows)
    with EvaluationFolder(tmp_path / "a" / "b", SETTINGS, {"versions": {"assay": "2"}}) as again:
        assert again.rows == rows, "other versions do not make it another evaluation"
        path = again.write_scores({"num_tasks": 2})
    assert json.loads(path.read_text()) == {"num_tasks": 2, "provenance": {"versions": {"assay": "2"}}}
    recorded = json.loads((tmp_path / "a" / "b" / "settings.json").read_text())
    assert recorded == {"settings": SETTINGS, "provenance": PROVENANCE}


@pytest.mark.parametrize("cut", [1, 40])
def test_last_line_cut_by_a_kill_is_dropped(make, tmp_path: Path, cut: int):
    rows = list(make(["+-+"]).rows)
    write(tmp_path, rows)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(path.read_bytes()[:-cut])
    with EvaluationFolder(tmp_path, SETTINGS, PROVENANCE) as again:
        assert again.rows == rows[:2]
        again.append(rows[2])
    with EvaluationFolder(tmp_path, SETTINGS, PROVENANCE) as again:
        assert again.rows == rows


def test_the_latest_row_of_a_sample_counts(make, tmp_path: Path):
    first, second = make(["?"]).rows, make(["+"]).rows
    write(tmp_path, first + second)
    with EvaluationFolder(tmp_path, SETTINGS, PROVENANCE) as again:
        assert again.rows == list(second)


def test_changed_settings_are_named(tmp_path: Path):
    write(tmp_path, [])
    changed = {"seed": 0, "sampling": {"temperature": 0.5, "top_p": 0.9}, "levels": [[1, 1]]}
    message = r"sampling.temperature: 1.0 there, 0.5 now; sampling.top_p: not set there, 0.9 now\)"
    with pytest.raises(RunFolderError, match=message):
        EvaluationFolder(tmp_path, changed, PROVENANCE).__enter__()


def test_one_process_at_a_time(tmp_path: Path):
    with EvaluationFolder(tmp_path, SETTINGS, PROVENANCE), pytest.raises(RunFolderError, match="another process"):
        EvaluationFolder(tmp_path, SETTINGS, PROVENANCE).__enter__()
    write(tmp_path, [])


def test_damaged_files_are_named(make, tmp_path: Path):
    write(tmp_path, make(["+"]).rows)
    rows = tmp_path / "rows.jsonl"
    rows.write_bytes(b"[]\n" + rows.read_bytes())
    with pytest.raises(RunFolderError, match=r"line 1 of .*rows.jsonl"):
        write(tmp_path, [])
    (tmp_path / "settings.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"settings\.json cannot be read"):
        write(tmp_path, [])
    (tmp_path / "settings.json").unlink()
    with pytest.raises(RunFolderError, match=r"no settings\.json"):
        write(tmp_path, [])

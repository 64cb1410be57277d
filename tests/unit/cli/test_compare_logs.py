from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.compare import compare
from assay.errors import ConfigError, DataError
from assay.evaluation import EvalRow, EvaluationFolder
from assay.types import Score

app = typer.Typer()
app.command()(compare)
LOGS = Path(__file__).parents[2] / "foreign" / "logs"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "220"})
    assert result.exit_code == 0, result.output
    return result.output


def test_what_is_missing_is_said():
    printed = run(LOGS / "sums_before.json", LOGS / "sums_before.json", "--measure", "match")
    assert "3 samples were not measured, 1 tasks with all of theirs (3: RuntimeError('the sandbox died'))" in printed
    assert "the mean of all 3 tasks would be 44.4 % had they failed, 77.8 % had they been solved" in printed


def test_numbers_are_whole_whatever_the_width(monkeypatch: pytest.MonkeyPatch):
    """In a pipe, and on a narrow terminal: no number ends in an ellipsis."""
    arguments = ["compare", LOGS / "sums_before.json", LOGS / "sums_before.json"]
    monkeypatch.delenv("COLUMNS", raising=False)
    for width in (None, "60"):
        result = CliRunner().invoke(app, [str(a) for a in arguments[1:]], env={"COLUMNS": width})
        assert "…" not in result.output
        assert ("marks.content" in result.output) or width


def table(path: Path, scores: dict[str, float]) -> Path:
    path.write_text("".join(json.dumps({"id": key, "score": value}) + "\n" for key, value in scores.items()))
    return path


def test_tables_need_both_columns(tmp_path: Path):
    one, two = (
        table(tmp_path / "a.jsonl", {"x": 1, "y": 0, "z": 1}),
        table(tmp_path / "b.jsonl", {"z": 1, "x": 1, "w": 0}),
    )
    printed = run(one, two, "--task", "id", "--score", "score")
    assert "1 of 3 tasks are not in the other log, and left out" in printed
    with pytest.raises(ConfigError, match="both --task COLUMN and --score COLUMN"):
        run(one, two, "--task", "id")
    with pytest.raises(DataError, match="if it is a table"):
        run(one, two)


def test_an_evaluation_of_our_own_beside_a_table(tmp_path: Path):
    with EvaluationFolder(tmp_path / "own", {}, {}) as kept:
        for n in range(4):
            scores = {"score": Score.solved() if n else Score.failed("wrong")}
            kept.append(EvalRow(f"t{n}", n, 0, "all", "l", None, None, "?", "1", "2", "finished", 1, scores))
        kept.write_scores({})
    other = table(tmp_path / "b.jsonl", {f"t{n}": 1.0 for n in range(4)})
    printed = run(tmp_path / "own", other, "--task", "id", "--score", "score")
    assert "+25.0 [" in printed

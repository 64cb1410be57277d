from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError

RIGHT = "```python\ndef add(a, b):\n    return a + b\n```"
ROWS: list[dict[str, Any]] = [
    {"id": "mbpp", "response": RIGHT, "tests": ["assert add(1, 2) == 3", "assert add(0, 1) == 1"], "kept": [1]},
    {"id": "wrong", "response": "def add(a, b): return 3", "tests": ["assert add(1, 2) == 3", "assert add(0, 1) == 1"]},
    {
        "id": "humaneval",
        "response": "    return a + b\n",
        "prompt": 'def add(a, b):\n    """Adds."""\n',
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n",
        "entry_point": "add",
    },
    {"id": "setup", "response": RIGHT, "setup": "import math", "tests": ["assert add(1, 2) == 3"], "prompt": "Add."},
    {"id": "cases", "response": "print(int(input()) + 1)", "cases": [{"input": "1\n", "output": "2"}]},
    {"id": "cut", "response": RIGHT[:30], "tests": ["assert add(1, 2) == 3"], "finish_reason": "length"},
    {"id": "checker", "response": "print(1)", "cases": [{"output": "1"}], "checker": {"source": "1 / 0"}},
]
OUTCOMES = [
    ("solved", 1.0, "", ["accepted", "accepted"]),
    ("failed", 0.0, "wrong answer", ["accepted", "wrong answer"]),
    ("solved", 1.0, "", ["accepted"]),
    ("solved", 1.0, "", ["accepted"]),
    ("solved", 1.0, "", ["accepted"]),
    ("failed", 0.0, "cut off", []),
    ("not_measured", None, "checker failed", []),
]


def run(source: Path, target: Path, *arguments: str) -> str:
    result = CliRunner().invoke(app, ["verify", "code", "--input", str(source), "--output", str(target), *arguments])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_of_every_form_keep_their_order_and_fields(tmp_path: Path) -> None:
    source, target = write(tmp_path / "rows.jsonl", ROWS), tmp_path / "scored.jsonl"
    output = run(source, target)
    scored = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in scored] == [row["id"] for row in ROWS]
    for row, before, (outcome, value, reason, verdicts) in zip(scored, ROWS, OUTCOMES, strict=True):
        assert {key: row[key] for key in before} == before
        assert (row["outcome"], row["value"]) == (outcome, value)
        assert reason in row["reason"]
        assert [verdict["verdict"] for verdict in row["verdicts"]] == verdicts
    assert scored[1]["verdicts"][1]["detail"] == "got 3"
    assert "7 rows in" in output
    assert "4 solved, 2 failed, 1 not_measured" in output
    assert "failed: 1 cut off, 1 wrong answer" in output
    whole = target.read_text()
    target.write_text("".join(whole.splitlines(keepends=True)[:2]) + '{"id": "hum')
    assert "5 rows in" in run(source, target)
    assert target.read_text() == whole
    with pytest.raises(AssayError, match="another seconds"):
        run(source, target, "--timeout-seconds", "2")
    write(source, [{**ROWS[0], "tests": ["assert add(1, 2) == 4"]}])
    with pytest.raises(AssayError, match="line 1, is not row 1"):
        run(source, target)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": 1, "response": "x"}, "line 2: .*no tests"),
        ({"id": 1, "tests": ["assert f() == 1"]}, "line 2 lacks response"),
        ({"id": 1, "response": "x", "tests": ["assert f( == 1"]}, "line 2, test 1 is no Python"),
        ({"id": 1, "response": "x", "prompt": "def f():\n", "entry_point": "f"}, "line 2: .*no tests"),
        ({"id": 1, "response": "x", "test": "def check(c): pass"}, "line 2: .*entry_point"),
        ({"id": 1, "response": "x", "cases": [{"in": "1"}]}, "line 2: "),
        ({"id": 1, "response": "x", "answer": "42"}, "line 2: answer holds no tests"),
        ({"id": 1, "response": "x", "answer": "[" * 100_000 + "]" * 100_000}, "line 2: answer holds no tests"),
        ({"id": 1, "response": "x", "tests": ["assert f() == 1"], "verdicts": []}, "has a field 'verdicts' already"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named_before_any_is(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", [ROWS[0], row])
    with pytest.raises(AssayError, match=message):
        run(source, tmp_path / "scored.jsonl")
    assert not (tmp_path / "scored.jsonl").exists()


def test_options_that_have_no_effect_are_errors(tmp_path: Path) -> None:
    source = write(tmp_path / "rows.jsonl", ROWS[:1])
    with pytest.raises(AssayError, match="--bare has no effect with code"):
        run(source, tmp_path / "scored.jsonl", "--bare")

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import AssayError

ROWS = [
    {"id": "a", "response": "\\boxed{42}", "answer": "42", "source": "kept"},
    {"id": "b", "response": "\\boxed{41}", "answer": "42"},
    {"id": "c", "response": "\\boxed{(x+1)^2}", "answer": "x^2+2x+1"},
    {"id": 4, "response": "\\boxed{1}", "answer": "nan"},
    {"id": "e", "response": "\\boxed{4", "answer": 4, "finish_reason": "length"},
    {"id": "f", "response": "42\ud800", "answer": "42"},
]
OUTCOMES = [
    ("solved", 1.0, ""),
    ("failed", 0.0, "wrong"),
    ("solved", 1.0, ""),
    ("not_measured", None, "no answer to compare with"),
    ("failed", 0.0, "cut off"),
    ("failed", 0.0, "no answer"),
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def run(*arguments: str | Path, verifier: str = "math") -> str:
    result = CliRunner().invoke(app, ["verify", verifier, *map(str, arguments)])
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_keep_their_order_and_their_fields(rows: Path, tmp_path: Path) -> None:
    output = run("--input", rows, "--output", tmp_path / "scored.jsonl")
    scored = read(tmp_path / "scored.jsonl")
    assert [row["id"] for row in scored] == ["a", "b", "c", 4, "e", "f"]
    for row, (outcome, value, reason) in zip(scored, OUTCOMES, strict=True):
        assert (row["outcome"], row["value"]) == (outcome, value)
        assert reason in row["reason"]
    for row, before in zip(scored, ROWS, strict=True):
        assert {key: (row[key], type(row[key])) for key in before} == {
            key: (before[key], type(before[key])) for key in before
        }
    assert "6 rows in" in output
    assert "2 solved, 3 failed, 1 not_measured" in output


def test_it_goes_on_where_it_was_interrupted(rows: Path, tmp_path: Path) -> None:
    target = tmp_path / "scored.jsonl"
    run("--input", rows, "--output", target)
    whole = target.read_text()
    lines = whole.splitlines(keepends=True)
    target.write_text("".join(lines[:2]) + lines[2][:10])
    output = run("--input", rows, "--output", target)
    assert target.read_text() == whole
    assert "4 rows in" in output
    assert "1 rows in" in run("--input", rows, "--output", target), "what was not measured is scored again"
    assert target.read_text() == whole
    with pytest.raises(AssayError, match="another timeout_seconds"):
        run("--input", rows, "--output", target, "--timeout-seconds", "2")
    rows.write_text(json.dumps({**ROWS[0], "id": "other"}) + "\n")
    with pytest.raises(AssayError, match="line 1, is not row 1"):
        run("--input", rows, "--output", target)


def test_a_bare_expression(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": 1, "response": "1/2", "answer": "0.5"}) + "\n")
    run("--input", rows, "--output", tmp_path / "boxed.jsonl")
    run("--input", rows, "--output", tmp_path / "bare.jsonl", "--bare")
    assert [read(tmp_path / name)[0]["outcome"] for name in ("boxed.jsonl", "bare.jsonl")] == ["failed", "solved"]


def test_other_verifiers_and_their_options(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": 1, "response": "37 + 45 = 82", "answer": "82"}) + "\n")
    run("--input", rows, "--output", tmp_path / "a.jsonl", "--set", "after==", verifier="exact")
    assert read(tmp_path / "a.jsonl")[0]["outcome"] == "solved"
    with pytest.raises(AssayError, match="--workers has no effect with exact"):
        run("--input", rows, "--output", tmp_path / "b.jsonl", "--workers", "2", verifier="exact")
    with pytest.raises(AssayError, match="unknown verifier"):
        run("--input", rows, "--output", tmp_path / "b.jsonl", verifier="maths")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2 is not JSON"),
        ("[" * 100_000 + "]" * 100_000, "line 2 is not JSON of a row: it is nested more than 100 deep"),
        (
            '{"id": 1, "response": "2", "answer": "2", "more": %s}' % ("[" * 900 + "]" * 900),
            "line 2 is not JSON of a row",
        ),
        ("[1]", "line 2 holds list"),
        ('{"id": 1, "answer": "2"}', "line 2 lacks response"),
        ('{"id": 1, "response": "2", "answer": "2", "value": 3}', "has a field 'value' already"),
        ('{"id": 1, "response": 2, "answer": "2"}', "line 2: response is int"),
        ('{"id": 1, "response": "2", "answer": null}', "line 2: answer is NoneType"),
        ('{"id": 1, "response": "2", "answer": "2", "finish_reason": "eos"}', "finish_reason 'eos'"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_scored(rows: Path, tmp_path: Path, line: str, message: str) -> None:
    first = rows.read_text().splitlines()[0]
    rows.write_text(f"{first}\n{line}\n")
    with pytest.raises(AssayError, match=message):
        run("--input", rows, "--output", tmp_path / "scored.jsonl")
    assert not (tmp_path / "scored.jsonl").exists()


def test_lists_in_lists_are_kept(rows: Path, tmp_path: Path) -> None:
    nested = json.loads("[" * 99 + "]" * 99)
    rows.write_text(json.dumps({**ROWS[0], "more": nested}) + "\n")
    run("--input", rows, "--output", tmp_path / "scored.jsonl")
    assert read(tmp_path / "scored.jsonl")[0]["more"] == nested


@pytest.mark.parametrize(("verifier", "answer"), [("exact", "82"), ("numeric", 82)])
def test_hostile_text_is_counted_in_bounded_time_and_memory(verifier: str, answer: str | int, tmp_path: Path) -> None:
    small = ["\x00\x1b[2J\x07", "\u202e\u2067\u200f", "\ud800", "\udfff\ud800", "\u2028\u0085\r\n"]
    responses = ["<think>", *small, *(text * (10_000_000 // len(text)) for text in ("7", *small[:3]))]
    given = [{"id": text[:9], "response": text, "answer": answer, "more": [text[:9], 1.5]} for text in responses]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    files = ("--input", str(tmp_path / "rows.jsonl"), "--output", str(tmp_path / "out.jsonl"))
    # Not its resource usage: a child inherits the peak of the process that it was forked from.
    program = (
        "import sys; from pathlib import Path; from assay.cli.main import app; "
        "app(sys.argv[1:], standalone_mode=False); import time; "
        "print(Path('/proc/self/status').read_text(), 'CPU:', time.process_time())"
    )
    command = [sys.executable, "-c", program, "verify", verifier, *files]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert "0 solved, 10 failed, 0 not_measured" in said
    scored = read(tmp_path / "out.jsonl")
    assert [{key: row[key] for key in given[0]} for row in scored] == given
    # It takes 2 s and 0.7 GB: four responses of ten megabytes, and what one of them is as escaped JSON.
    assert float(said.partition("CPU:")[2]) < 30
    peak_kilobytes = int(said.partition("VmHWM:")[2].split()[0])
    assert peak_kilobytes < 1 << 20


def test_no_rows_and_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(AssayError, match="cannot be read"):
        run("--input", tmp_path / "none.jsonl", "--output", tmp_path / "scored.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(AssayError, match="has no rows"):
        run("--input", tmp_path / "empty.jsonl", "--output", tmp_path / "scored.jsonl")


def test_the_end_says_what_could_not_be_read_and_which_option_reads_it(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    responses = ["The answer is 42.", "So 40 + 2 = 42", "\\boxed{41}"]
    rows.write_text(
        "".join(json.dumps({"id": i, "response": r, "answer": "42"}) + "\n" for i, r in enumerate(responses))
    )
    output = run("--input", rows, "--output", tmp_path / "strict.jsonl")
    assert "failed: 2 no answer, 1 wrong" in output
    assert "2 had no answer in a box; --prose reads" in " ".join(output.split())
    output = run("--input", rows, "--output", tmp_path / "prose.jsonl", "--prose")
    assert "2 solved, 1 failed" in output
    assert "--prose" not in output
    with pytest.raises(AssayError, match="give one"):
        run("--input", rows, "--output", tmp_path / "both.jsonl", "--prose", "--bare")
    with pytest.raises(AssayError, match="--prose has no effect with exact"):
        run("--input", rows, "--output", tmp_path / "exact.jsonl", "--prose", verifier="exact")


def test_a_gold_answer_as_gsm8k_writes_it_is_read(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    gold = "He has 3 * 4 = <<3*4=12>>12 apples.\n#### 12"
    rows.write_text(
        "".join(json.dumps({"id": r, "response": f"\\boxed{{{r}}}", "answer": gold}) + "\n" for r in ["12", "13"])
    )
    run("--input", rows, "--output", tmp_path / "scored.jsonl")
    assert [row["outcome"] for row in read(tmp_path / "scored.jsonl")] == ["solved", "failed"]


def test_the_option_that_the_help_names_is_one(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": 1, "response": "#### 42", "answer": "42"}) + "\n")
    settings = ("--set", "answer_form=after", "--set", "marker=####", "--set", "decimals=2")
    for setting in ("answer_form=after", "marker=####", "decimals=2"):
        assert setting in " ".join(CliRunner().invoke(app, ["verify", "--help"], env={"COLUMNS": "400"}).output.split())
    assert "1 solved" in run("--input", rows, "--output", tmp_path / "scored.jsonl", *settings)


def test_why_rows_were_not_measured_is_told(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text(
        "def wrong(prompt):\n    return [1.0]\n\ndef fails(completions, **kw):\n    1 / 0\n"
    )
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"id": i, "response": "2", "answer": "2"}) + "\n" for i in range(5)))
    for name, function, cause in (
        ("trl", "wrong", r"TypeError: wrong\(\) missing 1 required positional argument: 'prompt'"),
        ("trl", "fails", r"ZeroDivisionError: .*theirs\.py, line 5, in fails"),
        ("python", "wrong", r"TypeError: wrong\(\) takes 1 positional argument but 2 were given"),
    ):
        output = tmp_path / f"{name}-{function}.jsonl"
        setting = f"function={tmp_path}/theirs.py:{function}"
        said = run("--set", setting, "--input", rows, "--output", output, verifier=name)
        assert re.search(rf"not measured: 5 because of: .*{cause}", said)


def test_rewards_that_are_numbers_are_counted_as_such(tmp_path: Path) -> None:
    (tmp_path / "theirs.py").write_text("def length(completions, **kwargs):\n    return [len(completions[0])]\n")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"id": 1, "response": "four", "answer": "82"}) + "\n")
    options = ("--set", f"function={tmp_path}/theirs.py:length", "--set", "conversational=false")
    output = run("--input", rows, "--output", tmp_path / "a.jsonl", *options, verifier="trl")
    assert [read(tmp_path / "a.jsonl")[0][key] for key in ("outcome", "value")] == ["graded", 4.0]
    assert "a second: 1 graded, 0 not_measured" in output

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.horizon import horizon
from assay.errors import ConfigError, DataError
from foreign.horizon_table import AGENTS, metr_rows

app = typer.Typer()
app.command()(horizon)

COLUMNS = ("--success", "solved", "--difficulty", "minutes")


def run(*arguments: object) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def write(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".parquet":
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def simple(*solved: float) -> list[dict]:
    return [{"solved": each, "minutes": 2**power, "model": "a"} for power, each in enumerate(solved)]


@pytest.mark.usefixtures("pictures")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_table_of_metrs_shape(tmp_path: Path, kind: str):
    file = write(tmp_path / f"runs.{kind}", metr_rows())
    options = ["--success", "score_cont", "--difficulty", "human_minutes", "--weight", "invsqrt_task_weight"]
    options += ["--by", "alias", "--group", "task_family", "--group", "task_id", "--bootstrap", 100]
    printed = run(file, *options, "--json", tmp_path / "out.json", "--plot", tmp_path / "fit.svg")
    found = json.loads((tmp_path / "out.json").read_text())
    assert list(found) == list(AGENTS)
    for each in found.values():
        assert {"p50", "low", "high", "p80", "num"} <= each.keys()
        assert each["low"] < each["p50"] < each["high"]
        assert each["p80"] < each["p50"]
        assert each["num"] == 300
    assert found["strong"]["p50"] > found["middle"]["p50"] > found["weak"]["p50"]
    assert "<svg" in (tmp_path / "fit.svg").read_text()
    assert "beside weights that sum to 1" in printed
    assert "weigh 1 together, so that the regularisation pulls 300 times as much" in printed


@pytest.mark.usefixtures("pictures")
def test_without_by_the_one_key_is_all(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1, 1, 0, 1, 0, 0))
    run(file, *COLUMNS, "--json", tmp_path / "deep" / "out.json", "--plot", tmp_path / "fit.png")
    assert list(json.loads((tmp_path / "deep" / "out.json").read_text())) == ["all"]
    assert (tmp_path / "fit.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_seed_gives_the_same_interval(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1, 1, 0, 1, 0, 0))
    texts = []
    for seed in (0, 0, 1):
        run(file, *COLUMNS, "--seed", seed, "--json", tmp_path / "out.json")
        texts.append((tmp_path / "out.json").read_text())
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_ridge_is_stated_and_settable(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1, 1, 0, 1, 0, 0))
    slopes = []
    for option in ([], ["--regularization", 0], ["--lambda", 10]):
        printed = run(file, *COLUMNS, *option, "--json", tmp_path / "out.json")
        assert "regularisation" in printed
        slopes.append(json.loads((tmp_path / "out.json").read_text())["all"]["slope"])
    assert slopes[1] < slopes[0] < slopes[2] < 0


def test_a_rating_is_taken_as_it_is(tmp_path: Path):
    rows = [{"solved": s, "elo": 100 * n - 300} for n, s in enumerate([1, 1, 0, 1, 0, 1, 0, 0])]
    file = write(tmp_path / "t.csv", rows)
    with pytest.raises(DataError, match=r"line 2: 'elo' .*above 0.*--difficulty-scale rating"):
        run(file, "--success", "solved", "--difficulty", "elo")
    run(
        file,
        "--success",
        "solved",
        "--difficulty",
        "elo",
        "--difficulty-scale",
        "rating",
        "--json",
        tmp_path / "o.json",
    )
    assert -300 < json.loads((tmp_path / "o.json").read_text())["all"]["p50"] < 400


def test_words_for_success_and_values_that_are_missing(tmp_path: Path):
    file = tmp_path / "t.csv"
    file.write_text("solved,minutes\ntrue,1\nTrue,2\nfalse,4\ntrue,8\nFALSE,16\n,32\ntrue,\nNaN,4\n")
    printed = run(file, *COLUMNS)
    assert "3 of 8 rows were left out: 2 without 'solved', 1 without 'minutes'" in printed


def test_columns_inside_columns(tmp_path: Path):
    rows = [{"score": {"value": s}, "task": {"minutes": 2**n}} for n, s in enumerate([1, 1, 0, 1, 0, 0])]
    run(write(tmp_path / "t.jsonl", rows), "--success", "score.value", "--difficulty", "task.minutes")


def test_what_the_rows_leave_open_is_said(tmp_path: Path):
    rows = [
        *({**row, "model": "best"} for row in simple(1, 1, 1, 1, 1, 1, 1)),
        *({**row, "model": "worst"} for row in simple(0, 0, 0, 0, 0, 0, 0)),
        *({**row, "model": "sharp"} for row in simple(1, 1, 1, 0, 0, 0, 0)),
        *({**row, "model": "odd"} for row in simple(0, 0, 1, 0, 1, 1, 1)),
        {"solved": 1, "minutes": 4, "model": "single"},
    ]
    printed = run(write(tmp_path / "t.jsonl", rows), *COLUMNS, "--by", "model", "--json", tmp_path / "o.json")
    assert "best: every attempt succeeded: the horizon is at or above the hardest task, 64" in printed
    assert "worst: every attempt failed: the horizon is at or below the easiest task, 1" in printed
    assert "sharp: separated: nothing failed below 8 and nothing succeeded above 4" in printed
    assert "odd: success does not fall with difficulty" in printed
    assert "single: 1 row with a weight above 0: too few to fit two coefficients" in printed
    found = json.loads((tmp_path / "o.json").read_text())
    assert (found["best"]["p50"], found["best"]["high"]) == (64, None)
    assert (found["worst"]["p50"], found["worst"]["low"]) == (1, None)
    assert found["sharp"]["slope"] is None
    assert (found["sharp"]["low"], found["sharp"]["high"]) == (None, None)
    assert found["odd"]["p50"] is None


def test_without_a_bootstrap_a_fit_has_no_interval(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1, 1, 0, 1, 0, 0))
    printed = run(file, *COLUMNS, "--bootstrap", 0)
    assert "no bootstrap, no intervals" in printed
    assert "open" not in printed, "an end is open where the tasks leave it so"


def test_a_table_that_tells_nothing_is_an_error(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1))
    with pytest.raises(DataError, match="tells no horizon"):
        run(file, *COLUMNS)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--success", "score"), r"no column 'score' \(--success\); it has 'solved', 'minutes', 'model'"),
        (("--by", "agent"), r"no column 'agent' \(--by\)"),
        (("--group", "family"), r"no column 'family' \(--group family\)"),
        (("--success", "minutes"), r"line 2: 'minutes' \(--success\) is 2; expected a success from 0 to 1"),
        (("--difficulty", "model"), r"line 1: 'model' \(--difficulty\) is 'a'; expected a number"),
    ],
)
def test_what_cannot_be_read(tmp_path: Path, option: tuple[str, str], message: str):
    file = write(tmp_path / "t.jsonl", simple(1, 0, 1, 0))
    with pytest.raises(DataError, match=message):
        run(file, *COLUMNS, *option)


def test_more_that_cannot_be(tmp_path: Path):
    file = write(tmp_path / "t.jsonl", simple(1, 0, 1, 0))
    with pytest.raises(ConfigError, match=r"\.png, \.svg, \.pdf"):
        run(file, *COLUMNS, "--plot", "fit.doc")
    with pytest.raises(ConfigError, match="each level once"):
        run(file, *COLUMNS, "--group", "model", "--group", "model")
    with pytest.raises(DataError, match="no data file"):
        run(tmp_path / "none.csv", *COLUMNS)
    (tmp_path / "empty.jsonl").write_text("")
    with pytest.raises(DataError, match="has no rows"):
        run(tmp_path / "empty.jsonl", *COLUMNS)

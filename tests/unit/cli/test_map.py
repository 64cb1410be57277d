from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.map import map_models
from assay.errors import ConfigError, DataError, RunFolderError

app = typer.Typer()
app.command()(map_models)

QUICK = ("--complexity", "1,2", "--horizon", "1,2", "--max-new-tokens", "4", "--max-tasks", "8", "--budget", "2000")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_maps_two_environments_and_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = (tiny_model, "--environments", "arithmetic,chain", *QUICK, "--output", out)
    printed = run(*options)
    assert "## arithmetic" in printed
    assert "Lengths are in updates." in printed
    assert "episodes" in printed, "progress"
    said = read(out / "map.json")
    assert {label: len(found["models"]["model"]["cells"]) for label, found in said["environments"].items()} == {
        "arithmetic": 4,
        "chain": 4,
    }
    assert said["sampled_tokens"] <= 2000
    units = read(out / "units.json")
    assert units["chain c1 h2"]["actions"] == 2
    assert units["chain c1 h2"]["tokens"] > units["chain c1 h1"]["tokens"]
    assert units["arithmetic c1 h2"]["actions"] == 1, "one message, whatever the number of operations"
    assert len(read(out / "table.json")) == 8
    from pyarrow import parquet

    table = parquet.read_table(out / "table.parquet")
    assert table.num_rows == 8
    assert {"model", "environment", "complexity", "horizon", "solved", "low", "high", "num_tasks"} <= set(
        table.column_names
    )
    assert {"map.png", "map.svg", "report.md"} <= {path.name for path in out.iterdir()}
    rows = out / "model" / "chain" / "rows.jsonl"
    before = rows.read_bytes()
    # A row that a kill took is sampled again, and nothing else.
    rows.write_bytes(before[: before.rstrip(b"\n").rfind(b"\n") + 1])
    run(*options)
    assert sorted(rows.read_bytes().splitlines()) == sorted(before.splitlines())
    again = read(out / "map.json")
    assert again["environments"] == said["environments"]
    assert "Lengths are in tokens of the expert." in run(*options, "--axis", "tokens")
    assert rows.stat().st_size == len(before), "another axis samples nothing"
    with pytest.raises(RunFolderError, match="other settings"):
        run(*options, "--seed", 1)


def test_models_are_compared_on_the_same_tasks(tiny_model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_model, other)
    out = tmp_path / "out"
    printed = run(tiny_model, other, *QUICK, "--horizon", "1", "--output", out)
    assert "### other beside model, on the same tasks" in printed
    assert "no difference is shown" in printed
    tasks = [
        sorted(json.loads(line)["task_id"] for line in (out / name / "arithmetic" / "rows.jsonl").open())
        for name in ("model", "other")
    ]
    assert tasks[0] == tasks[1]


def test_a_file_of_tasks_has_no_dials(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"Say {i}.", "answer": str(i)}) + "\n" for i in range(300)))
    printed = run(
        tiny_model, "--environments", "rows", "--set", f"rows.path={path}", "--horizon", "1,2", "--max-new-tokens", 2,
        "--max-tasks", 8, "--output", tmp_path / "out",
    )  # fmt: skip
    assert "rows has no horizon dial: its map is one column, and --horizon says nothing of it" in printed
    assert "No horizon is fitted" in printed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (("--budget", 20), DataError, "a budget of 20 tokens says nothing of 4 cells"),
        (("--environments", ","), ConfigError, "expected names"),
        (("--set", "maze.pays_turns=true"), ConfigError, "name one of the environments first, such as arithmetic.KEY"),
        (("--set", "arithmetic=3"), ConfigError, "name an option of it"),
        (("--reading", "kind"), ConfigError, "arithmetic has strict, lenient"),
        (("--horizon", "1000"), DataError, "horizon"),
    ],
)
def test_what_cannot_be_mapped_is_said(
    tiny_model: Path, tmp_path: Path, options: tuple[object, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tiny_model, *QUICK, *options, "--output", tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/*/rows.jsonl")) or not any(
        path.stat().st_size for path in (tmp_path / "out").glob("*/*/rows.jsonl")
    ), "nothing was spent"

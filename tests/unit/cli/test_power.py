from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.power import power
from assay.errors import ConfigError, RunFolderError
from assay.evaluation import EvalRow, EvaluationFolder
from assay.types import Score

app = typer.Typer()
app.command()(power)


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.output


def cells(printed: str, *begin: str) -> list[str]:
    """The cells of the first line of a table that begins so."""
    for line in printed.splitlines():
        parts = [part.strip() for part in line.strip("│┃ ").split("│")]
        if tuple(parts[: len(begin)]) == begin:
            return parts
    raise AssertionError(f"no line {begin} in {printed}")


def keep(folder: Path, tasks: list[str], seconds: float | None = None) -> Path:
    """An evaluation of tasks with a sample for each letter, "s" where it is solved; 10 tokens each."""
    with EvaluationFolder(folder, {}, {}) as kept:
        for index, letters in enumerate(tasks):
            for sample, letter in enumerate(letters):
                scores = {"strict": Score.solved() if letter == "s" else Score.failed("wrong")}
                kept.append(
                    EvalRow(f"t{index}", index, sample, "d", "l", None, None, "?", "1", "2", "finished", 10, scores)
                )
        pace = {} if seconds is None else {"pace": {"samples": sum(map(len, tasks)), "seconds": seconds}}
        kept.write_scores(pace)
    return folder


def keep_run(folder: Path, gain: float) -> Path:
    folder.mkdir()
    summary = {"sampled_tokens": 50_000, "seconds": 600.0, "gain": {"value": gain}}
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_of_an_accuracy_alone():
    """40 %, +10 points: within 0.24 and 5/6 of it, gains 1/6 * E[(1-p)^2] - 0.01 = 1/6 * 0.36 - 0.01 = 0.05: variance
    0.49; (1.96 + 0.84)^2 * 0.49 / 0.01 = 385 tasks of one sample and one seed, and two for Student's t."""
    printed = run("--gain", 10, "--accuracy", 40)
    assert int(cells(printed, "1", "1")[2]) == pytest.approx(386, abs=2)
    assert int(cells(printed, "8", "1")[2]) < 150
    assert cells(printed, "1", "1")[3:] == ["unknown"] * 4
    assert "as much as can be" in printed
    assert "is left out" in printed


def test_tokens_and_minutes_are_those_that_were_measured(tmp_path: Path):
    before = keep(tmp_path / "before", ["ss--", "s---", "----", "ssss"] * 5, seconds=40.0)
    runs = [keep_run(tmp_path / "one", 0.30), keep_run(tmp_path / "two", 0.34)]
    printed = run("--gain", 20, "--before", before, "--run", runs[0], "--run", runs[1], "--samples", 4, "--seeds", 3)
    line = cells(printed, "4", "3")
    tasks = int(line[2])
    assert int(line[3].replace(",", "")) == tasks * 4 * 4 * 10, "before, and after each of three runs"
    assert float(line[4]) == pytest.approx(tasks * 4 * 4 * 0.5 / 60, abs=0.06)
    assert line[5:] == ["150,000", "30.0"]
    assert "gains of 2 runs have a standard deviation of 2.8 points" in printed


def test_an_evaluation_with_several_samples_says_more_than_one_without(tmp_path: Path):
    """Tasks that are always or never solved need no more than those that change."""
    sure = keep(tmp_path / "sure", ["ssss", "----"] * 10)
    alike = keep(tmp_path / "alike", ["ss--"] * 20)
    needed = [int(cells(run("--gain", 10, "--before", each), "1", "1")[2]) for each in (sure, alike)]
    assert needed[0] < needed[1] / 2


def test_evaluations_before_and_after(tmp_path: Path):
    before, after = (
        keep(tmp_path / "b", ["ss--", "s---", "----"] * 10),
        keep(tmp_path / "a", ["ssss", "s---", "-s--"] * 10),
    )
    printed = run("--gain", 10, "--before", before, "--after", after)
    assert "gains of tasks: as in" in printed


def test_which_gain_tasks_can_show():
    printed = run("--tasks", 390, "--accuracy", 40, "--seeds", 1, "--samples", 1)
    assert cells(printed, "1", "1")[2] == "+10.0"
    assert cells(run("--tasks", 2, "--accuracy", 90, "--seeds", 1, "--samples", 1), "1", "1")[2] == "none"


def test_seeds_that_differ_too_much():
    printed = run("--gain", 5, "--accuracy", 40, "--seed-spread", 10)
    assert cells(printed, "1", "3")[2] == "never"
    assert "more seeds are" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--accuracy", 40), "say --gain POINTS"),
        (("--accuracy", 40, "--gain", 5, "--tasks", 100), "say --gain POINTS"),
        (("--gain", 5), "--accuracy PERCENT or --before"),
        (("--gain", 0, "--accuracy", 40), "not 0"),
        (("--gain", 30, "--accuracy", 90), "cannot gain"),
        (("--gain", -30, "--accuracy", 20), "a share of 0.2 cannot lose 0.3: at most 0.2"),
        (("--gain", 5, "--accuracy", 40, "--after", "x"), "--after needs --before"),
        (("--gain", 5, "--accuracy", 40, "--before", "x"), "--accuracy has no effect beside --before"),
        (("--gain", 5, "--accuracy", 40, "--reading", "strict"), "--reading has no effect without --before"),
    ],
)
def test_what_cannot_be_asked(arguments: tuple, message: str):
    with pytest.raises(ConfigError, match=message):
        run(*arguments)


def test_what_is_no_run(tmp_path: Path):
    with pytest.raises(RunFolderError, match="no run that has ended"):
        run("--gain", 5, "--accuracy", 40, "--run", tmp_path)
    with pytest.raises(RunFolderError, match="no finished evaluation"):
        run("--gain", 5, "--before", tmp_path)


def test_a_reading_that_nobody_took(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"--reading judge: .* was read by strict"):
        run("--gain", 5, "--before", keep(tmp_path / "before", ["sf"] * 4), "--reading", "judge")

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from assay.cli.compare import compare
from assay.errors import DataError, RunFolderError
from assay.evaluation import EvalRow, EvaluationFolder
from assay.types import Score

app = typer.Typer()
app.command()(compare)

EXACT = {"strict": {"name": "exact"}, "lenient": {"name": "numeric"}}


def row(index: int, solved: str, level: str) -> EvalRow:
    """A task that these readings ("s" strict, "l" lenient) take for solved."""
    verdicts = {"strict": "s" in solved, "lenient": "l" in solved}
    scores = {reading: Score.solved() if right else Score.failed("wrong") for reading, right in verdicts.items()}
    return EvalRow(f"t{index}", index, 0, "d", level, None, None, "?", f"{index}", solved, "finished", 3, scores)


def keep(folder: Path, solved: list[str], verifiers: dict = EXACT, finished: bool = True) -> Path:
    levels = ["c1 h1"] * 2 + ["c2 h1"] * (len(solved) - 2)
    with EvaluationFolder(folder, {"verifiers": verifiers}, {}) as kept:
        for index, (each, level) in enumerate(zip(solved, levels, strict=True)):
            kept.append(row(index, each, level))
        if finished:
            kept.write_scores({})
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False, env={"COLUMNS": "200"})
    assert result.exit_code == 0
    return result.output


def test_gains_by_level_and_the_smallest_is_claimed(tmp_path: Path):
    """Strict: 1 of 4 to 4 of 4. Lenient: 3 of 4 to 4 of 4, one better and none worse."""
    before = keep(tmp_path / "before", ["sl", "l", "l", ""])
    after = keep(tmp_path / "after", ["sl a", "sl b", "sl c", "sl d"])
    printed = run(before, after, "--output", tmp_path / "out.json")
    assert "+75.0 [" in printed
    assert "gain: +25.0 [" in printed
    assert "(lenient)" in printed
    assert "caution" not in printed
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["levels"]["all"]["strict"]["value"] == 0.75
    assert found["levels"]["c2 h1"]["lenient"]["value"] == 0.5
    assert (found["claimed"]["num_improved"], found["claimed"]["num_worsened"]) == (1, 0)


def test_gains_by_environment_where_there_are_several(tmp_path: Path):
    """Of two environments with two tasks each: a from 0 of 2 to 2 of 2, b from 1 of 2 to 0 of 2."""
    folders = []
    for name, solved in (("before", ["", "sl", "", ""]), ("after", ["sl", "", "sl", ""])):
        with EvaluationFolder(tmp_path / name, {"verifiers": EXACT}, {}) as kept:
            for index, each in enumerate(solved):
                kept.append(replace(row(index, each, "c1 h1"), domain="ab"[index % 2]))
            kept.write_scores({})
        folders.append(tmp_path / name)
    printed = run(*folders, "--output", tmp_path / "out.json")
    assert "environment a" in printed
    found = json.loads((tmp_path / "out.json").read_text())["levels"]
    gains = {name: found[f"environment {name}"]["strict"]["value"] for name in "ab"}
    assert (gains, found["all"]["strict"]["value"]) == ({"a": 1.0, "b": -0.5}, 0.25)


def test_rows_pair_by_task_not_by_order(tmp_path: Path):
    before = keep(tmp_path / "before", ["sl", ""])
    after = tmp_path / "after"
    with EvaluationFolder(after, {"verifiers": EXACT}, {}) as kept:
        for each in (row(1, "", "c1 h1"), row(0, "sl", "c1 h1")):
            kept.append(each)
        kept.write_scores({})
    assert "gain: +0.0 [" in run(before, after)


def test_a_single_answer_is_told(tmp_path: Path):
    before, after = keep(tmp_path / "before", [""] * 4), keep(tmp_path / "after", ["s"] * 4)
    assert "caution, after: 100 % of the responses are the same text: 's'" in run(before, after)


def test_what_cannot_be_compared(tmp_path: Path):
    one = keep(tmp_path / "one", ["s", "s"])
    with pytest.raises(DataError, match=r"has 2 tasks and .* 3, 2 of them the same"):
        run(one, keep(tmp_path / "more", ["s", "s", "s"]))
    with pytest.raises(DataError, match=r"strict is .*exact.* and .*format"):
        run(one, keep(tmp_path / "other", ["s", "s"], {**EXACT, "strict": {"name": "format"}}))
    with pytest.raises(RunFolderError, match="no finished evaluation"):
        run(one, keep(tmp_path / "unfinished", ["s", "s"], finished=False))
    elsewhere = tmp_path / "elsewhere"
    with EvaluationFolder(elsewhere, {"verifiers": {}}, {}) as kept:
        for index in range(2):
            kept.append(replace(row(index, "s", "c1 h1"), scores={"judge": Score.solved()}))
        kept.write_scores({})
    with pytest.raises(DataError, match=r"was read by strict, lenient and .* by judge"):
        run(one, elsewhere)


@pytest.mark.parametrize(
    ("name", "most", "said"),
    [
        ("rows.jsonl", -9, "rows.jsonl has 1 samples of 2"),
        ("rows.jsonl", 0, "rows.jsonl has 0 samples of 2"),
        ("settings.json", -9, "settings.json cannot be read"),
    ],
)
def test_half_an_evaluation(tmp_path: Path, name: str, most: int, said: str) -> None:
    """What was copied while it was written, or until the disk was full."""
    whole, half = keep(tmp_path / "whole", ["s", "s"]), keep(tmp_path / "half", ["s", "s"])
    (half / "scores.json").write_text('{"num_samples": 2}')
    run(whole, half)
    (half / name).write_bytes((half / name).read_bytes()[:most])
    for sides in ((whole, half), (half, whole)):
        with pytest.raises(RunFolderError, match=f"half.{said}.*copy it once more"):
            run(*sides)
    (half / "rows.jsonl").write_text("")
    with pytest.raises(RunFolderError, match="has 0 samples"):
        run(half, whole, "--measure", "strict")


def keep_samples(folder: Path, solved: list[str]) -> Path:
    """Tasks with a sample for each letter, "s" where it is solved."""
    with EvaluationFolder(folder, {"verifiers": EXACT}, {}) as kept:
        for index, letters in enumerate(solved):
            for sample, letter in enumerate(letters):
                kept.append(replace(row(index, "sl" if letter == "s" else "", "c1 h1"), sample=sample))
        kept.write_scores({})
    return folder


def test_pass_at_k_is_told_for_as_many_samples_as_both_have(tmp_path: Path):
    """Of four samples: 1 of 4 and 0 of 4 before; pass@2 is (1 - 3/6) / 2 = 1/4. After, 4 of 4 and 2 of 4: 11/12."""
    before = keep_samples(tmp_path / "before", ["s---", "----"])
    after = keep_samples(tmp_path / "after", ["ssss", "ss--"])
    printed = run(before, after, "--output", tmp_path / "out.json")
    assert "pass@2, strict: before 25.0 % [" in printed
    assert ", after 91.7 % [" in printed
    assert "pass@4, strict: before 50.0 % [" in printed
    assert "pass@8" not in printed
    found = json.loads((tmp_path / "out.json").read_text())["pass_at_k"]["strict"]
    assert found["2"]["before"]["value"] == pytest.approx(0.25)
    assert found["4"]["after"]["value"] == 1.0


@pytest.mark.parametrize(
    ("samples", "largest"), [((1, 4), None), ((2, 4), 2), ((3, 4), 2), ((4, 4), 4), ((8, 5), 4), ((8, 16), 8)]
)
def test_pass_at_k_needs_the_samples_on_both_sides(tmp_path: Path, samples: tuple[int, int], largest: int | None):
    one, other = (
        keep_samples(tmp_path / name, ["s" + "-" * (n - 1), "-" * n]) for name, n in zip("ab", samples, strict=True)
    )
    printed = run(one, other)
    assert ("pass@" in printed) == (largest is not None)
    if largest:
        assert f"pass@{largest}, strict" in printed
        assert f"pass@{2 * largest}," not in printed


def test_turns_horizons_and_what_was_set_apart_are_told(tmp_path: Path):
    """Four levels of two horizons: h1 from 1 of 2 to 2 of 2, h4 from 0 of 2 to 1 of 2."""

    def kept(name: str, others: dict, solved: str) -> Path:
        settings = {"verifiers": EXACT, "environment": {"name": "rooms"}, **others}
        with EvaluationFolder(tmp_path / name, settings, {}) as folder:
            for index, (right, (c, h)) in enumerate(zip(solved, [(1, 1), (2, 1), (1, 4), (2, 4)], strict=True)):
                one = row(index, "sl" if right == "+" else "", f"c{c} h{h}")
                folder.append(replace(one, complexity=c, horizon=h, num_turns=h, ending="truncated: turns"))
            folder.write_scores({})
        return tmp_path / name

    before, after = kept("before", {}, "+---"), kept("after", {"scaffold": {"name": "notes"}}, "++-+")
    printed = run(before, after, "--output", tmp_path / "out.json")
    levels = json.loads((tmp_path / "out.json").read_text())["levels"]
    assert {level: levels[level]["strict"]["value"] for level in ("h1", "h4", "all")} == {
        "h1": 0.5,
        "h4": 0.5,
        "all": 0.5,
    }
    assert 'scaffold.name: "plain" before, "notes" after' in printed
    assert "environment" not in printed, "it is the same"
    assert "before: 2.5 turns on average; ended: truncated: turns 4" in printed

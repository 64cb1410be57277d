"""A gain in parts, each task by hand; the parts add up whatever happened."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from assay.evaluation import Evaluation
from assay.evaluation.attribution import CAUSES, Attribution, attribute
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.row import EvalRow
from assay.observe.folder import write_json
from assay.observe.report import write_report
from assay.types import Score


def row(task: int, marks: str, response: str = "", ending: str = "finished") -> EvalRow:
    """One attempt: "1" solved, "0" failed, "-" not measured, strictly and leniently."""
    strict, lenient = map(score, marks)
    said = response or f"response {task} {marks}"
    return EvalRow(
        f"t{task}",
        task,
        0,
        "d",
        "c1 h1",
        1,
        1,
        "q",
        f"answer {task}",
        said,
        ending,
        3,
        {"strict": strict, "lenient": lenient},
    )


def score(mark: str) -> Score:
    return {"1": Score.solved(), "0": Score.failed(), "-": Score.not_measured("died")}[mark]


def side(greedy: list[EvalRow], *sampled: str) -> dict[str, Evaluation]:
    """A side of the closing test; each string of marks is an attempt at every task at temperature 1."""
    rows = [
        EvalRow(**{**vars(row(task, 2 * mark)), "sample": sample})
        for sample, marks in enumerate(sampled)
        for task, mark in enumerate(marks)
    ]
    return {"greedy": Evaluation(tuple(greedy)), **({"sampled": Evaluation(tuple(rows))} if rows else {})}


def parts(found: Attribution | None) -> dict[str, tuple[int, int]]:
    assert found is not None
    assert sum(part.gain.value for part in found.parts) == pytest.approx(found.total.value)
    for part in found.parts:
        assert part.gain.low <= part.gain.value <= part.gain.high
    return {part.cause: (part.num_won, part.num_lost) for part in found.parts if part.num_won or part.num_lost}


def test_each_cause_by_hand() -> None:
    before = [
        row(0, "00"),  # trained on
        row(1, "01"),  # the answer was there, in another form
        row(2, "00", ending="truncated: length"),
        row(3, "00"),  # solved when sampled
        row(4, "00"),  # beyond
        row(5, "11"),  # kept
        row(6, "11"),  # lost, and the answer is there in another form
        row(7, "11"),  # lost, though solved when sampled after
        row(8, "--"),  # not measured: in no part and not in the total
        row(9, "00"),  # failed on both sides
    ]
    after = [row(task, "11") for task in range(9)]
    after[6], after[7] = row(6, "01"), row(7, "00")
    after.append(row(9, "00"))
    found = attribute(side(before, "0001000000"), side(after, "0000000100"), trained_on={"t0", "t9"})
    assert parts(found) == {
        "seen": (1, 0),
        "format": (1, 1),
        "length": (1, 0),
        "sharpening": (1, 1),
        "beyond": (1, 0),
    }
    assert found is not None
    assert found.num_tasks == 9
    assert found.total.value == pytest.approx(3 / 9)
    assert [text.split(":")[0] for text in found.untold] == [
        "sharpening from new solutions beyond 1 attempt a task of the model before",
        "greedy decoding alone from sharpening",
    ]


def test_decoding_is_told_from_sharpening_by_several_attempts() -> None:
    """Of four attempts of the model before, task 0 was solved in two: greedy decoding alone failed it. Task 1 in one:
    it could. Task 2 in none. Task 3 is lost, and solved in three of four after; task 4 has one attempt that was
    measured, which is no majority of several."""
    before = [row(0, "00"), row(1, "00"), row(2, "00"), row(3, "11"), row(4, "00")]
    after = [row(0, "11"), row(1, "11"), row(2, "11"), row(3, "00"), row(4, "11")]
    found = attribute(side(before, "10001", "1000-", "0100-", "0000-"), side(after, "00010", "00010", "00010", "00000"))
    assert parts(found) == {"decoding": (1, 1), "sharpening": (2, 0), "beyond": (1, 0)}
    assert found is not None
    assert [text.split(":")[0] for text in found.untold if "seen" not in text] == [
        "sharpening from new solutions beyond 3.4 attempts a task of the model before"
    ]


def test_one_response_given_to_most_tasks() -> None:
    before = [row(task, "00") for task in range(10)]
    after = [row(task, "11" if task < 4 else "00", response="7" if task < 8 else "") for task in range(10)]
    assert parts(attribute(side(before), side(after))) == {"constant": (4, 0)}
    # The same responses where gold answers repeat themselves as much: an answer, no collapse.
    after = [EvalRow(**{**vars(each), "answer": "7" if index < 8 else "8"}) for index, each in enumerate(after)]
    assert parts(attribute(side(before), side(after))) == {"beyond": (4, 0)}


def test_what_cannot_be_told_is_said() -> None:
    greedy = Evaluation((EvalRow(**{**vars(row(0, "00")), "scores": {"strict": score("0")}}),))
    found = attribute({"greedy": greedy}, {"greedy": greedy})
    assert found is not None
    assert len(found.untold) == 3
    assert attribute({}, {}) is None
    assert attribute(side([row(0, "--")]), side([row(0, "11")])) is None


def test_the_parts_add_up_whatever_happened() -> None:
    generator = random.Random(0)
    for _ in range(30):

        def any_side() -> dict[str, Evaluation]:
            endings = ["finished", "truncated: length"]
            marks = ["00", "01", "11", "--"]
            greedy = [
                row(t, generator.choice(marks), generator.choice(["", "x"]), generator.choice(endings))
                for t in range(12)
            ]
            return side(greedy, "".join(generator.choice("01-") for _ in range(12)))

        found = attribute(any_side(), any_side(), trained_on={"t3"})
        if found is not None:
            parts(found)
            assert [part.cause for part in found.parts] == list(CAUSES)


def test_the_report_has_the_parts(tmp_path: Path) -> None:
    before, after = side([row(t, "00") for t in range(6)], "000001"), side([row(t, "11") for t in range(6)], "111111")
    summary: dict[str, Any] = {"name": "run", **BeforeAfter(before, after, {"t0"}).to_dict()}
    write_json(tmp_path / "summary.json", summary)
    page = write_report(tmp_path).read_text()
    assert "What the gain is owed to" in page
    assert "Several attempts at temperature 1" not in page
    several = [side([row(t, mark) for t in range(6)], *[mark[0] * 6] * 2) for mark in ("00", "11")]
    write_json(tmp_path / "summary.json", {"name": "run", **BeforeAfter(*several, set()).to_dict()})
    many = write_report(tmp_path).read_text()
    assert "<td>pass@2</td><td>strict</td>" in many
    assert "Several attempts at temperature 1" in many
    assert "tasks that were trained on" in page
    assert "Not told: sharpening from new solutions beyond 1 attempt a task" in page
    summary["owed_to"] = {"parts": "<script>", "untold": 3}
    write_json(tmp_path / "summary.json", summary)
    assert "owed to" not in write_report(tmp_path).read_text()

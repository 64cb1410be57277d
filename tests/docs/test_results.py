"""The numbers on the results pages are those that the files kept beside them give."""

from __future__ import annotations

import json
import lzma
import shutil
import sys
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.evaluation.sweep import differences

RESULTS = Path(__file__).parents[2] / "docs" / "results"
sys.path.insert(0, str(RESULTS))

import pages  # noqa: E402
import verify  # noqa: E402

MAX_BYTES = 4_000_000
"""Of everything under docs/results, so that a clone stays small."""


@pytest.mark.parametrize("page", verify.pages())
def test_a_page_says_what_its_rows_give(page: str) -> None:
    assert verify.verify(page) == []


def test_what_is_kept_is_small() -> None:
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < MAX_BYTES


@pytest.mark.parametrize(
    ("page", "right", "wrong"),
    [
        ("arithmetic.md", "| 73.0 % [68.1, 77.6] | +56.6", "| 74.0 % [68.1, 77.6] | +56.6"),
        ("arithmetic.md", "| 46 | 555 | 30 |", "| 46 | 555 | 35 |"),
        ("arithmetic.md", "597 of 715", "598 of 715"),
        ("gsm8k.md", "2.7 % [1.7, 4.3]", "2.7 % [1.7, 4.4]"),
        ("gsm8k.md", "18 tasks were won", "19 tasks were won"),
        ("growth.md", "| 1.08 |", "| 1.07 |"),
        ("sandbox.md", "| 19,999 |", "| 20,000 |"),
        ("step.md", "(4.9 to 6.4)", "(5.0 to 6.4)"),
    ],
)
def test_another_number_on_a_page_is_found(page: str, right: str, wrong: str) -> None:
    text = (RESULTS / page).read_text(encoding="utf-8")
    assert text.count(right) >= 1
    numbers = pages.PAGES[page]()
    assert list(verify.check(text, numbers)) == []
    ((mended, problem),) = verify.check(text.replace(right, wrong, 1), numbers)
    if mended is not None:
        assert verify.write(text.replace(right, wrong, 1), *mended) == text
    assert problem


def test_a_row_that_is_gone_or_twice_on_a_page_is_found() -> None:
    text = (RESULTS / "gsm8k.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith("| cut off"))
    for changed in (text.replace(line, ""), text.replace(line, f"{line}\n{line}")):
        ((mended, problem),) = verify.check(changed, pages.PAGES["gsm8k.md"]())
        assert mended is None
        assert "'cut off'" in problem


def test_a_row_is_written_in_its_own_section() -> None:
    text = "# A\n| x | 1 |\n## One\n| x | 2 |\n### Two\n| x | 3 |\n"
    assert verify.write(text, "One", "| x | 9 |") == text.replace("| 2 |", "| 9 |")
    assert verify.write(text, "", "| x | 9 |") == text.replace("| 1 |", "| 9 |")


@pytest.fixture
def arithmetic(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RESULTS / "arithmetic", tmp_path / "arithmetic"))


def change_a_row(folder: Path, holding: str, old: str, new: str) -> None:
    """Changes the first kept answer that has both texts."""
    with lzma.open(folder / "rows.jsonl.xz", "rt") as file:
        lines = list(file)
    number = next(i for i, line in enumerate(lines) if holding in line and old in line)
    lines[number] = lines[number].replace(old, new)
    with lzma.open(folder / "rows.jsonl.xz", "wt", preset=0) as file:
        file.writelines(lines)


def test_a_verdict_that_was_changed_is_found(arithmetic: Path) -> None:
    change_a_row(arithmetic, '"seed": 3', '"lenient": "solved"', '"lenient": "failed"')
    found = differences(arithmetic)
    assert any("demo seed 3: gain.value is 0.60546875, recomputed" in difference for difference in found)
    assert not any("seed 1" in difference for difference in found)


def test_an_answer_from_before_that_all_runs_share_stands_for_each(arithmetic: Path) -> None:
    change_a_row(arithmetic, '"seed": null, "side": "before"', '"strict": "solved"', '"strict": "not_measured"')
    found = differences(arithmetic)
    for seed in range(1, 6):
        assert any(d.startswith(f"demo seed {seed}: ") and "num_not_measured is 0, recomputed 1" in d for d in found)


@pytest.mark.parametrize(
    ("name", "right", "wrong", "said"),
    [
        ("summaries.json", "0.6953125,", "0.8,", "accuracy is 0.8, recomputed 0.6953125"),
        ("summaries.json", '"num_improved": 1', '"num_improved": 2', "num_improved is 2"),
        ("table.json", "0.72968", "0.8", "after.accuracy.mean is 0.8"),
        ("table.json", '"num_steps": 46', '"num_steps": 47', "runs[0].values.num_steps is 47, recomputed 46"),
        ("table.md", "0.7297", "0.8297", "table.md is not the table of table.json"),
    ],
)
def test_a_number_that_was_changed_beside_the_rows_is_found(
    arithmetic: Path, name: str, right: str, wrong: str, said: str
) -> None:
    path = arithmetic / name
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong, 1))
    assert any(said in difference for difference in differences(arithmetic))


def test_a_folder_without_a_sweep_and_rows_that_are_none_are_errors(arithmetic: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="holds no published sweep"):
        differences(tmp_path)
    with lzma.open(arithmetic / "rows.jsonl.xz", "wt") as file:
        file.write(json.dumps({"task_id": "t"}) + "\n")
    with pytest.raises(RunFolderError, match=r"line 1 of .*rows\.jsonl\.xz is no kept answer"):
        differences(arithmetic)

"""`assay train --dry-run` opens what a run would begin with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.cli.train import _describe_test
from assay.errors import AssayError, ConfigError, ContextLengthError, DataError

REWARDS = Path(__file__).parents[2] / "parity" / "rewards.py"
ROWS = [{"prompt": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(200)]
ROWS_FILE = 'environment = { name = "rows", path = "rows.jsonl" }'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path / "home"))


def dry_run(tiny_model: Path, recipe: str, rows: list[dict[str, Any]] | None = None) -> str:
    """What a dry run says, on one line. Nothing is left behind."""
    if rows is not None:
        Path("rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    Path("recipe.toml").write_text(
        f'{recipe}\nmodel = {{ source = "{tiny_model}", device = "cpu", compute_dtype = "fp32" }}\n'
    )
    result = CliRunner().invoke(app, ["train", "recipe.toml", "--dry-run"])
    assert not Path("home").exists()
    if isinstance(result.exception, AssayError):
        raise result.exception
    assert result.exit_code == 0, result.exception
    return result.output


def test_the_splits_and_the_first_prompt_are_shown(tiny_model: Path) -> None:
    said = dry_run(tiny_model, ROWS_FILE, ROWS)
    sizes = re.search(r"rows: (\d+) train, (\d+) validation, (\d+) test tasks from \S*rows\.jsonl", said)
    assert sizes is not None
    assert sum(map(int, sizes.groups())) == 200
    assert f"held out: {sizes[2]} of 96 validation tasks, {sizes[3]} of 256 test tasks" in said
    assert "gold answers: no gold answer is rejected by exact" in said
    # As the template writes it, with the turn of the model begun.
    assert re.search(r"<\|im_start\|>user\nWhat is \d+ \+ 1\?<\|im_end\|>\n<\|im_start\|>assistant\n", said)
    assert "capped" not in said


def test_a_generator_has_no_file_to_count(tiny_model: Path) -> None:
    said = dry_run(tiny_model, "")
    assert "held out: 96 validation tasks, 256 test tasks" in said
    assert "<|im_start|>assistant" in said


def test_a_recipe_of_comparisons_samples_nothing_and_has_no_gold_answers(tiny_model: Path) -> None:
    pairs = [{"prompt": f"Say {n}", "chosen": f"{n}", "rejected": f"no {n}"} for n in range(100)]
    Path("pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in pairs))
    recipe = 'environment = { name = "pairs", path = "pairs.jsonl" }\nalgorithm = { name = "dpo" }\ngroup_size = 2\n'
    said = dry_run(tiny_model, f"num_steps = 3\ngroups_per_step = 4\n{recipe}")
    assert "tokens: none is sampled: 8 given responses a step, 24 in all" in said
    assert "gold answers" not in said


def test_tasks_that_nobody_will_measure_are_not_announced(tiny_model: Path) -> None:
    said = dry_run(tiny_model, "evaluation = { every_steps = 0, test_tasks = 0 }")
    assert "held out: no validation tasks, 0 test tasks" in said


@pytest.mark.parametrize(
    ("limits", "capped"),
    [
        ("sampling = { max_new_tokens = 5000 }", ["sampling.max_new_tokens", "evaluation.test_max_new_tokens"]),
        ("sampling = { max_new_tokens = 511 }", ["sampling.max_new_tokens", "evaluation.test_max_new_tokens"]),
        ("evaluation = { test_max_new_tokens = 600 }", ["evaluation.test_max_new_tokens"]),
        (
            "sampling = { max_new_tokens = 600 }\nevaluation = { test_max_new_tokens = 64 }",
            ["sampling.max_new_tokens"],
        ),
        ("sampling = { max_new_tokens = 600 }\nevaluation = { test_tasks = 0 }", ["sampling.max_new_tokens"]),
        ("sampling = { max_new_tokens = 64 }", []),
    ],
)
def test_lengths_that_the_context_caps_are_told(tiny_model: Path, limits: str, capped: list[str]) -> None:
    said = dry_run(tiny_model, limits)
    assert re.findall(r"capped: (\S+) is", said) == capped
    assert ("the model's context of 512 tokens leaves" in said) == bool(capped)


@pytest.mark.parametrize(
    ("recipe", "rows", "error", "message"),
    [
        (ROWS_FILE, None, DataError, r"rows\.jsonl"),
        (ROWS_FILE, [{"question": "1 + 1?"}] * 9, DataError, r"line 1.*prompt"),
        (ROWS_FILE, ROWS[:1], DataError, "split of rows is empty"),
        (
            f'{ROWS_FILE}\nverifier = {{ name = "python", function = "{REWARDS}:no_such_function" }}',
            ROWS,
            ConfigError,
            "no_such_function",
        ),
        (
            f'{ROWS_FILE}\nverifier = {{ name = "python", function = "{REWARDS}:share_of_letters" }}',
            ROWS,
            DataError,
            "rejects the gold answer",
        ),
        ("curriculum = { levels = [{ complexity = 99 }] }", None, DataError, "99"),
        (ROWS_FILE, [{**row, "prompt": f"{'long ' * 200}{row['prompt']}"} for row in ROWS], ContextLengthError, "512"),
    ],
    ids=["no file", "wrong column", "empty split", "no function", "gold answer", "level", "context"],
)
def test_what_would_stop_the_run_stops_its_dry_run(
    tiny_model: Path, recipe: str, rows: list[dict[str, Any]] | None, error: type[AssayError], message: str
) -> None:
    with pytest.raises(error, match=message):
        dry_run(tiny_model, recipe, rows)


@pytest.mark.parametrize(("level", "said"), [("c2 h1", "40 tasks of level c2 h1:"), ("c- h-", "40 tasks:")])
def test_tasks_without_dials_have_no_level(level: str, said: str) -> None:
    summary = {"before": {"num_tasks": 40}, "level": level, "readings": [], "cautions": [], "transcripts": []}
    line, *_ = _describe_test(summary)
    assert line == f"held-out test, {said}"

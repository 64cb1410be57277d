"""The first rollouts of a run are shown as they end."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import assay
from assay.observe.console import Console
from assay.run.first_rollouts import FirstRollouts
from assay.types import Message, Score, Task


def test_the_first_are_shown_and_no_more() -> None:
    lines: list[str] = []
    first = FirstRollouts(lines.append)
    task = Task("d", (Message("system", "Be brief."), Message("user", "What is\n1 + 1?")), answer="2")
    first.show(task, "1 + 1 = 2\n" + "x" * 500, Score.solved())
    first.show(task, "", Score.failed("empty"))
    first.show(task, "3", Score.failed("wrong"))
    assert len(lines) == 2
    assert lines[0].startswith('a first rollout: "What is 1 + 1?" -> "1 + 1 = 2 xxx')
    assert lines[0].endswith('xxx ..." (solved, reward 1)')
    assert len(lines[0]) < 250
    assert '-> "" (failed, reward 0)' in lines[1]


@pytest.mark.parametrize("validates", [0, 1])
def test_a_run_shows_them_before_its_first_step(tiny_model: Path, tmp_path: Path, validates: int) -> None:
    stream = io.StringIO()
    assay.train(
        {
            "num_steps": 1,
            "groups_per_step": 1,
            "group_size": 2,
            "num_threads": 1,
            "model": {"source": tiny_model, "device": "cpu", "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 4},
            "evaluation": {"every_steps": validates, "validation_tasks": 2, "test_tasks": 0},
        },
        run_folder=tmp_path / "run",
        console=Console(stream=stream, live=False),
    )
    lines = stream.getvalue().splitlines()
    shown = [number for number, line in enumerate(lines) if line.startswith("a first rollout: ")]
    (step,) = [number for number, line in enumerate(lines) if line.startswith("step ")]
    assert len(shown) == 2
    assert max(shown) < step

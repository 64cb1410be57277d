"""How far the step under way has come: told by collector and trainer, shown on a terminal in long steps; and which
model a validation keeps."""

from __future__ import annotations

import asyncio
import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import assay
from assay.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.observe import activity
from assay.observe import console as module
from assay.observe.activity import doing
from assay.observe.console import Console, StepView
from assay.run.measuring import Measurements
from assay.run.position import Position
from assay.types import Score


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_long_step_shows_its_part_with_the_time_left(clock: Clock) -> None:
    stream = io.StringIO()
    with Console(10, stream=stream, width=110, live=True) as console:
        console.step(StepView(0))
        console.within_step("rollouts", 1, 128)
        clock.now = 7.0
        console.within_step("rollouts", 28, 128)
        assert "rollouts" not in stream.getvalue(), "a short step is left alone"
        clock.now = 12.0
        console.within_step("rollouts", 49, 128)
        # 48 in 12 seconds, so 79 in 20.
        assert "rollouts 49/128" in stream.getvalue()
        assert "left of it 20s" in stream.getvalue()
        clock.now = 12.1
        console.within_step("rollouts", 50, 128)
        assert "50/128" not in stream.getvalue(), "a quarter of a second lies between two drawings"
        clock.now = 20.0
        console.within_step("micro-batches", 1, 4)
        clock.now = 22.0
        console.within_step("micro-batches", 2, 4)
        assert "micro-batches 2/4" in stream.getvalue()
        assert "left of it 4s" in stream.getvalue()
        before = len(stream.getvalue())
        console.step(StepView(1))
        assert "micro-batches" not in stream.getvalue()[before:]
        # The next step begins anew.
        clock.now = 23.0
        console.within_step("rollouts", 100, 128)
        assert "100/128" not in stream.getvalue()


def test_no_silence_is_longer_than_some_seconds(clock: Clock) -> None:
    """Without a terminal: whatever is under way is told, with the time left of it and of the run."""
    stream = io.StringIO()
    with Console(4, 600.0, stream=stream, live=False) as console:

        def looked() -> list[str]:
            before = len(stream.getvalue())
            console.look()
            return stream.getvalue()[before:].splitlines()

        clock.now = 7.0
        assert looked() == []
        clock.now = 9.0
        with doing("compiling \x1b[2J kernels"):
            assert looked() == ["starting, for 9s so far, compiling \\x1b[2J kernels  left  9m51s"]
        assert looked() == [], "it was said just now"
        console.progress("validation", 0, 192)
        clock.now = 18.0
        console.within_step("rollouts", 0, 64)
        clock.now = 19.0
        console.within_step("rollouts", 16, 64)
        assert looked() == ["starting, for 19s so far, rollouts 16/64, left of it 3s  left  9m41s"]
        clock.now = 20.0
        console.step(StepView(0))
        clock.now = 29.0
        assert looked() == ["after step 1/4, for 9s so far  left    51s"], "three steps of 20 s, less what went by"
        console.step(StepView(3))
        clock.now = 40.0
        assert looked() == ["after step 4/4, for 11s so far"], "the closing test has a pace of its own"


def test_a_panel_is_drawn_anew_every_second(clock: Clock) -> None:
    stream = io.StringIO()
    with Console(4, 600.0, stream=stream, width=100, live=True) as console, doing("loading the model"):
        clock.now = 5.0
        console.look()
        assert "starting, for 5s so far, loading the model" in stream.getvalue()


def test_work_that_nobody_watches_is_told_on_the_error_stream(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(activity, "SILENT_SECONDS", 0.02)
    monkeypatch.setattr(activity, "LOOK_SECONDS", 0.01)
    told = threading.Event()
    monkeypatch.setattr("builtins.print", lambda text, **_: (lines.append(text), told.set()))
    lines: list[str] = []
    with doing("fetching"), doing("converting a model"):
        assert told.wait(60)
    assert lines[0].startswith("converting a model, for ")
    assert activity.under_way() == ""
    assert not any(thread.name == "activity" for thread in threading.enumerate())


def test_work_that_ends_while_another_thread_looks_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ends(list[tuple[str, float]]):
        def __bool__(self) -> bool:
            found = len(self) > 0
            self.clear()
            return found

    monkeypatch.setattr(activity, "_under_way", Ends([("fetching", 0.0)]))
    assert activity.under_way() in ("fetching", "")


def test_a_run_tells_of_its_rollouts_and_micro_batches(tiny_model: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    class Listens(Console):
        def within_step(self, label: str, done: int, total: int) -> None:
            told.append((label, done, total))

    assay.train(
        {
            "num_steps": 1,
            "groups_per_step": 2,
            "group_size": 3,
            "num_threads": 1,
            "tokens_per_microbatch": 64,
            "model": {"source": tiny_model, "device": "cpu", "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 4},
            "trainer": {"epochs_per_step": 2},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
        },
        run_folder=tmp_path / "run",
        console=Listens(stream=io.StringIO(), live=False),
    )
    rollouts = [part for part in told if part[0] == "rollouts"]
    assert rollouts == [("rollouts", done, 6) for done in range(1, 7)]
    batches = told[len(rollouts) :]
    assert batches == [("micro-batches", done, len(batches)) for done in range(1, len(batches) + 1)]
    assert len(batches) >= 4
    assert len(batches) % 2 == 0


def result(*values: float) -> Evaluation:
    """A validation whose answers all failed and earned these rewards, or solved where a reward is 1."""
    rows = [
        EvalRow(f"{i}", i, 0, "d", "c1", 1, None, "q", "a", "r", "finished", 3, {"strict": score})
        for i, score in enumerate(Score.solved() if v == 1 else Score.failed("partly", value=v) for v in values)
    ]
    return Evaluation(tuple(rows))


def test_the_best_of_graded_rewards_has_the_highest_mean_reward() -> None:
    """Accuracy says nothing here, and is no guide: the second has a solved task and the lower reward."""
    results = [result(0.1, 0.1, 0.1), result(0.3, 0.4, 0.5), result(1, 0.0, 0.0), result(0.0, 0.0, 0.0)]
    kept: list[float] = []
    silent: Any = SimpleNamespace(
        evaluation=lambda *_: None,
        console=SimpleNamespace(message=lambda _: None),
        keep_best=kept.append,
        store=SimpleNamespace(record_evaluation_rows=lambda *_: None),
    )

    async def validate() -> Evaluation:
        return results.pop(0)

    async def probe() -> None:
        return None

    held_out: Any = SimpleNamespace(validate=validate, probe=probe, seconds_per_test_task=0.0)
    engine: Any = SimpleNamespace(forget=lambda: None)
    position = Position()
    curriculum: Any = None
    measurements = Measurements(
        held_out, silent, silent, every_steps=1, position=position, curriculum=curriculum, engine=engine
    )
    for step in (-1, 0, 1, 2):
        asyncio.run(measurements.validate(step))
    assert kept == [pytest.approx(0.4)]
    assert position.best_accuracy == pytest.approx(0.4)

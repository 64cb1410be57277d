"""What Ctrl-C does in the closing test, and what is left to do for a run that is finished."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
import signal
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.evaluation.held_out import HeldOut
from assay.launch import build_run, stop_on_interrupt
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run import TrainResult

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"


def config_of(source: Path, num_steps: int = 1) -> RunConfig:
    return validate(
        RunConfig,
        {
            "num_steps": num_steps,
            "groups_per_step": 1,
            "group_size": 2,
            "num_threads": 1,
            "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
            "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
            "sampling": {"max_new_tokens": 4},
            "evaluation": {"every_steps": 0, "test_tasks": 4, "test_max_new_tokens": 16},
            "checkpoint": {"every_steps": 0},
        },
    )


def trained(config: RunConfig, folder: Path, *, resume: bool = False) -> tuple[TrainResult, str]:
    """The result of a run, and what it said."""
    said = io.StringIO()
    run = build_run(config, folder, console=Console(stream=said, live=False), resume=resume)
    with stop_on_interrupt(run):
        return asyncio.run(train(run)), said.getvalue()


def interrupt(monkeypatch: pytest.MonkeyPatch, side: str, times: int = 1) -> list[str]:
    """Ctrl-C, so many times, once this side of the test samples. What is returned lists the tests that came to their
    end."""
    measure, ended = HeldOut.test, []

    async def test(self: HeldOut, level: Any, name: str) -> Any:
        if name == side:
            for _ in range(times):
                asyncio.get_running_loop().call_later(0.01, signal.raise_signal, signal.SIGINT)
        result = await measure(self, level, name)
        ended.append(name)
        if name == side:
            # Whoever is not stopped by now is not stopped at all.
            await asyncio.sleep(1)
        return result

    monkeypatch.setattr(HeldOut, "test", test)
    return ended


@pytest.mark.parametrize("side", ["before", "after"])
def test_an_interrupt_in_the_closing_test_is_obeyed(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    config, folder = config_of(tiny_model), tmp_path / "run"
    with monkeypatch.context() as patched:
        ended = interrupt(patched, side)
        result, said = trained(config, folder)
        assert "after" not in ended[1:] or side == "after"
    assert result.status == "interrupted"
    assert "gain" not in result.summary
    assert "stopping the closing test, which begins again at --resume" in said
    assert result.summary["num_steps"] == 1
    assert (result.model / "model.safetensors").is_file()
    assert result.summary["commands"]["go on"] == f"assay train --resume {folder}"
    with RunStore.open_readonly(folder) as store:
        assert [record for record in store.evaluations() if record.split == "test"] == []

    resumed, _ = trained(config, folder, resume=True)
    whole, _ = trained(config, tmp_path / "whole")
    assert resumed.status == "finished"
    for part in ("before", "after", "gain", "readings"):
        assert resumed.summary[part] == whole.summary[part], part


def test_a_second_interrupt_in_the_closing_test_ends_it_without_tracebacks(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config, folder = config_of(tiny_model), tmp_path / "run"
    with monkeypatch.context() as patched, caplog.at_level(logging.DEBUG, "asyncio"):
        interrupt(patched, "before", times=2)
        with pytest.raises(KeyboardInterrupt):
            trained(config, folder)
        gc.collect()
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert trained(config, folder, resume=True)[0].status == "finished"


def test_a_finished_run_is_not_tested_again(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    first, _ = trained(config_of(tiny_model), folder)
    summary = (folder / "summary.json").read_text()
    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "test", lambda *_: pytest.fail("tested again"))
        again, said = trained(config_of(tiny_model), folder, resume=True)
    assert "finished already, after 1 steps" in said
    assert f"--resume {folder} --set num_steps=2" in said
    assert (again.status, again.summary) == (first.status, json.loads(summary))
    assert (folder / "summary.json").read_text() == summary

    further, said = trained(config_of(tiny_model, num_steps=2), folder, resume=True)
    assert "finished already" not in said
    assert further.summary["num_steps"] == 2
    assert "gain" in further.summary

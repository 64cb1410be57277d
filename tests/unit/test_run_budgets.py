"""A learning rate that falls does so over the budget that ends the run, with a tiny model."""

from __future__ import annotations

import asyncio
import io
import re
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.errors import ConfigError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run.position import Clock

REWARDS = Path(__file__).parents[1] / "parity" / "rewards.py"


def config_of(source: Path, schedule: str, **changes: Any) -> RunConfig:
    settings = {
        "num_steps": 50,
        "groups_per_step": 2,
        "group_size": 3,
        "num_threads": 1,
        "model": {"source": str(source), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "python", "function": f"{REWARDS}:share_of_letters", "gold_format": ""},
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 1e-4, "schedule": schedule},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 0},
        **changes,
    }
    return validate(RunConfig, settings)


def learning_rates(config: RunConfig, folder: Path) -> list[float]:
    """Of each step of a run."""
    asyncio.run(train(build_run(config, folder, console=Console(stream=io.StringIO(), live=False))))
    with RunStore.open_readonly(folder) as store:
        return [value or 0.0 for _, value in store.metrics()["train/learning_rate"]]


def test_a_schedule_falls_over_the_token_budget(tiny_model: Path, tmp_path: Path) -> None:
    """Six steps' worth of tokens in a recipe of 50 steps: over 50 steps the rate would hardly have moved."""
    rates = learning_rates(config_of(tiny_model, "linear", max_sampled_tokens=6 * 2 * 3 * 6 - 5), tmp_path / "run")
    assert len(rates) >= 4
    assert rates[0] == pytest.approx(1e-4)
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.35e-4


def test_a_schedule_falls_over_the_time_budget(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clock, "seconds", property(lambda clock: 10.0 * clock._position.step))
    rates = learning_rates(config_of(tiny_model, "cosine", max_seconds=95.0), tmp_path / "run")
    assert 6 <= len(rates) <= 9
    assert rates[-1] < 0.1e-4


def test_a_budget_that_a_schedule_falls_over_stays_as_it_is_on_resume(tiny_model: Path, tmp_path: Path) -> None:
    learning_rates(config_of(tiny_model, "linear", max_sampled_tokens=40), tmp_path / "run")
    with pytest.raises(ConfigError, match="max_sampled_tokens: the linear schedule depends on it"):
        build_run(config_of(tiny_model, "linear", max_sampled_tokens=80), tmp_path / "run", resume=True)


def test_the_time_left_is_that_until_the_run_ends(tiny_model: Path, tmp_path: Path) -> None:
    """What is kept aside for the end of the run is still ahead, and no time that is spent."""
    told = io.StringIO()
    config = config_of(tiny_model, "constant", num_steps=1, max_seconds=3500.0)
    run = build_run(config, tmp_path / "run", console=Console(None, 3500.0, stream=told, live=False))
    asyncio.run(train(run))
    (minutes, seconds) = re.findall(r"^step +1 .*left +(\d+)m(\d\d)s", told.getvalue(), re.MULTILINE)[0]
    assert 60 * int(minutes) + int(seconds) >= 3500 - run.clock.seconds - 1

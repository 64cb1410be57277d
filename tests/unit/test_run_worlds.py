"""Runs over worlds of many turns, with a tiny model: several at once, and one that always fails."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.errors import TrainingStoppedError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig

FAILS = """
from assay import Environment, Episode, Message, Task


class Fails(Environment):
    def tasks(self, split, *, complexity=None, horizon=None, seed=0):
        for number in range(1000):
            yield Task(self.name, (Message("user", f"{split} {number}"),), "1")

    def episode(self, task):
        return Broken()


class Broken(Episode):
    async def start(self):
        raise OSError("the world is not there")

    async def step(self, message):
        raise AssertionError("it never started")
"""


def run(tiny_model: Path, folder: Path, **settings: Any) -> RunStore:
    config = validate(
        RunConfig,
        {
            "num_steps": 1,
            "groups_per_step": 4,
            "group_size": 2,
            "num_threads": 1,
            "model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"},
            "sampling": {"max_new_tokens": 8},
            "evaluation": {"every_steps": 0, "test_tasks": 0},
            "checkpoint": {"every_steps": 0},
            **settings,
        },
    )
    asyncio.run(train(build_run(config, folder, console=Console(stream=io.StringIO(), live=False))))
    return RunStore.open_readonly(folder)


def test_several_environments_in_one_run_have_metrics_of_their_own(tiny_model: Path, tmp_path: Path) -> None:
    environments = [{"name": "chain", "weight": 1.0}, {"name": "arithmetic", "level": {"complexity": 1}}]
    store = run(tiny_model, tmp_path / "run", environments=environments, seed=1)
    domains = {record.domain for record in store.rollouts()}
    assert domains == {"chain", "arithmetic"}
    metrics = store.metrics()
    for domain in domains:
        assert f"environment/{domain}/solved_share" in metrics
        assert f"environment/{domain}/turns" in metrics


def test_held_out_tasks_of_several_environments_are_told_of_each(tiny_model: Path, tmp_path: Path) -> None:
    store = run(
        tiny_model,
        tmp_path / "run",
        environments=[{"name": "chain"}, {"name": "arithmetic"}],
        evaluation={"every_steps": 1, "validation_tasks": 8, "test_tasks": 0},
    )
    told = {record.level: record.num_tasks for record in store.evaluations() if record.split == "validation"}
    assert told["environment chain"] + told["environment arithmetic"] == told["all"] == 8


def test_an_environment_that_always_fails_stops_the_run_with_its_cause(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "fails.py").write_text(FAILS)
    with pytest.raises(TrainingStoppedError, match="environment: WorldError: OSError: the world is not there"):
        run(tiny_model, tmp_path / "run", environment={"name": f"{tmp_path / 'fails.py'}:Fails"}, rollout_retries=0)

"""Runs in an environment that pays for its turns, with a tiny model."""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.algorithms.turn_credit import SHARED_STATES, TURN_REWARD
from assay.config import validate
from assay.environments import Environment, Episode, EpisodeStep, Level
from assay.errors import ConfigError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.types import Message, Split, Task
from assay.verifiers import Exact, Verifier


class Sums(Episode):
    """Pays for each of three turns what is left of its letters' sum by seven; ends early where nothing is."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.turns = 0

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self.turns += 1
        left = sum(map(ord, message.content)) % 7
        done = self.turns == 3 or not left
        shown = () if done else (Message("user", "more"),)
        return EpisodeStep(shown, left / 7, done, state="" if done else f"after {self.turns}")


class Paying(Environment):
    """One task for each number, which nobody solves."""

    name: str = "paying"

    @property
    def rewards(self) -> dict[str, Verifier]:
        return {"strict": Exact()}

    @property
    def max_turns(self) -> int:
        return 3

    def levels(self) -> tuple[Level, ...]:
        return ()

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        for number in range(20):
            yield Task(self.name, (Message("user", f"{split} {number}"),), "what nobody says")

    def episode(self, task: Task) -> Episode:
        return Sums(task)


def run(model: Path, folder: Path, algorithm: dict[str, Any]) -> dict[str, list[tuple[int, float | None]]]:
    settings = {
        "num_steps": 2,
        "groups_per_step": 1,
        "group_size": 4,
        "num_threads": 1,
        "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32"},
        "environment": Paying(),
        "sampling": {"max_new_tokens": 100, "stop": list("aeioubcdfg")},
        "trainer": {"learning_rate": 1e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 0},
        "algorithm": algorithm,
    }
    built = build_run(validate(RunConfig, settings), folder, console=Console(stream=io.StringIO(), live=False))
    asyncio.run(train(built))
    return RunStore.open_readonly(folder).metrics()


@pytest.mark.parametrize(
    "algorithm",
    [
        {"name": "rloo", "turn_rewards": "replace", "credit_by": "turn", "normaliser": "turns"},
        {"name": "gigpo", "turn_rewards": "add"},
        {"name": "ppo", "turn_rewards": "add", "over": "turn"},
    ],
    ids=lambda algorithm: algorithm["name"],
)
def test_a_run_learns_from_what_turns_are_paid(tiny_model: Path, tmp_path: Path, algorithm: dict[str, Any]) -> None:
    metrics = run(tiny_model, tmp_path / "run", algorithm)
    assert all((value or 0) > 0 for _, value in metrics["train/grad_norm"])
    assert all(value is not None and math.isfinite(value) for _, value in metrics[TURN_REWARD])
    # Every score is 0: what there is to learn from is in the turns.
    assert [value for _, value in metrics["reward/groups_with_signal_share"]] == [1.0, 1.0]
    assert (SHARED_STATES in metrics) == (algorithm["name"] == "gigpo")


def test_a_run_that_would_ignore_payments_stops_and_says_what_to_set(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"'paying' pays for single turns .* set algorithm.turn_rewards to .add."):
        run(tiny_model, tmp_path / "run", {"name": "rloo"})
    said = run(tiny_model, tmp_path / "other", {"name": "rloo", "turn_rewards": "ignore"})
    assert [value for _, value in said["train/grad_norm"]] == [0.0, 0.0]

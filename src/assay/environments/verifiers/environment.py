"""The verifiers environment: a taskset of verifiers (v1), scored by its own rewards."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.adapters import adapter_server
from assay.environments.adapted import AdaptedEpisode, read_messages, worker_of
from assay.environments.environment import Environment
from assay.environments.episode import Episode
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task
from assay.verifiers import EpisodeScore, Verifier
from assay.verifiers.text import strip_reasoning

_PAGE = 200
"""Tasks that are asked for at a time: a reply is bounded."""


class Verifiers(Environment):
    """A taskset of verifiers, v1: its prompts, one answer each, and its own rewards, metrics and judges.

    Each answer is scored in a process of its own in the adapter's virtual environment
    (`assay adapters install verifiers`); what the taskset itself needs is installed there. Tasks are its rows, once
    each by their prompt; which split one is in depends on the prompt alone. The reward is the weighted sum of the
    taskset's rewards; where one of its scoring functions raises, nothing was measured, though verifiers says 0.

    Tasks that need more than an answer (tool servers, a container, hooks that prepare a runtime, a user who speaks
    first) are refused: their program runs against `assay serve` instead.
    """

    name: Literal["verifiers"] = "verifiers"
    taskset: str
    """The taskset: the id of a package that is installed in the adapter's environment, or "path.py:Class"."""
    config: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Settings of the taskset."""
    max_tasks: int = pydantic.Field(default=2000, ge=1)
    """Rows of the taskset that are read: some have no end."""
    solved_at: float = 1.0
    """Least reward that solves a task."""
    seconds: float = pydantic.Field(default=120.0, gt=0, le=3600)
    """Time that reading tasks, or scoring an answer, may take."""
    answer_only: bool = True
    """Whether reasoning (a <think> block) is taken off before the rewards read an answer."""

    @pydantic.field_validator("taskset")
    @classmethod
    def _absolute(cls, taskset: str) -> str:
        """The worker runs in another folder."""
        path, colon, name = taskset.rpartition(":")
        return f"{Path(path).expanduser().absolute()}{colon}{name}" if path.endswith(".py") else taskset

    def files(self) -> Mapping[str, list[Path]]:
        path = Path(self.taskset.rpartition(":")[0])
        return {"taskset": [path]} if path.suffix == ".py" and path.is_file() else {}

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """What the taskset's own rewards say."""
        return {"strict": EpisodeScore()}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """The tasks of a split, in an order fixed by the seed.

        Raises:
            ConfigError: the adapter is not installed; names the command.
            DataError: no such taskset, tasks that need more than an answer, a dial, or an empty split.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if complexity is not None or horizon is not None:
            raise DataError(f"{self.name} has no dials; leave complexity and horizon out")
        rows = {row["key"]: row for row in self._rows()}
        mine = sorted((row for key, row in rows.items() if hashed_split(self.name, key) == split), key=_key)
        if not mine:
            raise DataError(
                f"the {split} split of {self.taskset} is empty: it has {len(rows)} different prompts, too few for "
                "three splits; measure on another split, or add tasks"
            )
        random.Random(derive_seed(seed, self.name, split)).shuffle(mine)
        return map(self._made, mine)

    def episode(self, task: Task) -> Episode:
        return VerifiersEpisode(self, task)

    def _rows(self) -> Iterator[dict[str, Any]]:
        server = adapter_server(self.name, worker_of(self.name))
        for start in range(0, self.max_tasks, _PAGE):
            count = min(_PAGE, self.max_tasks - start)
            page = server.ask("tasks", self.seconds, taskset=self.taskset, config=self.config, start=start, count=count)
            yield from page
            if len(page) < count:
                return

    def _made(self, row: dict[str, Any]) -> Task:
        metadata = {"data": row["data"], "canonical": row["key"]}
        answer = row["data"].get("answer")
        return Task(self.name, read_messages(row["messages"]), "" if answer is None else str(answer), metadata=metadata)


class VerifiersEpisode(AdaptedEpisode):
    """One answer to one task."""

    def __init__(self, environment: Verifiers, task: Task) -> None:
        if "data" not in task.metadata:
            raise DataError(f"task {task.task_id} of {task.domain!r} is no task of verifiers: it has no data")
        opening = {"taskset": environment.taskset, "config": environment.config, "data": task.metadata["data"]}
        super().__init__(task, environment.name, worker_of(environment.name), opening, environment.seconds)
        self._environment = environment

    def sent(self, message: Message) -> dict[str, Any]:
        return {"reply": strip_reasoning(message.content) if self._environment.answer_only else message.content}

    def read_outcome(self, outcome: Any) -> Score:
        if outcome is None:
            return Score.failed("unfinished")
        if outcome["unmeasured"]:
            return Score.not_measured(outcome["unmeasured"], parts=outcome["parts"])
        reward = float(outcome["reward"])
        if reward >= self._environment.solved_at:
            return Score.solved(reward, parts=outcome["parts"])
        return Score.failed("wrong", value=reward, parts=outcome["parts"])


def _key(row: dict[str, Any]) -> str:
    return row["key"]

"""The verifiers environment: a taskset of verifiers (v1), scored by its own rewards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.adapters import adapter_server
from assay.environments.adapted import AdaptedEpisode, Listed, file_and_name, read_messages, worker_of
from assay.environments.episode import Episode
from assay.errors import DataError
from assay.types import Message, Score, SolvedAt, Task
from assay.verifiers import EpisodeValue, Verifier
from assay.verifiers.text import strip_reasoning

_PAGE = 200
"""Tasks that are asked for at a time: a reply is bounded."""


class Verifiers(Listed):
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
    solved_at: SolvedAt = 1.0
    """Least reward that solves a task. "none": the reward is a number and says no verdict."""
    answer_only: bool = True
    """True where reasoning (a <think> block) is taken off before the rewards read an answer."""

    @pydantic.field_validator("taskset")
    @classmethod
    def _absolute(cls, taskset: str) -> str:
        """The worker runs in another folder."""
        path, name = file_and_name(taskset, ":")
        return f"{path or ''}{name}"

    def files(self) -> Mapping[str, list[Path]]:
        path, _ = file_and_name(self.taskset, ":")
        return {"taskset": [path]} if path is not None and path.is_file() else {}

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeValue()} if self.solved_at == "none" else super().rewards

    @property
    def source(self) -> str:
        return self.taskset

    def episode(self, task: Task) -> Episode:
        return VerifiersEpisode(self, task)

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of the taskset.

        Raises:
            DataError: they need more than an answer.
        """
        server = adapter_server(self.name, worker_of(self.name))
        for start in range(0, self.max_tasks, _PAGE):
            count = min(_PAGE, self.max_tasks - start)
            page = server.ask("tasks", self.seconds, taskset=self.taskset, config=self.config, start=start, count=count)
            yield from page
            if len(page) < count:
                return

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[Task]:
        """A task for each row."""
        for row in rows:
            metadata = {"data": row["data"], "canonical": row["key"]}
            answer = row["data"].get("answer")
            answer = "" if answer is None else str(answer)
            yield Task(self.name, read_messages(row["messages"]), answer, metadata=metadata)


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
            return Score.at(0.0, self._environment.solved_at, "unfinished")
        if outcome["unmeasured"]:
            return Score.not_measured(outcome["unmeasured"], parts=outcome["parts"])
        return Score.at(float(outcome["reward"]), self._environment.solved_at, "wrong", parts=outcome["parts"])

"""The inspect environment: a task of inspect-ai, with its solvers, tools and scorers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.adapters import adapter_server
from assay.environments.adapted import AdaptedEpisode, Listed, file_and_name, read_messages, worker_of
from assay.environments.episode import Episode
from assay.errors import DataError
from assay.types import Message, Score, Task
from assay.verifiers.text import strip_reasoning


class Inspect(Listed):
    """A task of inspect-ai as it is: its solver asks for completions and the model here gives them, its tools run in
    its sandbox, its scorer judges. Each sample runs in a process of its own in the adapter's virtual environment
    (`assay adapters install inspect`); what the task itself needs is installed there.

    Tasks are the samples of its dataset, once each by their input; which split one is in depends on the input alone.
    A sample whose own target its scorer rejects is left out, as `exact` does with a target of "A".

    Solved is what the scorer gives 1 or "C", and what stands when it is read again: `exact` takes "5" for "-5" and
    "12" for "1/2", and `match(numeric=True)` reads "3*4" as 34, which are wrong here. A scorer that raises, or gives
    NaN, has measured nothing. A solver that rewrites the conversation is refused: no transcript of one episode would
    show what the model read.
    """

    name: Literal["inspect"] = "inspect"
    task: str
    """The task: "path.py@name", or "package/name" of a package that is installed in the adapter's environment."""
    arguments: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Arguments of the task."""
    scorer: str = ""
    """Name of the scorer that counts; empty where the task has one alone."""
    turns: int = pydantic.Field(default=20, ge=1)
    """Completions after which inspect-ai ends the sample, and scores it."""

    @pydantic.field_validator("task")
    @classmethod
    def _absolute(cls, task: str) -> str:
        """The worker runs in another folder."""
        path, name = file_and_name(task, "@")
        return f"{path or ''}{name}"

    def files(self) -> Mapping[str, list[Path]]:
        path, _ = file_and_name(self.task, "@")
        return {"task": [path]} if path is not None and path.is_file() else {}

    @property
    def max_turns(self) -> int:
        return self.turns

    @property
    def source(self) -> str:
        return self.task

    def episode(self, task: Task) -> Episode:
        return InspectEpisode(self, task)

    def opening(self, sample: str | int) -> dict[str, Any]:
        """Return what starts a sample in the worker."""
        return {
            "task": self.task,
            "arguments": self.arguments,
            "sample": sample,
            "scorer": self.scorer,
            "turns": self.turns,
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """The samples."""
        server = adapter_server(self.name, worker_of(self.name))
        yield from server.ask("samples", self.seconds, task=self.task, arguments=self.arguments)

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[Task]:
        """The samples that can be solved.

        Raises:
            DataError: none can.
        """
        server = adapter_server(self.name, worker_of(self.name))
        num_left_out, problem = 0, ""
        for row in rows:
            opened = server.ask("open", self.seconds, **self.opening(row["id"]))
            if opened["rejects"]:
                num_left_out, problem = num_left_out + 1, opened["rejects"]
                continue
            metadata = {"sample": row["id"], "start": opened["start"], "canonical": row["key"]}
            yield Task(self.name, read_messages(opened["messages"]), row["target"], metadata=metadata)
        if num_left_out == len(rows):
            raise DataError(f"{self.task} has no sample that can be solved: {problem}")


class InspectEpisode(AdaptedEpisode):
    """One sample."""

    def __init__(self, environment: Inspect, task: Task) -> None:
        if "sample" not in task.metadata:
            raise DataError(f"task {task.task_id} of {task.domain!r} is no task of inspect: it names no sample")
        opening = environment.opening(task.metadata["sample"])
        super().__init__(task, environment.name, worker_of(environment.name), opening, environment.seconds)

    def sent(self, message: Message) -> dict[str, Any]:
        calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in message.calls]
        return {"reply": strip_reasoning(message.content), "calls": calls}

    def read_outcome(self, outcome: Any) -> Score:
        if outcome is None:
            return Score.failed("unfinished")
        if outcome["unmeasured"]:
            return Score.not_measured(outcome["unmeasured"])
        value = float(outcome["value"])
        if value >= 1.0:
            return Score.solved(value, evidence=outcome["by"])
        return Score.failed(outcome["reason"] or "wrong", value=value, evidence=outcome["by"])

"""Episodes of environments that other people wrote: each is a session in an adapter's worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.adapters import Connection, adapter_server
from assay.environments.episode import Episode, EpisodeStep
from assay.errors import AdapterError
from assay.types import Message, Score, Task, Tool


class AdaptedEpisode(Episode):
    """One session of an adapter's worker, in a process of its own.

    The worker's file has a class `Session` whose methods answer with plain data:

        open(**opening)      {"messages": [[role, text], ...], "state", "tools"}
        step(**sent)         {"messages", "reward", "done", "state"}; an empty answer is a turn that paid nothing
        outcome()            what `read_outcome` makes a score of

    Args:
        adapter: its name, as `assay adapters install` takes it.
        worker: file of the worker.
        opening: arguments of the session's `open`.
        seconds: that one call may take.
    """

    def __init__(self, task: Task, adapter: str, worker: Path, opening: Mapping[str, Any], seconds: float) -> None:
        self.task = task
        self._adapter, self._worker, self._opening, self._seconds = adapter, worker, opening, seconds
        self._connection: Connection | None = None
        self._tools: tuple[Tool, ...] = ()

    @property
    def tools(self) -> Sequence[Tool]:
        return self._tools

    async def start(self) -> tuple[Message, ...]:
        """Open the session; its first messages are those of the task.

        Raises:
            AdapterError: the package failed, or shows something else than when the task was made.
        """
        self._connection = await adapter_server(self._adapter, self._worker).connect()
        opened = await self._connection.ask("open", self._seconds, **self._opening)
        shown = read_messages(opened["messages"])
        if shown != self.task.prompt:
            raise AdapterError(
                f"task {self.task.task_id} starts otherwise than when it was made: the adapter {self._adapter!r} shows "
                f"{shown[-1].content[:80] if shown else ''!r}; its package does not keep to the seed"
            )
        self._tools = tuple(Tool(**tool) for tool in opened.get("tools", ()))
        return shown

    async def step(self, message: Message) -> EpisodeStep:
        """Hand the message to the session; what it answers.

        Raises:
            AdapterError: the package failed.
        """
        assert self._connection is not None
        answer = await self._connection.ask("step", self._seconds, **self.sent(message))
        return EpisodeStep(
            read_messages(answer.get("messages", ())),
            answer.get("reward"),
            bool(answer.get("done")),
            answer.get("state", ""),
        )

    async def score(self) -> Score | None:
        """Ask the session what was earned."""
        if self._connection is None:
            return None
        return self.read_outcome(await self._connection.ask("outcome", self._seconds))

    async def close(self) -> None:
        """End the session and its process."""
        if self._connection is not None:
            await self._connection.close()

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the arguments of the session's `step` for a message of the model."""
        return {"reply": message.content}

    def read_outcome(self, outcome: Any) -> Score | None:
        """Return the score that the session's `outcome` stands for."""
        raise NotImplementedError


def worker_of(adapter: str) -> Path:
    """Return the file of an adapter's worker."""
    return Path(__file__).with_name(adapter) / "worker.py"


def read_messages(data: Sequence[Sequence[str]]) -> tuple[Message, ...]:
    """Return the messages of [[role, text], ...]."""
    return tuple(Message(role, text) for role, text in data)

"""Plays episodes of an Assay environment in a process of Assay's own interpreter. Standard library alone; part of an
export, which is made by `assay adapters export`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import pathlib
from typing import Any

HERE = pathlib.Path(__file__).parent
DESCRIBED: dict[str, Any] = json.loads((HERE / "environment.json").read_text(encoding="utf-8"))
MAX_TURNS: int = DESCRIBED["max_turns"]
MAX_LINE_BYTES = 16_000_000


class NotMeasuredError(Exception):
    """The score of an episode is unknown, which is not 0."""


def read_tasks() -> list[dict[str, Any]]:
    """Return the tasks of the export, as Assay writes them."""
    with (HERE / "tasks.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class Player:
    """One process of Assay, which plays as many episodes at a time as are asked for.

    An episode has a name of the caller's choice. `start`, `reply` and `cut` return what the model is asked next, as
    {"keep", "messages", "tools"}: that many messages from the head of the conversation, then these; or at the end of
    the episode {"score"}, with "verdict", "value", "parts", "reason" and "evidence". They raise NotMeasuredError where
    the environment failed, nothing was measured, or the process ended.
    """

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._lock = asyncio.Lock()

    async def start(self, episode: str, task: dict[str, Any]) -> dict[str, Any]:
        """Start an episode of a task."""
        async with self._lock:
            if not self._runs:
                await self._begin()
        return await self._ask("start", episode=episode, environment=DESCRIBED["environment"], task=task)

    async def reply(self, episode: str, message: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
        """Give the model's message, as chat completions have it, and why it ended."""
        completion = {"choices": [{"message": message, "finish_reason": finish_reason}]}
        return await self._ask("reply", episode=episode, completion=completion)

    async def cut(self, episode: str, reason: str) -> dict[str, Any]:
        """End an episode at a limit, and have what was said until then scored."""
        return await self._ask("cut", episode=episode, reason=reason)

    async def close(self, episode: str) -> None:
        """Close an episode wherever it is; nothing where it is closed."""
        if self._runs:
            await self._ask("close", episode=episode)

    @property
    def _runs(self) -> bool:
        return self._reading is not None and not self._reading.done()

    async def _begin(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *DESCRIBED["command"],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MAX_LINE_BYTES,
            start_new_session=True,  # a key that interrupts this program lets the episodes be closed first
        )
        self._reading = asyncio.create_task(self._read(self._process))

    async def _ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        if not self._runs:
            raise NotMeasuredError("Assay's process has ended")
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "call": call, **arguments}).encode() + b"\n")
        with contextlib.suppress(ConnectionError):  # the process ended: its reader says so
            await self._process.stdin.drain()
        answer = await future
        if "error" in answer:
            raise NotMeasuredError(answer["error"])
        if "score" in answer and answer["score"]["value"] is None:
            raise NotMeasuredError(answer["score"]["reason"])
        return answer

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        ended = "Assay's process ended"
        try:
            while line := await process.stdout.readline():
                answer = json.loads(line)
                future = self._waiting.pop(answer["id"], None)
                if future is not None and not future.done():
                    future.set_result(answer)
            ended += f" ({await process.wait()})"
        except ValueError as error:
            ended = f"Assay's process answered what cannot be read: {error}"
            process.kill()
        finally:
            waiting, self._waiting = self._waiting, {}
            for future in waiting.values():
                if not future.done():
                    future.set_exception(NotMeasuredError(ended))


_PLAYERS: dict[asyncio.AbstractEventLoop, Player] = {}


def player() -> Player:
    """Return the process of the running event loop."""
    return _PLAYERS.setdefault(asyncio.get_running_loop(), Player())

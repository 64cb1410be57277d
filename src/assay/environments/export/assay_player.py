"""Plays episodes of an Assay environment in a process of Assay's own interpreter. Standard library alone; part of an
export, which is made by `assay adapters export`."""

from __future__ import annotations

import asyncio
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
    """One process of Assay, which plays as many episodes at a time as are asked for."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._lock = asyncio.Lock()

    async def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to one call.

        Raises:
            NotMeasuredError: the environment failed, or its process ended.
        """
        async with self._lock:
            if self._process is None or self._process.returncode is not None:
                self._process = await asyncio.create_subprocess_exec(
                    *DESCRIBED["command"],
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    limit=MAX_LINE_BYTES,
                )
                self._reading = asyncio.create_task(self._read(self._process))
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "call": call, **arguments}).encode() + b"\n")
        await self._process.stdin.drain()
        answer = await future
        if "error" in answer:
            raise NotMeasuredError(answer["error"])
        return answer

    async def start(self, task: dict[str, Any]) -> dict[str, Any]:
        """Start an episode of a task: "episode", "messages" and "tools"."""
        return await self.ask("start", environment=DESCRIBED["environment"], task=task)

    async def score(self, episode: int) -> dict[str, Any]:
        """End an episode; its score: "verdict", "value", "parts", "reason", "evidence".

        Raises:
            NotMeasuredError: nothing was measured.
        """
        score = (await self.ask("score", episode=episode))["score"]
        if score["value"] is None:
            raise NotMeasuredError(score["reason"])
        return score

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            answer = json.loads(line)
            future = self._waiting.pop(answer["id"], None)
            if future is not None and not future.done():
                future.set_result(answer)
        await process.wait()
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(NotMeasuredError(f"Assay's process ended ({process.returncode})"))


_PLAYERS: dict[int, Player] = {}


def player() -> Player:
    """Return the process of the running event loop."""
    loop = id(asyncio.get_running_loop())
    if loop not in _PLAYERS:
        _PLAYERS[loop] = Player()
    return _PLAYERS[loop]

"""Plays and scores episodes for another program, over lines of JSON: `python -m assay.environments.export.play`.

    {"id": 1, "call": "start", "environment": {...}, "task": {...}}  ->  {"id": 1, "episode": 1, "messages", "tools"}
    {"id": 2, "call": "step", "episode": 1, "message": {...}}        ->  {"id": 2, "messages", "done"}
    {"id": 3, "call": "score", "episode": 1}                         ->  {"id": 3, "score": {...}}; it is closed then

An answer with "error" instead says what failed. Calls may be made before earlier ones are answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.environments import make_environment
from assay.environments.environment import Environment, rewards_of
from assay.environments.episode import Episode
from assay.host import Host
from assay.render.tool_text import spelled_calls
from assay.types import Completion, Ending, EndingKind, Message, Rollout, Task, Turn
from assay.verifiers import close_verifiers

MAX_LINE_BYTES = 16_000_000


@dataclass
class _Played:
    """An episode under way."""

    environment: Environment
    task: Task
    episode: Episode
    turns: list[Turn] = field(default_factory=list)
    done: bool = False


class EpisodePlayer:
    """Holds the episodes that another program plays."""

    def __init__(self) -> None:
        self._played: dict[int, _Played] = {}
        self._made: dict[str, Environment] = {}
        self._number = 0

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one call; never raises."""
        try:
            calls = {"start": self._start, "step": self._step, "score": self._score}
            return {"id": asked["id"], **await calls[asked["call"]](asked)}
        except Exception as error:
            return {"id": asked.get("id"), "error": f"{type(error).__name__}: {error}"[:2000]}

    async def close(self) -> None:
        """Close every episode that is left."""
        for played in self._played.values():
            await played.episode.close()
        await close_verifiers([rewards_of(made)["strict"] for made in self._made.values()])

    async def _start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = json.dumps(asked["environment"], sort_keys=True)
        if key not in self._made:
            options = {name: value for name, value in asked["environment"].items() if name != "name"}
            self._made[key] = make_environment(asked["environment"]["name"], options)
        task = Task.from_dict(asked["task"])
        played = _Played(self._made[key], task, self._made[key].episode(task))
        messages = await played.episode.start()
        self._number += 1
        self._played[self._number] = played
        tools = [
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
            for tool in played.episode.tools
        ]
        return {"episode": self._number, "messages": [message.to_dict() for message in messages], "tools": tools}

    async def _step(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        played = self._played[asked["episode"]]
        message = Message.from_dict(asked["message"])
        if message.tool_calls and not played.episode.reads_calls:
            message = Message("assistant", spelled_calls(message))
        step = await played.episode.step(message)
        played.turns.append(_turn(message, step.messages, step.reward))
        played.done = step.done
        return {"messages": [message.to_dict() for message in step.messages], "done": step.done}

    async def _score(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        played = self._played.pop(asked["episode"])
        try:
            ending = Ending(EndingKind.FINISHED) if played.done else Ending(EndingKind.TRUNCATED, "turns")
            rollout = Rollout(
                played.task.task_id, 0, 0, tuple(played.turns), ending, score=await played.episode.score()
            )
            score = await rewards_of(played.environment)["strict"](rollout, played.task)
        finally:
            await played.episode.close()
        return {"score": score.to_dict()}


def _turn(message: Message, answers: tuple[Message, ...], reward: float | None) -> Turn:
    completion = Completion(token_ids=(), logprobs=(), finish_reason="stop", version_spans=((0, 0),))
    return Turn(
        (), extends_previous=False, completion=completion, message=message, env_messages=answers, env_reward=reward
    )


async def main() -> None:
    """Answer the calls on standard input until it ends."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=MAX_LINE_BYTES)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    # What is printed in between, by environments or verifiers, must not be taken for an answer.
    out, sys.stdout = sys.stdout, sys.stderr
    player, tasks = EpisodePlayer(), set[asyncio.Task[None]]()

    async def answered(line: bytes) -> None:
        out.write(json.dumps(await player.answer(json.loads(line))) + "\n")
        out.flush()

    async with Host():
        while line := await reader.readline():
            task = asyncio.create_task(answered(line))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        await player.close()


if __name__ == "__main__":
    asyncio.run(main())

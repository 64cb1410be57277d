"""Plays exported episodes with a model that another program asks, over lines of JSON on standard input and output.

    {"id": 1, "call": "start", "episode": "a", "environment": {...}, "task": {...}}  ->  {"id": 1, ...}, see below
    {"id": 2, "call": "reply", "episode": "a", "completion": {...}}    a chat completion, as OpenAI's servers write it
    {"id": 3, "call": "cut", "episode": "a", "reason": "time"}         a limit of the other program ended the episode
    {"id": 4, "call": "close", "episode": "a"}  ->  {"id": 4}          also in the middle, and of what is closed already

The first three are answered by what the model is asked next, {"keep": 3, "messages": [...], "tools": [...]}: the first
three messages of the conversation, the model's own included, then these; or at the end by {"score": {...}}. An answer
with "error" instead says what failed: nothing was measured. Calls may be made before earlier ones are answered.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.endpoints.chat import InvalidReplyError, parse_reply, wire_messages
from assay.endpoints.responder import Reply
from assay.engines.engine import Sampling
from assay.environments import make_environment
from assay.environments.environment import Environment, rewards_of
from assay.errors import ContextLengthError, EngineError, WorldError
from assay.host import Host
from assay.rollout.runner import run_rollout
from assay.types import Ending, EndingKind, Message, Task, Tool
from assay.verifiers import close_verifiers

MAX_LINE_BYTES = 16_000_000
_MAX_TOKENS = 10**9
"""The other program limits completions, and says so in its finish reason."""


class OutsideModel:
    """A responder whose replies another program gives."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        """What the model is asked next."""
        self.cut_by = ""
        """The limit of the other program that ended the episode; empty where none did."""
        self._answer: asyncio.Future[Reply] | None = None
        self._shown: list[Message] = []
        self._reply: Reply | None = None

    async def respond(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        request_id: str,
        seed: int,
        tools: Sequence[Tool] = (),
    ) -> Reply:
        """See `Responder.respond`."""
        if self.cut_by:
            raise ContextLengthError(self.cut_by)
        keep = self._num_kept(messages)
        self._shown = list(messages)
        self._answer = asyncio.get_running_loop().create_future()
        shown, offered = wire_messages(messages, tools)
        self.asked.set_result({"keep": keep, "messages": shown[keep:], "tools": offered})
        self._reply = await self._answer
        return self._reply

    def reply(self, completion: Mapping[str, Any]) -> None:
        """Give the model's answer to what was asked."""
        answer = self._open_answer()
        try:
            answer.set_result(parse_reply(json.dumps(completion).encode(), _MAX_TOKENS))
        except InvalidReplyError as error:
            answer.set_exception(EngineError(f"the model {error}"))

    def cut(self, reason: str) -> None:
        """Truncate the episode where it is: what was said until now is scored."""
        self.cut_by = reason
        if self._answer is not None and not self._answer.done():
            self._open_answer().set_exception(ContextLengthError(reason))

    async def close(self) -> None:
        """Nothing is held."""

    def _open_answer(self) -> asyncio.Future[Reply]:
        if self._answer is None or self._answer.done():
            raise EngineError("the model was asked nothing")
        self.asked = asyncio.get_running_loop().create_future()
        return self._answer

    def _num_kept(self, messages: Sequence[Message]) -> int:
        """The number of messages at the head that the other program holds in just this form."""
        kept = 0
        for held, message in zip(self._shown, messages, strict=False):
            if held != message:
                return kept
            kept += 1
        reply = self._reply
        if reply is None or kept >= len(messages) or kept < len(self._shown):
            return kept
        said = messages[kept]
        given_calls = [call["id"] for call in reply.tool_calls]
        return kept + (said.content == reply.text and [call.id for call in said.calls] == given_calls)


@dataclass
class _Played:
    """An episode, under way or at its end."""

    model: OutsideModel
    playing: asyncio.Task[dict[str, Any]]


class EpisodePlayer:
    """Holds the episodes that another program plays."""

    def __init__(self) -> None:
        self._played: dict[str, _Played] = {}
        self._made: dict[str, Environment] = {}

    async def answer(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one call; never raises."""
        calls = {"start": self._start, "reply": self._reply, "cut": self._cut, "close": self._close}
        try:
            return {"id": asked["id"], **await calls[asked["call"]](asked)}
        except Exception as error:
            return {"id": asked.get("id"), "error": f"{type(error).__name__}: {error}"[:2000]}

    async def close(self) -> None:
        """Close every episode that is left."""
        for episode in list(self._played):
            await self._close({"episode": episode})
        await close_verifiers([rewards_of(made)["strict"] for made in self._made.values()])

    async def _start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        key = json.dumps(asked["environment"], sort_keys=True)
        if key not in self._made:
            options = {name: value for name, value in asked["environment"].items() if name != "name"}
            self._made[key] = make_environment(asked["environment"]["name"], options)
        model = OutsideModel()
        playing = asyncio.create_task(_play(self._made[key], Task.from_dict(asked["task"]), model))
        self._played[asked["episode"]] = _Played(model, playing)
        return await self._next(asked)

    async def _reply(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._of(asked).model.reply(asked["completion"])
        return await self._next(asked)

    async def _cut(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._of(asked).model.cut(asked["reason"])
        return await self._next(asked)

    async def _close(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        played = self._played.pop(asked["episode"], None)
        if played is not None:
            played.playing.cancel()
            await asyncio.gather(played.playing, return_exceptions=True)
        return {}

    def _of(self, asked: Mapping[str, Any]) -> _Played:
        if asked["episode"] not in self._played:
            raise WorldError(f"there is no episode {asked['episode']!r} under way")
        return self._played[asked["episode"]]

    async def _next(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        played = self._of(asked)
        await asyncio.wait({played.playing, played.model.asked}, return_when=asyncio.FIRST_COMPLETED)
        if played.playing.cancelled():
            raise WorldError(f"the episode {asked['episode']!r} was closed")
        return played.playing.result() if played.playing.done() else played.model.asked.result()


async def _play(environment: Environment, task: Task, model: OutsideModel) -> dict[str, Any]:
    """Play an episode to its end, and return its score.

    Raises:
        InfrastructureError: it broke, or nothing was said; there is no score.
    """
    sampling = Sampling(max_new_tokens=_MAX_TOKENS)
    try:
        rollout = await run_rollout(
            task,
            environment.episode,
            model,
            None,
            sampling,
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=environment.turns_of,
        )
    except ContextLengthError as error:
        raise EngineError(f"the episode ended before the model had spoken: {model.cut_by}") from error
    if rollout.ending.kind is EndingKind.BROKEN:
        raise WorldError(rollout.ending.reason)
    if model.cut_by and rollout.ending.kind is EndingKind.TRUNCATED:
        rollout = replace(rollout, ending=Ending(EndingKind.TRUNCATED, model.cut_by))
    score = await rewards_of(environment)["strict"](rollout, task)
    return {"score": score.to_dict()}


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
        try:
            while line := await reader.readline():
                task = asyncio.create_task(answered(line))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            await player.close()
            await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main())

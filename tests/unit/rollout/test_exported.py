"""Exported episodes, played by another program: the conversation that it is told to keep, and how each of them ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from assay.environments.database import Database
from assay.rollout.exported import EpisodePlayer
from assay.types import Message, Task

WORLD = """
from typing import Literal

from assay.environments import Environment, Episode, EpisodeStep
from assay.types import Message, Score, Task
from assay.verifiers import EpisodeScore


class Notes(Environment):
    name: Literal["notes"] = "notes"
    log: str

    def turns_of(self, task):
        return 3

    def episode(self, task):
        return NotesEpisode(self.log, task.prompt)

    @property
    def rewards(self):
        return {"strict": EpisodeScore()}


class NotesEpisode(Episode):
    def __init__(self, log, prompt):
        self.log, self.prompt, self.said = log, prompt, []

    async def start(self):
        return self.prompt

    async def step(self, message):
        self.said.append(message.content)
        if message.content == "break":
            raise RuntimeError("the world fell over")
        if message.content == "restart":
            return EpisodeStep((self.prompt[0], Message("user", "anew")), restart=True)
        return EpisodeStep((Message("user", "go on"),))

    async def score(self):
        return Score.failed("unfinished", parts={"said": len(self.said)})

    async def close(self):
        with open(self.log, "a") as file:
            print("closed", *self.said, file=file)
"""
Ask = Callable[..., Coroutine[Any, Any, dict[str, Any]]]


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[Callable[[Ask], Coroutine[Any, Any, None]]], list[str]]:
    """Plays episodes of a world that notes what it hears; gives what it noted as each of them was closed."""
    file, log = tmp_path / "world.py", tmp_path / "log"
    file.write_text(WORLD)
    log.touch()
    task = Task("notes", (Message("system", "be brief"), Message("user", "begin")), "").to_dict()

    def played(play: Callable[[Ask], Coroutine[Any, Any, None]]) -> list[str]:
        async def run() -> None:
            player = EpisodePlayer()

            async def ask(call: str, said: str = "", *, episode: str = "a", **more: Any) -> dict[str, Any]:
                if call == "start":
                    more = {"environment": {"name": f"{file}:Notes", "log": str(log)}, "task": task}
                if call == "reply":
                    more = {"completion": more.pop("given", None) or completion(said, **more)}
                return await player.answer({"id": 1, "call": call, "episode": episode, **more})

            await play(ask)
            await player.close()

        asyncio.run(run())
        return log.read_text().splitlines()

    return played


def completion(content: str, *, finish_reason: str = "stop", calls: tuple[tuple[str, str], ...] = ()) -> dict[str, Any]:
    """A chat completion, with the calls of these names and arguments."""
    tool_calls = [
        {"type": "function", "id": f"call-{number}", "function": {"name": name, "arguments": arguments}}
        for number, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": tool_calls}
    return {"choices": [{"message": message, "finish_reason": finish_reason}]}


def test_the_other_program_keeps_what_it_holds(notes: Any) -> None:
    async def play(ask: Ask) -> None:
        begun = await ask("start")
        assert (begun["keep"], [each["content"] for each in begun["messages"]]) == (0, ["be brief", "begin"])
        further = await ask("reply", "one")
        assert (further["keep"], [each["content"] for each in further["messages"]]) == (3, ["go on"])
        anew = await ask("reply", "restart")
        assert (anew["keep"], [each["content"] for each in anew["messages"]]) == (1, ["anew"])
        ended = await ask("reply", "three")
        assert ended["score"]["parts"] == {"said": 3.0}, "after the turns of the task, which are three"
        assert (await ask("cut", reason="time"))["score"] == ended["score"], "what is over stays as it was"

    assert notes(play) == ["closed one restart three"]


def test_calls_are_data_and_what_cannot_be_read_is_told() -> None:
    environment = Database()
    task = next(environment.tasks("test"))

    async def play() -> None:
        player = EpisodePlayer()

        async def ask(call: str, **more: Any) -> dict[str, Any]:
            return await player.answer({"id": 1, "call": call, "episode": "a", **more})

        begun = await ask("start", environment=environment.plain(), task=task.to_dict())
        assert [tool["function"]["name"] for tool in begun["tools"]] == ["query"]
        read = await ask("reply", completion=completion("", calls=(("query", '{"sql": "SELECT 1"}'),)))
        (answer,) = read["messages"]
        assert (read["keep"], answer["role"], answer["tool_call_id"]) == (2, "tool", "call-0")
        unread = await ask("reply", completion=completion("", calls=(("query", '{"sql": '),)))
        said, told = unread["messages"]
        assert unread["keep"] == 3, "a call that was not carried out has no answer of a tool: it is text"
        assert (said["role"], said.get("tool_calls"), told["role"]) == ("assistant", None, "user")
        assert told["content"].startswith("Error: ")
        nameless = completion("", calls=(("query", '{"sql": "SELECT 2"}'),))
        del nameless["choices"][0]["message"]["tool_calls"][0]["id"]
        named = await ask("reply", completion=nameless)
        said, answer = named["messages"]
        assert named["keep"] == 5, "a call without an id gets one"
        assert said["tool_calls"][0]["id"] == answer["tool_call_id"] != ""
        await player.close()

    asyncio.run(play())


def test_how_an_episode_ends(notes: Any) -> None:
    async def play(ask: Ask) -> None:
        await ask("start", episode="length")
        cut_short = await ask("reply", "half", episode="length", finish_reason="length")
        assert cut_short["score"]["parts"] == {"said": 0.0}, "half a message is not acted on"
        await ask("start", episode="limit")
        await ask("reply", "one", episode="limit")
        assert (await ask("cut", episode="limit", reason="time"))["score"]["parts"] == {"said": 1.0}
        await ask("start", episode="early")
        assert "before the model had spoken: time" in (await ask("cut", episode="early", reason="time"))["error"]
        await ask("start", episode="broken")
        assert "the world fell over" in (await ask("reply", "break", episode="broken"))["error"]
        await ask("start", episode="none")
        none = await ask("reply", episode="none", given={"choices": []})
        assert "answered without choices" in none["error"]

    assert notes(play) == ["closed", "closed one", "closed", "closed break", "closed"]


def test_every_episode_is_closed(notes: Any) -> None:
    async def play(ask: Ask) -> None:
        await ask("start")
        await ask("reply", "one")
        assert await ask("close") == {"id": 1}
        assert await ask("close") == {"id": 1}
        assert "no episode 'a' under way" in (await ask("reply", "two"))["error"]
        await ask("start", episode="left")
        await ask("reply", "two", episode="left")
        waiting = asyncio.create_task(ask("start", episode="early"))
        await asyncio.sleep(0)
        await ask("close", episode="early")
        assert "was closed" in (await waiting)["error"]

    assert notes(play) == ["closed one", "closed two"]

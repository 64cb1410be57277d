"""FilesEpisode: a shell and two tools on a folder, judged by what the folder holds in the end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.environments.episode import EpisodeStep
from assay.environments.files.workspace import Workspace
from assay.environments.files.world import FilesWorld
from assay.environments.tools import ToolEpisode
from assay.types import Message, Score, Task, Tool


def _tool(name: str, description: str, **texts: str) -> Tool:
    properties = {key: {"type": "string", "description": text} for key, text in texts.items()}
    schema = {"type": "object", "properties": properties, "required": list(texts), "additionalProperties": False}
    return Tool(name, description, schema)


TOOLS = (
    _tool("shell", "Runs a command of the shell in the folder and returns what it prints.", command="The command."),
    _tool("read", "Returns the text of a file.", path="Its path, such as notes/a.txt."),
    _tool("write", "Makes or replaces a file.", path="Its path.", text="All that it shall hold."),
)


@dataclass
class FilesEpisode(ToolEpisode):
    """Ends with a message that calls no tool. Solved where every file is as it must be, and there is no other."""

    task: Task
    world: FilesWorld
    tools: Sequence[Tool] = TOOLS
    _workspace: Workspace = field(init=False)

    def __post_init__(self) -> None:
        self._workspace = Workspace({path: text.encode() for path, text in self.world.files.items()})

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if name == "shell":
            return await self._workspace.shell(arguments["command"])
        if name == "read":
            return self._workspace.read(arguments["path"])
        return self._workspace.write(arguments["path"], arguments["text"])

    async def answer(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)

    async def score(self) -> Score:
        """By the folder, read from outside."""
        found = {path: data.decode("utf-8", "replace").strip() for path, data in self._workspace.files.items()}
        wanted = {path: text.strip() for path, text in self.world.after.items()}
        right = sum(found.get(path) == text for path, text in wanted.items())
        parts = {"files_right": right / len(wanted)}
        if found == wanted:
            return Score.solved(parts=parts)
        if missing := [path for path in wanted if path not in found]:
            return Score.failed("missing", parts=parts, evidence=missing[0])
        if more := [path for path in found if path not in wanted]:
            return Score.failed("another file", parts=parts, evidence=more[0][:80])
        wrong = next(path for path, text in wanted.items() if found[path] != text)
        return Score.failed("wrong", parts=parts, evidence=f"{wrong}: {found[wrong]!r:.60}")


@dataclass
class Reader:
    """The expert: reads one file after the other, and then writes."""

    world: FilesWorld
    _seen: dict[str, str] = field(default_factory=dict, init=False)
    _path: str = field(init=False)
    _to_write: list[tuple[str, str]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        found = re.search(r"the file (\S+);", self.world.request)
        assert found is not None
        self._path = found[1]

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if messages[-1].role == "tool" and self._to_write is None:
            self._seen[self._path] = text = messages[-1].content
            onward = _field(text, "next")
            if onward == "none":
                self._to_write = self._writes()
            else:
                self._path = onward
        if self._to_write is None:
            return _call("read", path=self._path)
        if self._to_write:
            path, text = self._to_write.pop(0)
            return _call("write", path=path, text=text)
        return Message("assistant", "done")

    def _writes(self) -> list[tuple[str, str]]:
        if self.world.kind == "find":
            return [("answer.txt", _field(self._seen[self._path], "word"))]
        if self.world.kind == "sum":
            return [("answer.txt", str(sum(int(_field(text, "number")) for text in self._seen.values())))]
        return [(path, re.sub(r"^word: .*$", "word: done", text, flags=re.M)) for path, text in self._seen.items()]


@dataclass
class Blind:
    """The weak script: writes before it has read anything, the name of the first file where what it holds is asked."""

    world: FilesWorld
    _wrote: bool = field(default=False, init=False)

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if self._wrote:
            return Message("assistant", "done")
        self._wrote = True
        path = self.world.path[0]
        if self.world.kind == "edit":
            return _call("write", path=path, text="word: done\n")
        return _call("write", path="answer.txt", text=path)


def _field(text: str, name: str) -> str:
    return next(line.removeprefix(f"{name}: ") for line in text.split("\n") if line.startswith(f"{name}: "))


def _call(tool: str, **arguments: str) -> Message:
    return Message(
        "assistant", "", ({"type": "function", "id": "", "function": {"name": tool, "arguments": arguments}},)
    )

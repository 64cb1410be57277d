"""An environment of Assay as a taskset of verifiers, v1: the module `taskset`, with this folder on the Python path."""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterable

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import assay_player  # pyright: ignore[reportMissingImports]

__all__ = ["AssayTaskset"]


class AssayData(vf.TaskData):
    """A task of the environment."""

    row: dict
    """The task as Assay writes it."""


class AssayTask(vf.Task[AssayData]):
    """A task that the environment's own reward scores."""

    @vf.reward
    async def reward(self, trace: vf.Trace) -> float:
        """The environment's reward; raises where nothing was measured, which is not 0."""
        player = assay_player.player()
        begun = await player.start(self.data.row)
        message = {"role": "assistant", "content": trace.last_reply}
        await player.ask("step", episode=begun["episode"], message=message)
        return float((await player.score(begun["episode"]))["value"])


class AssayTaskset(vf.Taskset[AssayTask, vf.TasksetConfig]):
    """The exported tasks."""

    def load(self) -> Iterable[AssayTask]:
        """Yield each task, its prompt as messages."""
        kinds = {"system": vf.SystemMessage, "user": vf.UserMessage, "assistant": vf.AssistantMessage}
        for row in assay_player.read_tasks():
            prompt = [kinds[role](content=content) for role, content, *_ in row["prompt"]]
            yield AssayTask(AssayData(prompt=prompt, row=row), self.config.task)

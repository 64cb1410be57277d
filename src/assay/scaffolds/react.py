"""React: think, act, observe, as in Yao et al. 2022 (https://arxiv.org/abs/2210.03629)."""

from __future__ import annotations

import dataclasses
from typing import Literal

from assay.environments import Episode, EpisodeStep
from assay.scaffolds.scaffold import Scaffold, Scaffolded, with_instruction
from assay.types import Message, Task

INSTRUCTION = "First think, in a line that begins with Thought: and then answer, in a line that begins with Action:"
NO_ACTION = Message("user", "There is no line that begins with Action: so nothing was done. Write one.")
_MARK = "action:"


class React(Scaffold):
    """The model thinks before each action, and the world sees the action alone.

    What follows the last "Action:" of a message is the action; a message that calls tools is passed on as it is. A
    message without either does nothing, and is told so. Messages of the world begin with "Observation:".
    """

    name: Literal["react"] = "react"

    def around(self, episode: Episode, task: Task) -> Episode:
        return _Reacting(episode)


class _Reacting(Scaffolded):
    async def start(self) -> tuple[Message, ...]:
        return with_instruction(await self.inner.start(), INSTRUCTION)

    async def step(self, message: Message) -> EpisodeStep:
        _, mark, action = _after_last(message.content)
        if not mark and not message.tool_calls and not message.call_errors:
            return EpisodeStep((NO_ACTION,))
        if mark:
            message = dataclasses.replace(message, content=action)
        step = await self.inner.step(message)
        return dataclasses.replace(step, messages=tuple(map(_observed, step.messages)))


def _after_last(text: str) -> tuple[str, str, str]:
    at = text.lower().rfind(_MARK)
    return (text[:at], text[at : at + len(_MARK)], text[at + len(_MARK) :].strip()) if at >= 0 else (text, "", "")


def _observed(message: Message) -> Message:
    if message.role != "user":
        return message
    return dataclasses.replace(message, content=f"Observation: {message.content}")

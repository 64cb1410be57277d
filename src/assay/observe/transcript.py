"""A transcript: the turns of a rollout as lines that people read, for the terminal and for the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from assay.types import Message, ToolCall


@dataclass(frozen=True)
class Line:
    """A line of a transcript. Its text is what a model or an environment wrote: hostile until shown to be safe."""

    who: str
    """The speaker, or what the line is about: "assistant", "call", "call error", "tool look", "user", "reward"."""
    text: str

    def to_dict(self) -> dict[str, str]:
        return dict(vars(self))


def call_text(call: ToolCall) -> str:
    """Return a call as it would stand in a program.

    Example:
        >>> call_text(ToolCall("", "move", {"to": "attic", "steps": 2}))
        'move(to="attic", steps=2)'
    """
    given = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in call.arguments.items())
    return f"{call.name}({given})"


def said_lines(message: Message) -> list[Line]:
    """Return what a message says, the calls in it that could be read, and what is wrong with those that could not."""
    who = " ".join(filter(None, [message.role, message.name]))
    calls = [Line("call", call_text(call)) for call in message.calls]
    errors = [Line("call error", error) for error in message.call_errors]
    spoken = [Line(who, message.content)] if message.content or not (calls or errors) else []
    return [*spoken, *calls, *errors]


def answer_lines(env_messages: Sequence[Message], reward: float | None) -> list[Line]:
    """Return what the environment said after a turn and what it paid for it: "-" where it paid nothing for turns."""
    said = [line for message in env_messages for line in said_lines(message)]
    return [*said, Line("reward", "-" if reward is None else f"{reward:g}")]


def turn_title(number: int, *, rewritten: bool, state: str) -> str:
    """Return the heading of turn `number`, from 0."""
    parts = [f"turn {number + 1}"]
    if state:
        parts.append(f"state {state}")
    if rewritten:
        parts.append("prompt rewritten: a new sample")
    return ", ".join(parts)

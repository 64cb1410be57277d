"""Script: who plays an episode by rule and without a model, such as an expert that solves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from assay.types import Message, Tool


@runtime_checkable
class Script(Protocol):
    """Takes the assistant's part in one episode; single use, so that it may remember."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        """Return the assistant's next message.

        Args:
            messages: the conversation until now, the environment's last messages included.
            tools: the tools that may be called.
        """
        ...


@dataclass
class Says:
    """The script that says one text, whatever it is shown."""

    text: str

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        return Message("assistant", self.text)

"""Proposals: how the tasks of an environment are proposed by the model that is trained, and how their truth is settled.

    shown tasks --ask--> prompt --model--> proposal --read--> --settle--> Task, or RefusedProposalError with the stage

A proposal is hostile input: bounded, parsed, and run in the sandbox alone. The answer is never the model's own word.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from assay.types import PROPOSAL, Message, Task

Stage = Literal["read", "settle", "new"]
"""What a proposal was refused at: it is no proposal, an executor could not settle its truth, or it is not new."""

MAX_CHARACTERS = 4000
"""Characters of a proposal: a longer one is refused unread."""


class RefusedProposalError(Exception):
    """A proposal is refused.

    Attributes:
        stage: what it was refused at.
        reason: in a word or two, the same for the same fault, so that it can be counted.
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(reason)
        self.stage: Stage = stage
        self.reason = reason


class Proposals(ABC):
    """Base class of what an environment knows of proposals: `Environment.proposals` gives one.

    A subclass gives `instruction`, `shown` and `settle`. A task that it settles is one that the environment might have
    given itself: the same prompt, the same reward. Its `metadata["canonical"]` is its normal form, equal for tasks that
    are the same to a person, and decides the split as it does for given tasks.
    """

    instruction: ClassVar[str]
    """The user's message that asks for one task."""

    @abstractmethod
    def shown(self, task: Task) -> str:
        """A task as a proposal of it reads."""

    @abstractmethod
    async def settle(self, text: str) -> Task:
        """The task that a proposal means, its answer settled by an executor.

        Raises:
            RefusedProposalError: it is no proposal, has no settled answer, or belongs to the held-out splits.
            InfrastructureError: the executor failed; nothing is known of the proposal.
        """

    def text_of(self, task: Task) -> str:
        """The text whose n-grams are compared with those of held-out tasks; empty where the split of the normal form
        says all."""
        return ""

    def ask(self, shown: Sequence[Task]) -> Task:
        """The task of proposing one: an exchange for each task that is shown, and the instruction once more."""
        ask = Message("user", self.instruction)
        exchanges = [message for task in shown for message in (ask, Message("assistant", self.shown(task)))]
        return Task(domain=PROPOSAL, prompt=(*exchanges, ask), answer="", metadata={PROPOSAL: True})


def single_line(text: str, max_characters: int = 200) -> str:
    """The only line of a proposal that has one, without white space around it.

    Raises:
        RefusedProposalError: there are more, none, or it is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise RefusedProposalError("read", "too long")
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if len(lines) != 1:
        raise RefusedProposalError("read", "several lines" if lines else "empty")
    if len(lines[0]) > max_characters:
        raise RefusedProposalError("read", "too long")
    return lines[0]

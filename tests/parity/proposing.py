"""An environment whose tasks a random model can propose: any line of an even number of characters is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from assay import Environment, Message, Task
from assay.environments.proposals import Proposals, RefusedProposalError


class Lines(Environment):
    """Repeat a line; what it earns is up to the verifier."""

    name: Literal["lines"] = "lines"

    def tasks(self, split: str, *, complexity: Any = None, horizon: Any = None, seed: int = 0) -> Iterator[Task]:
        for number in range(100):
            yield task_of(f"{split} {number}")

    def proposals(self) -> Proposals:
        return LineProposals()


def task_of(line: str) -> Task:
    return Task("lines", (Message("user", f"Repeat: {line}"),), line, metadata={"canonical": line})


class LineProposals(Proposals):
    """Refuses a line by its length: a random model writes some of each."""

    instruction = "Write a line."

    def shown(self, task: Task) -> str:
        return task.answer

    async def settle(self, text: str) -> Task:
        if len(text) % 3 == 0:
            raise RefusedProposalError("read", "a third")
        return task_of(text[:3])

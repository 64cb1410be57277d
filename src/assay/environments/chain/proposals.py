"""Chains that a model proposes: a first state and updates in one line, which the machine carries out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from assay.environments.chain.machines import Machine, State
from assay.environments.proposals import Proposals, RefusedProposalError, single_line
from assay.environments.splits import hashed_split
from assay.types import Task

MAX_LINE = 1000
"""Characters of a proposed chain."""


class Chains(Proposals):
    """Chains such as "12; add 7; add 3", each on the first level of the complexity dial that allows all of it.

    Args:
        machines: the machine of each complexity, easiest first.
        task_of: machine, first state and updates to the task, as the environment gives it.
        max_updates: a longer chain is refused.
    """

    instruction: ClassVar[str] = "Write a new chain: how it starts, and then its updates."

    def __init__(
        self, machines: Sequence[Machine], task_of: Callable[[Machine, State, list[str]], Task], max_updates: int
    ) -> None:
        self._machines = machines
        self._task_of = task_of
        self._max_updates = max_updates

    def shown(self, task: Task) -> str:
        machine, world = self._machines[int(task.complexity or 1) - 1], task.metadata["world"]
        return "; ".join([machine.shown(tuple(world["start"])), *world["updates"]])

    async def settle(self, text: str) -> Task:
        start, *updates = (part.strip() for part in single_line(text, MAX_LINE).rstrip(".;").split(";"))
        if not updates:
            raise RefusedProposalError("read", "no updates")
        if len(updates) > self._max_updates:
            raise RefusedProposalError("read", "too long")
        for machine in self._machines:
            first = machine.read(start)
            if first is None or machine.shown(first) != start:
                continue
            if _is_allowed(machine, first, updates):
                task = self._task_of(machine, first, updates)
                if hashed_split(task.domain, task.metadata["canonical"]) != "train":
                    raise RefusedProposalError("new", "held out")
                return task
        raise RefusedProposalError("settle", "an update that no level allows")


def _is_allowed(machine: Machine, first: State, updates: Sequence[str]) -> bool:
    state = first
    if not machine.can_start(state):
        return False
    for update in updates:
        if not machine.allows(state, update):
            return False
        state = machine.apply(state, update)
    return True

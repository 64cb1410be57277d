"""Chain: trivial updates of a small state, so many in a row that horizon alone makes them hard."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import ClassVar, Literal

import pydantic

from assay.environments.chain.episode import ChainEpisode, Keeper, Still
from assay.environments.chain.machines import MACHINES, Machine, State
from assay.environments.chain.proposals import Chains
from assay.environments.dials import Generated, drawn_tasks
from assay.environments.episode import Episode
from assay.environments.proposals import Proposals
from assay.environments.script import Script
from assay.seeds import derive_seed
from assay.types import Message, Split, Task

MAX_COMPLEXITY = 3
MAX_HORIZON = 256


class Chain(Generated):
    """Keep a state through H updates and report it: solved where the last report is right.

    Horizon is H, the number of updates; the model reports after each (form "turns"), or once after reading all of them
    (form "single"): the same tasks, with and without its own words to lean on. Complexity is how much one update has to
    do with:

    | machine  | 1                         | 2                      | 3                      |
    |----------|---------------------------|------------------------|------------------------|
    | register | add 1 to 9, up to 99      | also take away         | up to 999, steps to 99 |
    | ledger   | two people                | three                  | four                   |
    | stack    | up to three digits        | four                   | five                   |

    Nothing says whether a report was right, and only the last one counts, so that an error may be mended. See Sinha et
    al. 2025 (https://arxiv.org/abs/2509.09677) for what long chains of simple steps show.
    """

    max_complexity: ClassVar[int] = MAX_COMPLEXITY
    max_horizon: ClassVar[int] = MAX_HORIZON
    listed_horizons: ClassVar[tuple[int, ...]] = (1, 2, 4, 8, 16)
    horizon_unit: ClassVar[str] = "updates"

    name: Literal["chain"] = "chain"
    machine: Literal["register", "ledger", "stack"] = "register"
    """The state that is kept: one number, what several people have, or a stack of digits."""
    form: Literal["turns", "single"] = "turns"
    """"turns": an update each turn, and a report after each; "single": all updates in one prompt, and one report."""
    pays_turns: bool = False
    """True to pay 1 for each turn whose report is right, for credit over turns."""
    horizon: int = pydantic.Field(default=4, ge=1, le=MAX_HORIZON)
    """The number of updates where nobody sets the dial."""

    @property
    def max_turns(self) -> int:
        return MAX_HORIZON if self.form == "turns" else 1

    def turns_of(self, task: Task) -> int:
        """Twice as many as there are updates: room for turns that a scaffold spends on something else."""
        return 2 * int(task.horizon or 1) if self.form == "turns" else 1

    def usual_horizon(self, complexity: int) -> int:
        """The setting `horizon`."""
        return self.horizon

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""
        machine = MACHINES[self.machine](complexity)

        def draw(rng: random.Random) -> Task:
            first = state = machine.start(rng)
            updates: list[str] = []
            for _ in range(horizon):
                updates.append(machine.draw(rng, state))
                state = machine.apply(state, updates[-1])
            return self._task(machine, first, updates)

        return drawn_tasks(draw, split, derive_seed(seed, self.name, self.machine, split, complexity, horizon))

    def proposals(self) -> Proposals:
        machines = [MACHINES[self.machine](complexity) for complexity in range(1, MAX_COMPLEXITY + 1)]
        return Chains(machines, self._task, max(self.listed_horizons))

    def _task(self, machine: Machine, first: State, updates: list[str]) -> Task:
        state = first
        for update in updates:
            state = machine.apply(state, update)
        canonical = f"{self.machine}: {machine.shown(first)}; {'; '.join(updates)}"
        return Task(
            domain=self.name,
            prompt=(Message("user", self._text(machine, first, updates)),),
            answer=machine.shown(state),
            complexity=machine.complexity,
            horizon=len(updates),
            metadata={"canonical": canonical, "world": {"start": list(first), "updates": updates}},
        )

    def _text(self, machine: Machine, first: State, updates: list[str]) -> str:
        if self.form == "single":
            ask = "Say only what it is after all updates."
            shown = updates
        else:
            ask = "Say only what it is after each update."
            shown = updates[:1]
        lines = [f"{machine.rules} It starts as: {machine.shown(first)}. {ask}"]
        return "\n".join([*lines, *(f"Update: {update}" for update in shown)])

    def episode(self, task: Task) -> Episode:
        machine, first, updates = self._parts(task)
        states = [first]
        for update in updates:
            states.append(machine.apply(states[-1], update))
        return ChainEpisode(task, machine, tuple(states), updates, self.form == "turns", self.pays_turns)

    def expert(self, task: Task) -> Script:
        machine, first, _ = self._parts(task)
        return Keeper(machine, first)

    def weak(self, task: Task) -> Script:
        machine, first, _ = self._parts(task)
        return Still(machine, first)

    def _parts(self, task: Task) -> tuple[Machine, State, tuple[str, ...]]:
        machine = MACHINES[self.machine](int(task.complexity or 1))
        return machine, tuple(task.metadata["world"]["start"]), tuple(task.metadata["world"]["updates"])

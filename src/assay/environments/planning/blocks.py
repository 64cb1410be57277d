"""Blocks: a table and blocks that stand on it or on each other; one is moved at a time."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterator
from typing import Any

from assay.environments.planning.world import Move, PlanningWorld, Problem, State, distances

TABLE = "table"
NUM_BLOCKS = {1: 4, 2: 5, 3: 6}
"""Complexity to the number of blocks."""
_NUM_GOALS = 100
"""Goals that are drawn from the states around one start."""
_MOVE = re.compile(r"move ([A-Z]) (?:on)?to (?:the )?(table|[A-Z])", re.IGNORECASE)
_FACT = re.compile(r"([A-Z]) is on (?:the )?(table|[A-Z])\.")


class Blocks(PlanningWorld):
    """A state is a tuple of what each block stands on, in the order of the blocks' names."""

    name = "blocks"
    rules = (
        "A move takes one block that nothing stands on, and puts it on the table or on another block that nothing "
        "stands on. A move that changes nothing, such as a block to where it stands already, is not allowed. Write "
        'each move on a line of its own: "move X to Y", or "move X to the table".'
    )

    def problems(self, rng: random.Random, complexity: int, horizon: int) -> Iterator[Problem]:
        names = sorted(rng.sample(string.ascii_uppercase, NUM_BLOCKS[complexity]))
        problem: dict[str, Any] = {"start": dict(zip(names, _stacked(rng, names), strict=True)), "goal": {}}
        around = distances(self, problem, horizon)
        far = sorted(state for state, distance in around.items() if distance == horizon)  # pyright: ignore
        for state in rng.sample(far, min(len(far), _NUM_GOALS)):
            yield {**problem, "goal": dict(zip(names, state, strict=True))}  # pyright: ignore

    def text(self, problem: Problem) -> str:
        start, goal = (
            " ".join(f"{block} is on {'the ' if on == TABLE else ''}{on}." for block, on in problem[part].items())
            for part in ("start", "goal")
        )
        return f"Blocks stand on a table and on each other.\nNow: {start}\nGoal: {goal}\n{self.rules}"

    def parsed(self, text: str) -> Problem:
        found = re.search(r"^Now: (.*)\nGoal: (.*)$", text, re.MULTILINE)
        assert found is not None, "a prompt of ours"
        return {"start": dict(_FACT.findall(found[1])), "goal": dict(_FACT.findall(found[2]))}

    def start(self, problem: Problem) -> State:
        return tuple(problem["start"].values())

    def moves(self, problem: Problem, state: State) -> Iterator[tuple[Move, State]]:
        assert isinstance(state, tuple)
        names = tuple(problem["start"])
        clear = [name for name in names if name not in state]
        for block in clear:
            at = names.index(block)
            for to in (*clear, TABLE):
                if to not in (block, state[at]):
                    yield ("move", block, to), (*state[:at], to, *state[at + 1 :])

    def goals(self, problem: Problem, state: State) -> list[bool]:
        assert isinstance(state, tuple)
        now = dict(zip(problem["start"], state, strict=True))
        return [now[block] == on for block, on in problem["goal"].items()]

    def facts(self, problem: Problem) -> list[tuple[str, ...]]:
        return [
            (f"{part} {on}", block) if on == TABLE else (part, block, on)
            for part in ("start", "goal")
            for block, on in problem[part].items()
        ]

    def said(self, move: Move) -> str:
        return f"move {move[1]} to {'the ' if move[2] == TABLE else ''}{move[2]}"

    def read(self, line: str) -> Move | None:
        found = _MOVE.fullmatch(line)
        if found is None:
            return None
        to = found[2].lower() if found[2].lower() == TABLE else found[2].upper()
        return "move", found[1].upper(), to


def _stacked(rng: random.Random, names: list[str]) -> list[str]:
    """What each block stands on, in a state drawn at random: each block in turn onto the table or any top."""
    on: dict[str, str] = {}
    tops: list[str] = []
    for block in rng.sample(names, len(names)):
        under = rng.choice([*tops, TABLE])
        on[block] = under
        if under != TABLE:
            tops.remove(under)
        tops.append(block)
    return [on[name] for name in names]

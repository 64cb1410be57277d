"""Scripts that plan: one searches as far as it takes, one a little, one writes the goal down as moves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.environments.planning.world import Move, PlanningWorld, Problem, play, shortest
from assay.types import Message, Tool

MAX_LOOKED = 60
"""States that the script of limited means looks at."""


@dataclass
class Searcher:
    """Plans by what the prompt says, breadth first."""

    world: PlanningWorld
    max_states: int = 1_000_000

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        problem = self.world.parsed(messages[-1].content)
        return Message(
            "assistant", "\n".join(map(self.world.said, shortest(self.world, problem, self.max_states) or ()))
        )


@dataclass
class Wisher:
    """Writes each fact of the goal as a move."""

    world: PlanningWorld

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        goal = self.world.parsed(messages[-1].content)["goal"]
        moves: list[Move] = [
            ("move", a, b) if self.world.name == "blocks" else ("drive to", b) for a, b in goal.items()
        ]
        return Message("assistant", "\n".join(map(self.world.said, moves)))


def misses(world: PlanningWorld, problem: Problem, plan: list[Move], max_moves: int) -> Iterator[str]:
    """Responses that are near a shortest plan and are none."""
    lines = list(map(world.said, plan))
    yield "\n".join(lines[:-1])
    yield "\n".join([*lines, lines[-1]])  # the last move again changes nothing, or cannot be made
    yield "\n".join(["Here is the plan:", *lines])
    yield ", ".join(lines) if len(lines) > 1 else f"{lines[0]}, done"
    yield "\n".join([*lines, "and so on"])
    there = play(world, problem, plan).state
    back = list(plan)
    while len(back) <= max_moves:  # to and fro, until it is too long, and at the goal in the end
        move, away = next(iter(world.moves(problem, there)))
        again = next(again for again, later in world.moves(problem, away) if later == there)
        back += [move, again]
    yield "\n".join(map(world.said, back))

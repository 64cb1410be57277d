"""World: a planning problem's states and moves, and the shortest plan by breadth-first search."""

from __future__ import annotations

import hashlib
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

State = Hashable
Move = tuple[str, ...]
"""A verb, and the names that it is about."""
Problem = Mapping[str, Any]
"""A start and a goal, as JSON."""

_ROUNDS = 6


class PlanningWorld(ABC):
    """Base class of worlds. Names of things are drawn anew for each task; what is the same but for names is in one
    split."""

    name: ClassVar[str]
    rules: ClassVar[str]
    """What a model is told of the moves and their form."""

    @abstractmethod
    def problems(self, rng: random.Random, complexity: int, horizon: int) -> Iterator[Problem]:
        """Problems with one start, whose shortest plans have exactly `horizon` moves; none where it has none."""

    @abstractmethod
    def text(self, problem: Problem) -> str:
        """The start and the goal in words."""

    @abstractmethod
    def parsed(self, text: str) -> Problem:
        """The problem that a prompt tells of: `text` read back."""

    @abstractmethod
    def start(self, problem: Problem) -> State:
        """The first state."""

    @abstractmethod
    def moves(self, problem: Problem, state: State) -> Iterator[tuple[Move, State]]:
        """Every move that is allowed in a state, with the state that it leads to, which is never the same."""

    @abstractmethod
    def goals(self, problem: Problem, state: State) -> list[bool]:
        """Return whether each fact of the goal holds in a state."""

    @abstractmethod
    def facts(self, problem: Problem) -> list[tuple[str, ...]]:
        """Everything that makes the problem the problem it is: a predicate, and the things that it is about."""

    @abstractmethod
    def said(self, move: Move) -> str:
        """A move as a line of a plan."""

    @abstractmethod
    def read(self, line: str) -> Move | None:
        """The move that a line of a plan says; None where it says none."""


@dataclass(frozen=True)
class PlayedPlan:
    """What became of a plan."""

    state: State
    num_moves: int
    """Moves that were made."""
    problem: str
    """What stopped it, in a word or two; empty where every move was made."""


def play(world: PlanningWorld, problem: Problem, plan: list[Move]) -> PlayedPlan:
    """Make the moves of a plan one after the other, up to the first that is not allowed."""
    state = world.start(problem)
    for number, move in enumerate(plan):
        allowed = dict(world.moves(problem, state))
        if move not in allowed:
            return PlayedPlan(state, number, f"move {number + 1} is not allowed")
        state = allowed[move]
    return PlayedPlan(state, len(plan), "")


def shortest(world: PlanningWorld, problem: Problem, max_states: int = 1_000_000) -> list[Move] | None:
    """Return a shortest plan; None where `max_states` states are looked at and none of them is the goal."""
    start = world.start(problem)
    came: dict[State, tuple[State, Move] | None] = {start: None}
    queue = deque([start])
    looked = 0
    while queue and looked < max_states:
        state = queue.popleft()
        looked += 1
        if all(world.goals(problem, state)):
            plan: list[Move] = []
            while (before := came[state]) is not None:
                state, move = before
                plan.append(move)
            return plan[::-1]
        for move, later in world.moves(problem, state):
            if later not in came:
                came[later] = (state, move)
                queue.append(later)
    return None


def distances(world: PlanningWorld, problem: Problem, most: int) -> dict[State, int]:
    """Return the states that at most so many moves lead to, each with the fewest moves that do."""
    start = world.start(problem)
    found = {start: 0}
    queue = deque([start])
    while queue:
        state = queue.popleft()
        if found[state] == most:
            continue
        for _, later in world.moves(problem, state):
            if later not in found:
                found[later] = found[state] + 1
                queue.append(later)
    return found


def shape(facts: list[tuple[str, ...]]) -> str:
    """Return a text that is the same for problems that differ in names and in the order of facts alone.

    Each thing is coloured by the facts that it is in and the colours of the things beside it, round by round
    (Weisfeiler and Leman 1968). Different problems may share a text, and are then in one split: none the worse.
    """
    colours = {thing: "" for _, *things in facts for thing in things}
    for _ in range(_ROUNDS):
        seen: dict[str, list[str]] = {thing: [] for thing in colours}
        for predicate, *things in facts:
            for place, thing in enumerate(things):
                seen[thing].append(f"{predicate} {place} {' '.join(colours[other] for other in things)}")
        colours = {thing: _hashed(colours[thing], *sorted(lines)) for thing, lines in seen.items()}
    return _hashed(*sorted(colours.values()))


def _hashed(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

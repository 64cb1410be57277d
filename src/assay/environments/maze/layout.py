"""Layouts of mazes: trees of rooms on a grid, with locked doors on the way out and their keys before them."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

STEPS: Mapping[str, tuple[int, int]] = {"north": (0, 1), "east": (1, 0), "south": (0, -1), "west": (-1, 0)}
COLOURS = ("red", "blue", "green", "white", "black", "golden")
ROOMS = (
    *("attic", "bakery", "balcony", "barn", "bathroom", "bedroom", "canteen", "cellar", "chapel", "clinic", "closet"),
    *("courtyard", "den", "dungeon", "forge", "gallery", "garage", "garden", "greenhouse", "gym", "hall", "kennel"),
    *(
        "kitchen",
        "laboratory",
        "larder",
        "laundry",
        "library",
        "lobby",
        "mill",
        "museum",
        "nursery",
        "office",
        "parlour",
    ),
    *(
        "pantry",
        "porch",
        "prison",
        "salon",
        "shed",
        "shop",
        "stable",
        "studio",
        "study",
        "temple",
        "terrace",
        "theatre",
    ),
    *("tower", "vault", "vestry", "well", "workshop"),
)
SHAPES = {1: (0, 1), 2: (1, 1), 3: (1, 3), 4: (2, 3), 5: (3, 4)}
"""Complexity to the number of locked doors (and keys), and of dead ends."""
_MAX_DETOUR, _MAX_DEAD_END = 3, 2
_TRIES = 100

State = tuple[int, frozenset[str]]
"""The room one is in, and the keys that one holds."""


def shortest_horizon(complexity: int) -> int:
    """Return the moves that a maze of this complexity needs at least: each door is passed, and each key taken."""
    return max(1, 2 * SHAPES[complexity][0])


@dataclass(frozen=True)
class Layout:
    """A maze: room 0 is the start."""

    ways: tuple[Mapping[str, tuple[int, str]], ...]
    """Doors of each room: direction to the room that it leads to, and the colour of the door; empty for no door."""
    keys: Mapping[int, str]
    """The colour of the key that lies in a room."""
    exit: int

    @classmethod
    def of(cls, world: Mapping[str, Any]) -> Layout:
        """The layout that a task's metadata holds."""
        ways: list[dict[str, tuple[int, str]]] = [{} for _ in world["rooms"]]
        for room, direction, other, colour in world["ways"]:
            ways[room][direction] = (other, colour)
            ways[other][_opposite(direction)] = (room, colour)
        return cls(tuple(ways), dict(world["keys"]), world["exit"])

    def after(self, state: State) -> Iterator[State]:
        """Every state that one move leads to."""
        room, held = state
        for other, colour in self.ways[room].values():
            if not colour or colour in held:
                yield other, held
        if room in self.keys and self.keys[room] not in held:
            yield room, held | {self.keys[room]}

    def remaining(self, state: State) -> int:
        """The fewest moves from a state to the exit."""
        return self._distances[state]

    @cached_property
    def _distances(self) -> Mapping[State, int]:
        start: State = (0, frozenset())
        before: dict[State, list[State]] = {start: []}
        queue: deque[State] = deque([start])
        while queue:
            state = queue.popleft()
            for later in self.after(state):
                if later not in before:
                    before[later] = []
                    queue.append(later)
                before[later].append(state)
        distances: dict[State, int] = {state: 0 for state in before if state[0] == self.exit}
        queue = deque(distances)
        while queue:
            state = queue.popleft()
            for earlier in before[state]:
                if earlier not in distances:
                    distances[earlier] = distances[state] + 1
                    queue.append(earlier)
        return distances


def _opposite(direction: str) -> str:
    names = list(STEPS)
    return names[(names.index(direction) + 2) % 4]


def drawn(complexity: int, horizon: int, rng: random.Random) -> dict[str, Any] | None:
    """A maze whose shortest way out has exactly `horizon` moves, as JSON; None where it does not fit the grid.

    The way out is one path. The key of a door lies before it, on the path or at the end of a detour; other branches are
    dead ends.
    """
    num_doors, num_dead_ends = SHAPES[complexity]
    spare = horizon - num_doors - max(1, num_doors)
    detours: list[int] = []
    for _ in range(num_doors):
        detours.append(rng.randint(0, min(_MAX_DETOUR, spare // 2)))
        spare -= 2 * detours[-1]
    grid = _Grid(rng)
    path = grid.branch(0, max(1, num_doors) + spare)
    if path is None:
        return None
    doors = sorted(rng.sample(range(len(path)), num_doors))
    colours = rng.sample(COLOURS, num_doors)
    keys: list[list[Any]] = []
    for door, detour, colour in zip(doors, detours, colours, strict=True):
        taken = {room for room, _ in keys}
        before = [room for room in [0, *path][: door + 1] if detour or room not in taken]
        at = rng.choice(before)
        branch = grid.branch(at, detour)
        if branch is None:
            return None
        keys.append([branch[-1] if branch else at, colour])
        grid.door(path[door], colour)
    for _ in range(num_dead_ends):
        at = rng.choice([room for room in range(len(grid.cells)) if room != path[-1]])
        if grid.branch(at, rng.randint(1, _MAX_DEAD_END)) is None:
            return None
    rooms = rng.sample(ROOMS, len(grid.cells))
    return {"rooms": rooms, "ways": grid.ways, "keys": keys, "exit": path[-1]}


class _Grid:
    """Rooms as they are laid out, each with the way by which it is reached."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.cells: list[tuple[int, int]] = [(0, 0)]
        self.ways: list[list[Any]] = []

    def branch(self, start: int, length: int) -> list[int] | None:
        """Lay out a branch of this many new rooms; None where each try runs into others."""
        for _ in range(_TRIES):
            cells, directions = [self.cells[start]], list[str]()
            while len(directions) < length:
                x, y = cells[-1]
                free = [
                    (direction, (x + dx, y + dy))
                    for direction, (dx, dy) in STEPS.items()
                    if (x + dx, y + dy) not in self.cells and (x + dx, y + dy) not in cells
                ]
                if not free:
                    break
                direction, cell = self._rng.choice(free)
                directions.append(direction)
                cells.append(cell)
            if len(directions) == length:
                return self._added(start, directions, cells[1:])
        return None

    def _added(self, start: int, directions: list[str], cells: list[tuple[int, int]]) -> list[int]:
        rooms: list[int] = []
        for direction, cell in zip(directions, cells, strict=True):
            self.cells.append(cell)
            rooms.append(len(self.cells) - 1)
            self.ways.append([start, direction, rooms[-1], ""])
            start = rooms[-1]
        return rooms

    def door(self, room: int, colour: str) -> None:
        """Lock the way by which a room is reached."""
        next(way for way in self.ways if way[2] == room)[3] = colour

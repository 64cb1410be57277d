"""The maze environment: a text world of which only the room one is in is seen."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from assay.environments.dials import Generated, numbered_tasks
from assay.environments.environment import Level
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.maze.layout import SHAPES, STEPS, Layout, drawn, shortest_horizon
from assay.environments.maze.scripts import Explorer, Northward
from assay.environments.moves import listed, read_word
from assay.environments.script import Script
from assay.environments.splits import hashed_split
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Score, Split, Task

MAX_HORIZON = 32
_TAKE = "take"


class Maze(Generated):
    """Find the exit of a maze of which only the room one is in is seen; locked doors need the key of their colour.

    Horizon, 1 to 32, is the number of moves of the shortest way out, keys included. Complexity is what is beside that
    way:

    | level      | 1 | 2 | 3 | 4 | 5 |
    |------------|---|---|---|---|---|
    | doors, keys| 0 | 1 | 1 | 2 | 3 |
    | dead ends  | 1 | 1 | 3 | 3 | 4 |

    A door takes two moves at least, so that level 5 begins at horizon 6. Moves are limited to what exploring
    everything takes, once for each key and once more. The exit earns 1.
    """

    max_complexity: ClassVar[int] = max(SHAPES)
    max_horizon: ClassVar[int] = MAX_HORIZON
    horizon_unit: ClassVar[str] = "moves of the shortest way"

    name: Literal["maze"] = "maze"
    pays_turns: bool = False
    """True to pay each turn by how much nearer to the exit it led, over the shortest way out: in sum 1 for an episode
    that gets there. A potential, so that the best play stays the best (Ng, Harada and Russell 1999)."""

    @property
    def max_turns(self) -> int:
        return 1_000

    def levels(self) -> tuple[Level, ...]:
        """Every complexity with 2, 4, 8 and 16 moves, where it is not shorter than its doors allow."""
        return tuple(
            (complexity, horizon)
            for horizon in (2, 4, 8, 16)
            for complexity in SHAPES
            if horizon >= shortest_horizon(complexity)
        )

    def usual_horizon(self, complexity: int) -> int:
        """The shortest that its doors allow, and 2 at least."""
        return max(2, shortest_horizon(complexity))

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        """See `Generated.generated`."""
        if horizon < shortest_horizon(complexity):
            num_doors = SHAPES[complexity][0]
            raise DataError(
                f"maze has no complexity {complexity} at horizon {horizon}: its {num_doors} doors and keys take "
                f"{shortest_horizon(complexity)} moves; choose a larger horizon, or a smaller complexity"
            )

        def make(number: int) -> Task | None:
            world = drawn(complexity, horizon, random.Random(derive_seed(self.name, complexity, horizon, number)))
            # By its plan: the same maze with rooms and keys of other names is in the same split.
            if world is None or hashed_split(self.name, _plan(world)) != split:
                return None
            return self._task(complexity, horizon, world)

        return numbered_tasks(make, derive_seed(seed, self.name, split, complexity, horizon))

    def _task(self, complexity: int, horizon: int, world: Mapping[str, Any]) -> Task:
        num_doors = SHAPES[complexity][0]
        moves = 2 * (len(world["rooms"]) - 1) * (num_doors + 1) + num_doors
        doors = " A door opens to whoever holds the key of its colour." if num_doors else ""
        text = (
            f"Find the exit of a maze in at most {moves} moves.{doors} Say one move: {listed((*STEPS, _TAKE))}.\n"
            f"{_shown(world, 0, [])}"
        )
        ways = "; ".join(f"{a} {way} {b} {colour}".strip() for a, way, b, colour in world["ways"])
        canonical = f"{ways}; keys {world['keys']}; {', '.join(world['rooms'])}"
        return Task(
            self.name,
            (Message("user", text),),
            answer=f"{world['rooms'][world['exit']]}; {canonical}",
            complexity=complexity,
            horizon=horizon,
            metadata={"canonical": canonical, "world": world, "max_moves": moves},
        )

    def episode(self, task: Task) -> Episode:
        return MazeEpisode(task, self.pays_turns)

    def expert(self, task: Task) -> Script:
        """Explores what it has not seen, nearest first."""
        return Explorer()

    def weak(self, task: Task) -> Script:
        """Goes north, whatever it sees."""
        return Northward()


def _plan(world: Mapping[str, Any]) -> str:
    colours = [colour for _, colour in world["keys"]]
    ways = [(a, way, b, colours.index(colour) if colour else "") for a, way, b, colour in world["ways"]]
    return f"{ways} {[room for room, _ in world['keys']]}"


def _shown(world: Mapping[str, Any], room: int, held: list[str]) -> str:
    """Return the text that shows a room and what is held in it."""
    layout = Layout.of(world)
    ways = [
        f"{way} ({layout.ways[room][way][1]} door)" if layout.ways[room][way][1] else way
        for way in STEPS
        if way in layout.ways[room]
    ]
    parts = [f"You are in the {world['rooms'][room]}. Ways: {', '.join(ways)}."]
    if room in layout.keys and layout.keys[room] not in held:
        parts.append(f"You see a {layout.keys[room]} key.")
    if held:
        parts.append(f"You hold: {', '.join(f'{colour} key' for colour in held)}.")
    return " ".join(parts)


@dataclass
class MazeEpisode(Episode):
    """Move by move, until the exit or the last move. A move that is not possible counts, and is answered."""

    task: Task
    _pays_turns: bool
    _room: int = field(default=0, init=False)
    _held: list[str] = field(default_factory=list, init=False)
    _moves: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._world = self.task.metadata["world"]
        self._layout = Layout.of(self._world)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        before = self._remaining
        problem = self._move(read_word(message.content, (*STEPS, _TAKE)))
        self._moves += 1
        nearer = (before - self._remaining) / self._layout.remaining((0, frozenset()))
        reward = nearer if self._pays_turns else None
        if self._out or self._moves >= self.task.metadata["max_moves"]:
            return EpisodeStep(reward=reward, done=True)
        text = f"{problem} {_shown(self._world, self._room, self._held)}".strip()
        # The moves left are no part of the state: they seldom matter, and would keep siblings apart.
        state = f"{self._world['rooms'][self._room]}; {', '.join(sorted(self._held))}"
        return EpisodeStep((Message("user", text),), reward, state=state)

    @property
    def _out(self) -> bool:
        return self._room == self._layout.exit

    @property
    def _remaining(self) -> int:
        return self._layout.remaining((self._room, frozenset(self._held)))

    def _move(self, move: str | None) -> str:
        """Make a move, and return what keeps it from being made."""
        ways = self._layout.ways[self._room]
        if move is None:
            return f"Say one move: {listed((*STEPS, _TAKE))}."
        if move == _TAKE:
            colour = self._layout.keys.get(self._room)
            if colour is None or colour in self._held:
                return "There is nothing to take."
            self._held.append(colour)
            return ""
        if move not in ways:
            return f"There is no way {move}."
        room, colour = ways[move]
        if colour and colour not in self._held:
            return f"The {colour} door is locked."
        self._room = room
        return ""

    async def score(self) -> Score:
        shortest = self._layout.remaining((0, frozenset()))
        parts = {"moves": float(self._moves), "nearer": 1 - self._remaining / shortest}
        if not self._out:
            return Score.failed("not out", parts=parts)
        return Score.solved(parts={**parts, "shortest_over_moves": shortest / self._moves})

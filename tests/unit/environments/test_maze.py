from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.maze import Maze
from assay.environments.maze.layout import SHAPES, Layout, shortest_horizon
from assay.environments.maze.scripts import Explorer, look
from assay.errors import DataError
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Message, Score, Task, Tool

WORLD: dict[str, Any] = {
    "rooms": ["hall", "shed", "mill", "tower"],
    "ways": [[0, "north", 1, ""], [1, "east", 2, "red"], [0, "west", 3, ""]],
    "keys": [[3, "red"]],
    "exit": 2,
}
"""Hall, with the tower and its key to the west; north of it the shed, whose red door leads out."""


def some(count: int, **dials: float) -> list[Task]:
    return list(itertools.islice(Maze().tasks("test", **dials), count))


def played(task: Task, who: str = "expert", environment: Maze = Maze()) -> ScriptedResult:  # noqa: B008, frozen
    script = environment.expert(task) if who == "expert" else environment.weak(task)
    return asyncio.run(play_script(environment, task, script))


def walk(moves: Sequence[str], max_moves: int = 20, pays: bool = False) -> tuple[list[str], list[float | None], Score]:
    task = Task("maze", (Message("user", "?"),), "", 2, 5, {"canonical": "", "world": WORLD, "max_moves": max_moves})

    async def play() -> tuple[list[str], list[float | None], Score]:
        episode = Maze(pays_turns=pays).episode(task)
        await episode.start()
        steps = [await episode.step(Message("assistant", move)) for move in moves]
        score = await episode.score()
        assert score is not None
        return [m.content for step in steps for m in step.messages], [step.reward for step in steps], score

    return asyncio.run(play())


def test_its_promises() -> None:
    asyncio.run(check_environment(Maze(), levels=[(1, 2), (3, 8), (5, 16)], num_tasks=3))
    asyncio.run(check_episode(Maze().episode, some(1, complexity=4, horizon=8)[0], max_turns=40))


def test_the_expert_gets_out_of_every_maze_and_the_weak_script_hardly_any() -> None:
    for complexity, horizon in [*Maze().levels(), (5, 32), (3, 31)]:
        for task in some(3, complexity=complexity or 1, horizon=horizon or 1):
            assert played(task).solved, task.prompt
            assert not played(task, "weak").solved or horizon == 2


def test_the_shortest_way_out_is_as_long_as_the_horizon_says() -> None:
    for complexity, horizon in itertools.product(SHAPES, range(1, 33)):
        if horizon < shortest_horizon(complexity):
            with pytest.raises(DataError, match="choose a larger horizon"):
                Maze().tasks("train", complexity=complexity, horizon=horizon)
            continue
        task = next(Maze().tasks("train", complexity=complexity, horizon=horizon))
        layout = Layout.of(task.metadata["world"])
        assert layout.remaining((0, frozenset())) == horizon
        assert len(layout.keys) == SHAPES[complexity][0]
        assert sum(bool(colour) for *_, colour in task.metadata["world"]["ways"]) == SHAPES[complexity][0]


def test_a_walk_by_hand() -> None:
    answers, _, score = walk(["north", "east", "take", "up", "Go south.", "west", "take", "east", "north", "east"])
    assert answers == [
        "You are in the shed. Ways: east (red door), south.",
        "The red door is locked. You are in the shed. Ways: east (red door), south.",
        "There is nothing to take. You are in the shed. Ways: east (red door), south.",
        "Say one move: north, east, south, west or take. You are in the shed. Ways: east (red door), south.",
        "You are in the hall. Ways: north, west.",
        "You are in the tower. Ways: east. You see a red key.",
        "You are in the tower. Ways: east. You hold: red key.",
        "You are in the hall. Ways: north, west. You hold: red key.",
        "You are in the shed. Ways: east (red door), south. You hold: red key.",
    ]
    assert (score.value, score.parts) == (1.0, {"moves": 10.0, "nearer": 1.0, "shortest_over_moves": 0.5})


def test_turns_pay_how_much_nearer_they_led() -> None:
    """Five moves are shortest: west, take, east, north, east."""
    assert walk(["west", "take"], pays=True)[1] == [pytest.approx(0.2), pytest.approx(0.2)]
    detour = walk(["north", "south", "west", "take", "east", "north", "east"], pays=True)
    assert detour[1][0] == pytest.approx(-0.2)
    assert sum(reward or 0.0 for reward in detour[1]) == pytest.approx(1.0)
    assert walk(["west"])[1] == [None]


def test_moves_are_limited() -> None:
    score = walk(["take"] * 3, max_moves=3)[2]
    assert (score.value, score.reason, score.parts) == (0.0, "not out", {"moves": 3.0, "nearer": 0.0})


def test_a_room_is_read_as_it_is_shown() -> None:
    seen = look(
        "You are in the old hall. Ways: north, east (red door). You see a blue key. You hold: red key, white key."
    )
    assert seen is not None
    assert (seen.room, seen.ways, seen.key) == ("old hall", {"north": "", "east": "red"}, True)
    assert seen.held == {"red", "white"}


def test_the_expert_sees_the_messages_only() -> None:
    class Spy(Explorer):
        def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
            return super().reply([*messages[-1:]], tools)

    task = some(1, complexity=3, horizon=8)[0]
    assert asyncio.run(play_script(Maze(), task, Spy())).solved


def test_an_easy_prompt_is_short_and_hostile_moves_are_answered_shortly() -> None:
    assert max(len(task.prompt[0].content.split()) for task in some(20)) < 60
    answers, _, _ = walk(["north south " * 100_000, "\ud800\u202e\x00", "\uff4e\uff4f\uff52\uff54\uff48"])
    assert [answer.split(".")[0] for answer in answers] == [
        "Say one move: north, east, south, west or take",
        "Say one move: north, east, south, west or take",
        "You are in the shed",
    ]

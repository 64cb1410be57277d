from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from assay.environments import Script, check_environment, check_episode
from assay.environments.dispatch import Dispatch
from assay.environments.dispatch.day import LETTERS
from assay.environments.dispatch.scripts import best_first
from assay.rollout.scripted import ScriptedResult, play_script
from assay.types import Message, Score, Task, Tool

WORLD: dict[str, Any] = {
    "jobs": [["A", 0, 2, 9, 3], ["B", 0, 1, 3, 5], ["C", 4, 2, 8, 7], ["D", 5, 1, 12, 2]],
    "changes": [[7, "D", 12, 6]],
    "end": 12,
    "other_every": 0,
}


def some(count: int, split: Any = "test", **dials: float) -> list[Task]:
    return list(itertools.islice(Dispatch().tasks(split, **dials), count))


def played(task: Task, script: Script, environment: Dispatch = Dispatch()) -> ScriptedResult:  # noqa: B008, frozen
    return asyncio.run(play_script(environment, task, script))


def day(moves: Sequence[str], **changes: Any) -> tuple[list[str], list[float | None], Score]:
    world = {**WORLD, **changes}
    task = Task("dispatch", (Message("user", "?"),), "", 1, 1, {"canonical": "", "world": world, "target": 10})

    async def play() -> tuple[list[str], list[float | None], Score]:
        episode = Dispatch(pays_turns=True).episode(task)
        await episode.start()
        steps = [await episode.step(Message("assistant", move)) for move in moves]
        score = await episode.score()
        assert score is not None
        return [m.content for step in steps for m in step.messages], [step.reward for step in steps], score

    return asyncio.run(play())


@dataclass
class Thinking:
    """Another script's decisions, with so many characters of thought before each."""

    script: Script
    characters: int

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        thought = ("hm " * self.characters)[: self.characters]
        return Message("assistant", f"{thought}\n{self.script.reply(messages, tools).content}")


def test_its_promises() -> None:
    asyncio.run(check_environment(Dispatch(), levels=[(1, 1), (4, 1), (3, 4)], num_tasks=3))
    asyncio.run(check_episode(Dispatch().episode, some(1, complexity=4, horizon=2)[0], max_turns=20))


def test_the_expert_reaches_every_target_and_the_first_job_on_the_list_none() -> None:
    environment = Dispatch()
    for complexity, horizon in [*environment.levels(), (4, 9)]:
        for task in some(2, complexity=complexity or 1, horizon=horizon or 1):
            assert played(task, environment.expert(task)).value == 1.0, task.prompt
            assert not played(task, environment.weak(task)).solved


def test_thinking_longer_costs() -> None:
    """The same rule with longer messages earns less."""
    environment = Dispatch()
    earned: dict[int, float] = {}
    tasks = [task for complexity in (1, 2, 3, 4) for task in some(4, complexity=complexity, horizon=2)]
    for characters in (0, 50, 150, 400, 100_000):
        earned[characters] = sum(played(t, Thinking(environment.expert(t), characters)).value for t in tasks)
    assert earned[50] == earned[0] == len(tasks), "within the turn's own minute"
    assert earned[0] > earned[150] > earned[400] > earned[100_000] == 0.0


def test_characters_per_minute_is_the_price_of_thought() -> None:
    task = some(1, horizon=2)[0]
    dear, cheap = Dispatch(characters_per_minute=10), Dispatch(characters_per_minute=10_000)
    script = Thinking(cheap.expert(task), 100)
    assert played(task, script, dear).score.parts["earned"] < played(task, script, cheap).score.parts["earned"]


def test_a_day_by_hand() -> None:
    answers, rewards, score = day(["do B", "do A", "Do C!", "do D"])
    assert answers == [
        "B paid 5.\nMinute 2 of 12. Earned 5.\nA: 2 min, by 9, worth 3",
        "A paid 3.\nMinute 5 of 12. Earned 8.\nC: 2 min, by 8, worth 7\nD: 1 min, by 12, worth 2",
        "C paid 7. D changed.\nMinute 8 of 12. Earned 15.\nD: 1 min, by 12, worth 6",
        "D paid 6.\nMinute 10 of 12. Earned 21.\nNo jobs.",
    ]
    assert rewards == [0.5, 0.3, 0.7, 0.6]
    assert (score.value, score.parts["earned"]) == (2.1, 21.0)


def test_a_plan_goes_stale_while_one_thinks() -> None:
    answers, rewards, _ = day([f"{'hm ' * 60} do B"])
    assert answers[0].startswith("B is not open. B expired.\nMinute 4 of 12."), "188 characters are 1 + 3 minutes"
    assert rewards == [0.0]


def test_reasoning_takes_time_and_is_no_move() -> None:
    answers, _, _ = day([f"<think>do B? {'hm ' * 34}</think>do A"])
    assert answers[0].startswith("A paid 3. B expired.\nMinute 5 of 12."), "127 characters: 1 + 2 minutes"


def test_a_job_that_is_finished_too_late_pays_nothing() -> None:
    answers, _, _ = day(["wait", "wait", "wait", "wait", "wait", "do C"])
    assert answers[-1].startswith("C paid 7."), "at minute 8 it is in time"
    answers, _, _ = day(["wait", "wait", "wait", "wait", "wait", "wait", "do C"])
    assert answers[-1].startswith("C was too late, and paid nothing.")


def test_another_van_takes_the_best_open_job() -> None:
    answers, _, _ = day(["wait"] * 4, other_every=4)
    assert answers[-1].startswith("Another van took C.\n")
    assert "C is not open" in day(["wait"] * 4 + ["do C"], other_every=4)[0][-1]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("do A", "A paid"),
        ("a", "A paid"),
        ("I think I should do job A now.", "A paid"),
        ("do A or do B", "Say do and"),
        ("do a job", "Say do and"),
        ("do Z", "Z is not open"),
        ("", "Say do and"),
        ("\ud800\u202e\x00", "Say do and"),
    ],
)
def test_moves_in_free_text(message: str, expected: str) -> None:
    assert day([message])[0][0].startswith(expected)


def test_a_message_of_any_size_ends_at_most_the_day() -> None:
    assert day(["do A " * 1_000_000])[2].value == 0.0


def test_the_best_plan_by_hand() -> None:
    """B before A: A can wait; and C pays more than both, but only one of the two ways fits."""
    assert best_first(0, 12, [("A", 2, 9, 3), ("B", 1, 3, 5)]) == "B"
    assert best_first(0, 12, [("A", 2, 3, 3), ("C", 4, 5, 7)]) == "C"
    assert best_first(0, 12, [("A", 2, 2, 3)]) is None
    assert best_first(10, 12, [("A", 2, 20, 3)]) is None


def test_letters_are_no_words() -> None:
    assert not set(LETTERS) & {"I", "O"}


def test_an_easy_prompt_is_short() -> None:
    assert max(len(task.prompt[0].content.split()) for task in some(20)) < 90

"""Repair: attempts, what the model is told, and what decides."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from assay.engines.engine import Sampling
from assay.environments import check_environment, check_episode
from assay.environments.repair import Repair
from assay.host import Host
from assay.rollout import run_rollout
from assay.suite import Suite
from assay.types import Message, Rollout, Task, Verdict

TESTS = ("assert double(1) == 2", "assert double(2) == 4", "assert double(3) == 6")
TASK = Task(
    "repair",
    (Message("user", "Write double(n)."),),
    "",
    complexity=1,
    horizon=3,
    metadata={"world": {"attempts": 3, "visible": list(TESTS[:2]), "hidden": list(TESTS[2:]), "entry_point": "double"}},
    suite=Suite(tests=TESTS, entry_point="double", reference="def double(n):\n    return 2 * n\n"),
)


class Says:
    def __init__(self, *bodies: str) -> None:
        self._said = list(bodies)
        self.told: list[str] = []

    def reply(self, messages, tools) -> Message:
        self.told.append(messages[-1].content)
        return Message("assistant", f"```python\ndef double(n):\n    {self._said.pop(0)}\n```")


def play(environment: Repair, task: Task, script) -> Rollout:
    async def go():
        async with Host():
            return await run_rollout(
                task, environment.episode, script, None, Sampling(), run_seed=0, group_id=0, member=0, max_turns=8
            )

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("bodies", "verdict", "parts"),
    [
        (("return 2 * n",), Verdict.SOLVED, {"attempts": 1, "visible_passed": 1}),
        (("return n + 1", "return 2 * n"), Verdict.SOLVED, {"attempts": 2, "visible_passed": 1}),
        # It passes what it can see, and no more.
        (("return [0, 2, 4, 0][n]",), Verdict.FAILED, {"attempts": 1, "visible_passed": 1}),
        (("return n + 1", "return n", "return n + 1"), Verdict.FAILED, {"attempts": 3, "visible_passed": 0.5}),
    ],
)
def test_the_last_program_must_pass_visible_and_hidden_tests(bodies, verdict, parts) -> None:
    score = play(Repair(), TASK, Says(*bodies)).score
    assert score is not None
    assert score.verdict is verdict
    assert {name: score.parts[name] for name in parts} == parts


def test_the_model_is_told_which_visible_tests_failed_and_how() -> None:
    script = Says("return n + 1", "while True: pass", "return 2 * n")
    play(Repair(), TASK, script)
    _, first, second = script.told
    assert first.startswith("1 of 2 tests failed:\nassert double(2) == 4: ")
    assert "2 more attempts" in first
    assert "2 of 2 tests failed" in second
    assert "1 more attempt)" in second
    assert "double(3)" not in first + second


def test_a_message_without_a_program_is_told_so() -> None:
    class Chats(Says):
        def reply(self, messages, tools) -> Message:
            self.told.append(messages[-1].content)
            return Message("assistant", "")

    script = Chats()
    score = play(Repair(), TASK, script).score
    assert "No program was found" in script.told[1]
    assert score is not None
    assert score.verdict is Verdict.FAILED


def test_experts_solve_generated_tasks_and_the_weak_script_does_not() -> None:
    environment = Repair()
    for complexity in (1, 4):
        for task in itertools.islice(environment.tasks("train", complexity=complexity, horizon=2), 3):
            assert task.metadata["world"]["hidden"]
            expert, weak = (
                play(environment, task, each(task)).score for each in (environment.expert, environment.weak)
            )
            assert expert is not None
            assert weak is not None
            assert (expert.verdict, weak.verdict) == (Verdict.SOLVED, Verdict.FAILED)


def test_it_keeps_the_promises_of_environments_and_episodes() -> None:
    levels = ((1.0, 2.0),)
    asyncio.run(check_environment(Repair(), levels=levels, num_tasks=3))

    async def go() -> None:
        async with Host():
            await check_episode(Repair().episode, TASK, responses=("", "42 " * 500), max_turns=4)

    asyncio.run(go())

"""What a hostile or a careless environment does: each fault has a known kind, and nothing is left open."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import simulated_clock
from assay.engines.engine import Sampling
from assay.environments import ToolEpisode
from assay.environments.driven import DrivenEpisode
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.script import Script
from assay.rollout import Collector, run_rollout
from assay.rollout.timeouts import Timeouts
from assay.rollout.world import World
from assay.types import Ending, EndingKind, Message, Score, Task, Tool

TASK = Task("test", (Message("user", "2+2?"),), "4")
SAMPLING = Sampling(max_new_tokens=8)


class Awaited(Episode):
    """Does in `where` what `act` does, once it has waited for a turn of the loop."""

    def __init__(self, where: str = "", act: Any = None) -> None:
        self.where, self.act = where, act
        self.num_closed = 0

    async def at(self, where: str) -> Any:
        await asyncio.sleep(0)
        return await self.act() if self.where == where else None

    async def start(self) -> tuple[Message, ...]:
        return await self.at("start") or TASK.prompt

    async def step(self, message: Message) -> EpisodeStep:
        return await self.at("step") or EpisodeStep(done=True)

    async def score(self) -> Score | None:
        return await self.at("score") or Score.solved()

    async def close(self) -> None:
        await self.at("close")
        self.num_closed += 1


def play(engine, renderer, episode: Any, **options: Any):
    return asyncio.run(rollout(engine, renderer, episode, **options))


async def rollout(engine, renderer, episode: Any, **options: Any):
    options = {"run_seed": 7, "group_id": 3, "member": 1, "max_turns": 4, **options}
    return await run_rollout(TASK, lambda task: episode, engine, renderer, SAMPLING, **options)


async def leave() -> None:
    sys.exit("usage: tool [--help]")


async def lose() -> None:
    """Wait for something of one's own that is cancelled."""
    own = asyncio.create_task(asyncio.sleep(10))
    asyncio.get_running_loop().call_soon(own.cancel)
    await own


def gives(value: Any) -> Any:
    async def give() -> Any:
        return value

    return give


MUCH = "x" * 1_000_001


@pytest.mark.parametrize("where", ["start", "step", "score"])
@pytest.mark.parametrize(
    ("act", "cause"), [(leave, "tried to end the program"), (lose, "was cancelled, and not by the run")]
)
def test_an_exit_and_a_cancellation_of_its_own_are_failures_of_the_environment(engine, renderer, where, act, cause):
    episode = Awaited(where, act)
    ending = play(engine, renderer, episode).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert cause in ending.reason
    assert episode.num_closed == 1


@pytest.mark.parametrize("act", [leave, lose])
def test_an_exit_and_a_cancellation_in_close_take_nothing_away(engine, renderer, act, caplog):
    assert play(engine, renderer, Awaited("close", act)).score == Score.solved()
    assert "Awaited did not close" in caplog.text


@pytest.mark.parametrize(
    ("where", "given", "cause"),
    [
        ("start", (Message("user", 7),), "role and content of a Message are text"),  # type: ignore[arg-type]
        ("start", (Message("user", ""),) * 300_000, "said 1,200,000 characters"),
        ("step", EpisodeStep((Message("tool", "", ({"function": {"name": MUCH}},)),)), "characters at once"),
        ("step", EpisodeStep((Message("tool", "", ({"function": {1, 2}},)),)), "cannot be read"),
        ("step", EpisodeStep(done=True, state=MUCH), "said 1,000,001 characters"),
        ("step", EpisodeStep(reward=10**400, done=True), "cannot be read: OverflowError"),
        ("step", EpisodeStep(reward="1", done=True), "a reward is a finite number"),  # type: ignore[arg-type]
        ("score", Score.solved(evidence=MUCH), "characters at once"),
        ("score", Score.solved(evidence={1}), "cannot be read: TypeError"),
    ],
)
def test_what_is_of_a_wrong_type_or_without_bound_is_a_failure_of_the_environment(
    engine, renderer, where: str, given: Any, cause: str
):
    ending = play(engine, renderer, Awaited(where, gives(given))).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert cause in ending.reason


def test_a_factory_that_makes_no_episode_is_a_failure_of_the_environment(engine, renderer):
    ending = play(engine, renderer, None).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "'NoneType' object has no attribute 'start'" in ending.reason


@pytest.mark.parametrize(
    ("tools", "cause"),
    [
        ([Tool("read", "a"), Tool("read", "b")], "two tools of one name: read, read"),
        ([Tool("read", MUCH)], "characters at once"),
        ([Tool("read", "a", {"type": {1}})], "cannot be read: TypeError"),
        (7, "not iterable"),
    ],
)
def test_tools_that_cannot_be_shown_are_a_failure_of_the_environment(engine, renderer, tools: Any, cause: str):
    episode = type("Equipped", (Awaited,), {"tools": tools})()
    ending = play(engine, renderer, episode).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert cause in ending.reason


def test_an_agent_that_asked_nothing_has_played_nothing(engine, renderer):
    class Silent(DrivenEpisode):
        async def drive(self, conversation: Any) -> Ending:
            return Ending(EndingKind.FINISHED)

    ending = play(engine, renderer, Silent()).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "environment")
    assert "had asked nothing" in ending.reason


def test_an_engines_own_timeout_is_no_limit_of_the_episode(engine, renderer):
    engine.failure = lambda request_id, attempt: TimeoutError("no page") if request_id.endswith("/1") else None
    ending = play(engine, renderer, Awaited("step", gives(EpisodeStep((Message("user", "go on"),))))).ending
    assert (ending.kind, ending.boundary) == (EndingKind.BROKEN, "engine")
    assert "TimeoutError: no page" in ending.reason


@pytest.mark.parametrize("num_loops", range(12))
def test_a_cancel_at_any_moment_closes_the_world_once_and_wholly(engine, renderer, num_loops: int):
    class Slow(Awaited):
        num_closings = 0

        async def close(self) -> None:
            self.num_closings += 1
            for _ in range(5):
                await asyncio.sleep(0)
            self.num_closed += 1

    episode = Slow()
    made: list[Episode] = []

    async def go() -> None:
        playing = asyncio.create_task(
            run_rollout(
                *(TASK, lambda task: made.append(episode) or episode, engine, renderer, SAMPLING),
                run_seed=0,
                group_id=0,
                member=0,
            )
        )
        for _ in range(num_loops):
            await asyncio.sleep(0)
        for _ in range(4):  # a second cancel, and a third, may come while the world closes
            playing.cancel()
            await asyncio.sleep(0)
        await asyncio.gather(playing, return_exceptions=True)
        assert playing.cancelled()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
    assert episode.num_closings == episode.num_closed == len(made)
    assert engine.under_way == set()


def test_start_step_and_close_are_of_one_task(engine, renderer):
    tasks: list[asyncio.Task[Any] | None] = []

    class Seen(Awaited):
        async def at(self, where: str) -> Any:
            tasks.append(asyncio.current_task())

    play(engine, renderer, Seen())
    assert len(tasks) == 4
    assert len(set(tasks)) == 1


def test_a_world_that_does_not_close_does_not_hold_up_the_end_of_a_run(engine, renderer, monkeypatch):
    monkeypatch.setattr("assay.rollout.world.CLOSE_TIMEOUT_SECONDS", 0.01)
    engine.delay = lambda request_id: 10**9

    async def go() -> None:
        collector = Collector(
            engine=engine,
            renderer=renderer,
            make_episode=lambda task: Awaited("close", asyncio.Event().wait),
            score=lambda rollout, task: asyncio.sleep(0, Score.solved()),
            next_task=lambda group_id: TASK,
            sampling=SAMPLING,
            group_size=2,
            run_seed=0,
            groups_per_step=1,
        )
        async with collector:
            step = asyncio.create_task(collector.next_groups(1))
            while not engine.under_way:
                await asyncio.sleep(0)
            step.cancel()  # the clocks stand still from here
            await asyncio.gather(step, return_exceptions=True)

    asyncio.run(asyncio.wait_for(go(), 60))


class Tools(ToolEpisode):
    """One tool, which does what a test says."""

    tools = (Tool("act", "Acts."),)
    call_timeout_seconds = 0.05

    def __init__(self, act: Any) -> None:
        self.act = act

    async def start(self) -> tuple[Message, ...]:
        return TASK.prompt

    async def call(self, name: str, arguments: Any) -> str:
        return await self.act()

    async def answer(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)


def failing(error: BaseException) -> Any:
    async def fail() -> None:
        raise error

    return fail


CALL = Message("assistant", "", ({"type": "function", "function": {"name": "act", "arguments": {}}},))


@pytest.mark.parametrize(
    ("act", "cause"),
    [
        (failing(KeyError("id")), "ToolBrokenError: act: KeyError: 'id'"),
        (failing(TimeoutError("no lock")), "ToolBrokenError: act: TimeoutError: no lock"),
        (gives(None), "ToolBrokenError: act gave NoneType; a tool's result is a str"),
    ],
)
def test_a_tool_that_fails_of_itself_is_a_failure_of_the_tool_and_no_observation(act: Any, cause: str):
    class Calls(Script):
        def reply(self, messages: Any, tools: Any) -> Message:
            return CALL

    ending = play(Calls(), None, Tools(act)).ending
    assert (ending.kind, ending.boundary, ending.reason) == (EndingKind.BROKEN, "tool", cause)


def test_a_tools_time_stands_still_while_somebody_trains(engine, renderer):
    timeouts = Timeouts()

    async def slow() -> str:
        timeouts.pause()
        simulated_clock.pass_seconds(0.1)  # training blocks the loop
        timeouts.resume()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "done"

    async def go() -> Any:
        world = World(lambda task: Tools(slow), TASK, timeouts, None)
        await world.start()
        return (await world.step(CALL)).messages

    assert [message.content for message in simulated_clock.run(go())] == ["done"]


def test_errors_of_calls_are_shown_shortened():
    async def go() -> EpisodeStep:
        episode = Tools(gives(""))
        await episode.start()
        return await episode.step(Message("assistant", "", call_errors=("x" * 100_000,) * 100))

    messages = asyncio.run(go()).messages
    assert len(messages) == 16
    assert all(len(message.content) < 4100 for message in messages)

"""The collector: order, staleness, drops, retries, failures, and going on where it stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from assay.engines.engine import Sampling
from assay.environments.episode import EpisodeStep, SingleTurn
from assay.errors import ConfigError, ContextLengthError, DataError, EngineError, TrainingStoppedError
from assay.rollout import Collector, EpisodeLimits
from assay.rollout.collector import tokens_by_version
from assay.types import Completion, EndingKind, Group, Message, Rollout, Score, Task, Verdict

GROUP_SIZE = 3


class TwoTurns(SingleTurn):
    """Asks for a second answer."""

    num_open = 0

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.num_steps = 0
        TwoTurns.num_open += 1

    async def step(self, message: Message) -> EpisodeStep:
        self.num_steps += 1
        return EpisodeStep(done=True) if self.num_steps == 2 else EpisodeStep((Message("user", "again"),))

    async def close(self) -> None:
        TwoTurns.num_open -= 1


async def turns(number: int) -> None:
    """Let what is under way go on for so many turns of the event loop."""
    for _ in range(number):
        await asyncio.sleep(0)


def numbered_task(group_id: int) -> Task:
    return Task("test", (Message("user", f"task {group_id}"),), str(group_id))


async def even_is_solved(rollout: Rollout, task: Task) -> Score:
    return Score.solved() if int(rollout.response) % 2 == 0 else Score.failed()


@pytest.fixture
def make(engine, renderer) -> Callable[..., Collector]:
    def make_collector(**changes: Any) -> Collector:
        settings: dict[str, Any] = {
            "engine": engine,
            "renderer": renderer,
            "make_episode": SingleTurn,
            "score": even_is_solved,
            "next_task": numbered_task,
            "sampling": Sampling(max_new_tokens=8),
            "group_size": GROUP_SIZE,
            "run_seed": 11,
            "groups_per_step": 4,
            "max_turns": 2,
        }
        return Collector(**{**settings, **changes})

    return make_collector


async def collect(collector: Collector, num_steps: int, num_groups: int = 4, after_step=None) -> list[list[Group]]:
    steps = []
    async with collector:
        for step in range(num_steps):
            steps.append(await collector.next_groups(num_groups))
            if after_step is not None:
                await after_step(step)
    return steps


def run(collector: Collector, num_steps: int, **options: Any) -> list[list[Group]]:
    return asyncio.run(collect(collector, num_steps, **options))


def ids(groups: list[Group]) -> list[int]:
    return [group.group_id for group in groups]


def group_of(request_id: str) -> int:
    return int(request_id.split("/")[1])


# Order


def test_groups_come_whole_scored_and_in_issue_order(make):
    first, second = run(make(), 2)
    assert ids(first) == [0, 1, 2, 3]
    assert ids(second) == [4, 5, 6, 7]
    for group in first:
        assert group.task == numbered_task(group.group_id)
        assert [rollout.member for rollout in group.rollouts] == [0, 1, 2]
        assert all(rollout.ending.kind is EndingKind.FINISHED for rollout in group.rollouts)
        for rollout, score in zip(group.rollouts, group.scores, strict=True):
            assert (score.verdict is Verdict.SOLVED) == (int(rollout.response) % 2 == 0)


def test_an_engine_forgets_what_it_keeps_once_nothing_is_under_way(make, engine):
    run(make(), 2)
    assert engine.forgotten_after == [4 * GROUP_SIZE, 8 * GROUP_SIZE]
    engine.forgotten_after.clear()
    run(make(max_staleness=1), 1)
    assert engine.forgotten_after == [], "groups of the next step go on with it"


def test_a_group_is_scored_together_where_its_members_are_compared(make):
    seen: list[int] = []

    async def largest_is_solved(rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        values = [int(rollout.response) for rollout in rollouts]
        seen.append(len(values))
        return [Score.solved() if value == max(values) else Score.failed() for value in values]

    async def never(rollout: Rollout, task: Task) -> Score:
        raise AssertionError("members are not scored alone")

    (groups,) = run(make(score=never, score_group=largest_is_solved), 1)
    assert seen == [GROUP_SIZE] * 4
    for group in groups:
        largest = max(int(rollout.response) for rollout in group.rollouts)
        for rollout, score in zip(group.rollouts, group.scores, strict=True):
            assert (score.verdict is Verdict.SOLVED) == (int(rollout.response) == largest)


def test_quick_groups_do_not_overtake_slow_ones(make, engine):
    engine.delay = lambda request_id: 200 - 20 * group_of(request_id)  # later groups end first
    assert [ids(groups) for groups in run(make(max_staleness=1), 2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_the_order_in_which_rollouts_end_changes_nothing(make, engine):
    steady = run(make(max_staleness=2, make_episode=TwoTurns), 3)
    engine.delay = lambda request_id: hash(request_id) % 50
    assert run(make(max_staleness=2, make_episode=TwoTurns), 3) == steady


# Staleness


@pytest.mark.parametrize("max_staleness", [0, 1, 2])
def test_groups_never_lag_more_than_allowed_and_reach_it(make, engine, max_staleness: int):
    # A fast engine samples everything that is issued at once: the worst case.
    asked, lags = [], []
    collector = make(
        max_staleness=max_staleness,
        next_task=lambda group_id: asked.append(group_id) or numbered_task(group_id),
    )

    async def publish(step: int) -> None:
        assert asked == list(range(4 * (step + 1 + max_staleness)))
        await turns(50)
        lags.append(collector.counters()["rollout/max_staleness_versions"])
        assert collector.counters()["rollout/mean_staleness_versions"] == lags[-1], "a step is issued at one version"
        await engine.load_weights([], step + 1)
        await turns(50)

    steps = run(collector, 6, after_step=publish)
    for step, groups in enumerate(steps):
        oldest = min(rollout.version for group in groups for rollout in group.rollouts)
        assert lags[step] == step - oldest <= max_staleness
    assert max(lags) == max_staleness


def test_staleness_is_counted_token_by_token(make, engine):
    """Four groups of three, each of 2 tokens; the engine has version 3 when they are delivered."""
    collector, sample = make(), engine.generate

    async def in_two_versions(*arguments: Any, **options: Any) -> Completion:
        completion = await sample(*arguments, **options)
        assert len(completion.token_ids) == 2
        engine.version = 3
        return dataclasses.replace(completion, version_spans=((0, 1), (1, 3)))

    engine.generate = in_two_versions
    [groups] = run(collector, 1)
    assert tokens_by_version(groups[0]) == {1: 3, 3: 3}
    # One token of two is two versions old.
    assert collector.counters()["rollout/mean_staleness_versions"] == 1.0
    assert collector.counters()["rollout/max_staleness_versions"] == 2


def test_replacements_of_dropped_groups_do_not_lag_more_either(make, engine):
    collector = make(max_staleness=1, keep=lambda group: group.group_id % 3 != 1)
    steps = run(collector, 6, after_step=lambda step: engine.load_weights([], step + 1))
    for step, groups in enumerate(steps):
        assert all(step - rollout.version <= 1 for group in groups for rollout in group.rollouts)


def test_without_staleness_exactly_the_steps_groups_are_issued(make, engine):
    asked = []

    def next_task(group_id: int) -> Task:
        asked.append(group_id)
        return numbered_task(group_id)

    run(make(next_task=next_task), 1)
    assert asked == [0, 1, 2, 3]


# Dropped groups


def test_a_refused_group_is_replaced_by_the_next_id(make):
    collector = make(keep=lambda group: group.group_id not in (1, 4))
    assert [ids(groups) for groups in run(collector, 2)] == [[0, 2, 3, 5], [6, 7, 8, 9]]


def test_dropped_groups_are_counted_shown_once_and_part_of_the_solved_share(make):
    collector = make(keep=lambda group: group.group_id != 1)

    async def go() -> None:
        async with collector:
            kept = await collector.next_groups(4)
            dropped = collector.take_dropped()
            assert ids(dropped) == [1]
            assert collector.take_dropped() == []
            counters = collector.counters()
            assert counters["rollout/dropped_by_keep_count"] == 1
            assert counters["rollout/dropped_unmeasured_count"] == 0
            verdicts = [score.verdict for group in (*kept, *dropped) for score in group.scores]
            assert counters["rollout/unfiltered_solved_share"] == verdicts.count(Verdict.SOLVED) / (5 * GROUP_SIZE)
            await collector.next_groups(4)
            assert collector.counters()["rollout/dropped_by_keep_count"] == 0

    asyncio.run(go())


def test_a_group_with_too_few_measured_members_is_dropped_and_one_with_enough_is_kept(make):
    async def score(rollout: Rollout, task: Task) -> Score:
        unmeasured = {0: 2, 1: 1}.get(rollout.group_id, 0)  # how many members of each group
        return Score.not_measured("sandbox") if rollout.member < unmeasured else Score.failed()

    collector = make(score=score, min_group_size=2)
    (groups,) = run(collector, 1)
    assert ids(groups) == [1, 2, 3, 4]
    assert [len(group.measured) for group in groups] == [2, 3, 3, 3]
    counters = collector.counters()
    assert counters["rollout/dropped_unmeasured_count"] == 1
    assert counters["rollout/unfiltered_solved_share"] == 0.0


def test_keep_never_sees_a_group_that_is_too_small(make):
    async def score(rollout: Rollout, task: Task) -> Score:
        return Score.not_measured("sandbox") if rollout.group_id == 0 else Score.failed()

    seen = []
    run(make(score=score, keep=lambda group: seen.append(group.group_id) is None), 1)
    assert seen == [1, 2, 3, 4]


def test_training_stops_where_nothing_can_be_measured_and_names_the_cause(make):
    async def score(rollout: Rollout, task: Task) -> Score:
        return Score.not_measured("grader is down" if rollout.member else "other")

    with pytest.raises(TrainingStoppedError) as stopped:
        run(make(score=score, max_dropped_groups_in_a_row=5), 1)
    text = str(stopped.value)
    assert "5 groups in a row were dropped" in text
    assert "In 5 fewer than 2 of 3 rollouts could be measured, most often (10 rollouts) because of: grader is" in text
    assert "keep()" not in text


def test_training_stops_where_every_group_is_refused_and_says_so(make):
    with pytest.raises(TrainingStoppedError, match=r"In 5 the algorithm's keep\(\) refused") as stopped:
        run(make(keep=lambda group: False, max_dropped_groups_in_a_row=5), 1)
    assert "measured" not in str(stopped.value)


def test_drops_in_a_row_are_counted_across_steps_and_forgotten_at_a_kept_group(make):
    # Four in a row within a step, five in a row across two: 0 | 1-4 dropped, 5 | 6-10 dropped.
    refused = {1, 2, 3, 4, 6, 7, 8, 9, 10}
    collector = make(keep=lambda group: group.group_id not in refused, max_dropped_groups_in_a_row=5)
    with pytest.raises(TrainingStoppedError):
        run(collector, 2, num_groups=2)
    collector = make(keep=lambda group: group.group_id not in refused, max_dropped_groups_in_a_row=6)
    assert [ids(groups) for groups in run(collector, 2, num_groups=2)] == [[0, 5], [11, 12]]


# Failures


def test_a_broken_rollout_is_played_again_whole_with_the_same_seeds(make, engine):
    undisturbed = run(make(make_episode=TwoTurns), 1)
    engine.tries.clear()
    engine.calls.clear()
    bad = "request/2/1/1"
    engine.failure = lambda request_id, attempt: OSError("gone") if request_id == bad and attempt == 0 else None
    collector = make(make_episode=TwoTurns)
    assert run(collector, 1) == undisturbed
    assert collector.counters()["rollout/retried_count"] == 1
    assert collector.counters()["rollout/broken_count"] == 0
    assert Counter(call[0] for call in engine.calls)["request/2/1/0"] == 2


def test_a_rollout_that_stays_broken_is_not_measured_and_never_scored(make, engine):
    scored = []

    async def score(rollout: Rollout, task: Task) -> Score:
        scored.append((rollout.group_id, rollout.member))
        return Score.failed()

    engine.failure = lambda request_id, attempt: OSError("gone") if request_id.startswith("request/0/1/") else None
    collector = make(score=score, retries=2)
    (groups,) = run(collector, 1)
    assert groups[0].rollouts[1].ending.kind is EndingKind.BROKEN
    assert groups[0].scores[1] == Score.not_measured("OSError: gone")
    assert (0, 1) not in scored
    assert engine.tries["request/0/1/0"] == 3
    counters = collector.counters()
    assert counters["rollout/retried_count"] == 2
    assert counters["rollout/broken_count"] == 1


def test_a_verifier_that_raises_is_not_measured(make):
    async def score(rollout: Rollout, task: Task) -> Score:
        if rollout.member == 0:
            raise ZeroDivisionError("mean of nothing")
        return Score.failed()

    (groups,) = run(make(score=score), 1)
    assert groups[0].scores[0] == Score.not_measured("ZeroDivisionError: mean of nothing")


def test_a_hanging_rollout_times_out_is_retried_and_then_not_measured(make, engine):
    hanging = "request/1/0/0"
    engine.delay = lambda request_id: 10**9 if request_id == hanging else 1
    collector = make(limits=EpisodeLimits(max_seconds=0.05), retries=1)
    (groups,) = run(collector, 1)
    assert groups[1].scores[0] == Score.not_measured("the first turn did not end in the episode's 0.05 seconds")
    assert collector.counters()["rollout/broken_at_engine_count"] == 1
    assert engine.aborted == [hanging, hanging]
    assert collector.counters()["rollout/retried_count"] == 1


def test_nothing_measured_leaves_the_solved_share_unknown(make):
    collector = make(
        score=lambda rollout, task: asyncio.sleep(0, Score.not_measured("x")), max_dropped_groups_in_a_row=2
    )
    with pytest.raises(TrainingStoppedError):
        run(collector, 1)
    assert math.isnan(collector.counters()["rollout/unfiltered_solved_share"])


@pytest.mark.parametrize("max_staleness", [0, 2])
def test_an_error_for_a_person_stops_at_once_and_closes_everything(make, engine, recwarn, max_staleness: int):
    """Group 3 hits a data error while group 0, first in line, would take for ever."""

    async def score(rollout: Rollout, task: Task) -> Score:
        if rollout.group_id == 3:
            raise DataError("the gold answer of task 3 is empty")
        return Score.failed()

    engine.delay = lambda request_id: 10**9 if group_of(request_id) == 0 else 1
    # What earlier tests left open is not this one's.
    gc.collect()
    recwarn.clear()
    TwoTurns.num_open = 0
    with pytest.raises(DataError, match="task 3"):
        run(make(score=score, make_episode=TwoTurns, max_staleness=max_staleness), 1)
    assert TwoTurns.num_open == 0
    assert engine.under_way == set()
    assert {group_of(request_id) for request_id in engine.aborted} >= {0}
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_an_error_between_two_calls_is_raised_by_the_next(make, engine):
    def next_task(group_id: int) -> Task:
        return Task("test", (Message("user", "z" * (500 if group_id == 5 else 1)),), "0")

    async def go() -> None:
        async with make(next_task=next_task, max_staleness=1) as collector:
            engine.delay = lambda request_id: 1 if group_of(request_id) < 4 else 5
            assert ids(await collector.next_groups(4)) == [0, 1, 2, 3]
            await turns(50)
            await collector.next_groups(4)

    with pytest.raises(ContextLengthError, match="of 'test' has 5"):
        asyncio.run(go())


def test_cancelling_is_prompt_and_clean(make, engine, recwarn):
    gc.collect()
    recwarn.clear()
    engine.delay = lambda request_id: 10**9
    TwoTurns.num_open = 0
    collector = make(make_episode=TwoTurns, max_staleness=1)

    async def go() -> None:
        work = asyncio.create_task(collect(collector, 1))
        while len(engine.under_way) < 8 * GROUP_SIZE:
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(go())
    assert TwoTurns.num_open == 0
    assert len(engine.aborted) == 8 * GROUP_SIZE
    gc.collect()
    assert [str(warning.message) for warning in recwarn] == []


def test_a_cancelled_call_loses_no_finished_group(make, engine):
    engine.delay = lambda request_id: 10**9 if group_of(request_id) == 2 else 1
    collector = make(make_episode=SingleTurn)

    async def go() -> dict[str, Any]:
        work = asyncio.create_task(collect(collector, 1))
        while sum("group" in waiting for waiting in collector.state()["waiting"]) < 3:
            await asyncio.sleep(0)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        return collector.state()

    state = json.loads(json.dumps(asyncio.run(go())))
    assert [("group" in waiting) for waiting in state["waiting"]] == [True, True, False, True]
    engine.delay = lambda request_id: 1
    resumed = make()
    resumed.load_state(state)
    assert run(resumed, 1) == run(make(), 1)


# Going on where it stopped


@pytest.mark.parametrize("max_staleness", [0, 2])
@pytest.mark.parametrize("stop_after", [1, 3])
def test_a_resumed_collector_delivers_the_same_groups(make, engine, max_staleness: int, stop_after: int):
    settings = {
        "max_staleness": max_staleness,
        "make_episode": TwoTurns,
        "keep": lambda group: group.group_id % 5 != 3,
    }
    engine.delay = lambda request_id: group_of(request_id) * 17 % 60
    unbroken = run(make(**settings), 5)

    first, states = make(**settings), []

    async def save(step: int) -> None:
        states.append(json.loads(json.dumps(first.state())))

    before = run(first, stop_after, after_step=save)
    waiting = states[-1]["waiting"]
    if max_staleness:
        assert len(waiting) == 4 * max_staleness
        assert {"group" in entry for entry in waiting} == {True, False}, "some finished, some not"
    else:
        assert waiting == []

    asked: list[int] = []

    def next_task(group_id: int) -> Task:
        asked.append(group_id)
        return numbered_task(group_id)

    second = make(**settings, next_task=next_task)
    second.load_state(states[-1])
    assert json.loads(json.dumps(second.state())) == states[-1]
    assert before + run(second, 5 - stop_after) == unbroken
    assert min(asked) == states[-1]["next_group_id"], "the curriculum is not asked again"


def test_a_state_is_only_loaded_into_a_fresh_collector(make):
    collector = make()
    run(collector, 1)
    with pytest.raises(RuntimeError, match="fresh"):
        collector.load_state(make().state())


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("group_size", 0),
        ("groups_per_step", 0),
        ("max_staleness", -1),
        ("min_group_size", 0),
        ("max_turns", 0),
        ("retries", -1),
        ("max_dropped_groups_in_a_row", 0),
    ],
)
def test_a_setting_out_of_range_is_named(make, setting: str, value: float):
    with pytest.raises(ConfigError, match=f"{setting}.*{value}"):
        make(**{setting: value})


def test_a_minimum_above_the_group_size_is_an_error(make):
    with pytest.raises(ConfigError, match="min_group_size 4 is more than group_size 3"):
        make(min_group_size=4)


def test_a_collector_is_used_inside_its_context(make):
    with pytest.raises(RuntimeError, match="async with"):
        asyncio.run(make().next_groups(1))


def test_the_engines_own_retry_is_not_counted(make, engine):
    engine.failure = lambda request_id, attempt: EngineError("hiccup") if attempt == 0 else None
    collector = make()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(collector, 1)
    assert collector.counters()["rollout/retried_count"] == 0

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pytest

from assay.batching import to_samples
from assay.environments.arithmetic import Arithmetic
from assay.environments.chain import Chain
from assay.environments.second_try import SecondTry
from assay.errors import ContextLengthError, DataError, TrainingStoppedError
from assay.render import ChatRenderer, load_renderer
from assay.rollout import Demonstrations
from assay.types import Message, Rollout, Score, Task
from assay.verifiers import EpisodeScore, Numeric, score_rollout


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> ChatRenderer:
    return load_renderer(tiny_model)


def demonstrations(renderer: ChatRenderer, tasks: list[Task], max_context: int = 512) -> Demonstrations:
    return Demonstrations(
        renderer=renderer,
        score=lambda rollout, task: score_rollout(Numeric(), rollout, task),
        next_task=tasks.__getitem__,
        environment=SecondTry(),  # which has no expert
        max_context=max_context,
    )


def task(demonstration: object = "it is 4") -> Task:
    return Task("test", (Message("user", "2 + 2?"),), "4", metadata={"demonstration": demonstration})


def test_what_is_trained_on_is_the_demonstration_and_its_end(renderer: ChatRenderer) -> None:
    collector = demonstrations(renderer, [task(), task("it is 5")])
    groups = asyncio.run(collector.next_groups(2))
    assert [group.solved_share for group in groups] == [1.0, 0.0]
    assert collector.counters()["rollout/unfiltered_solved_share"] == 0.5
    sample, _ = to_samples(groups)
    trained = sample.token_ids[sample.loss_mask].tolist()
    assert renderer.parse(trained).content == "it is 4"
    assert trained[-1] in renderer.stop_token_ids
    assert renderer.decode(sample.token_ids[~sample.loss_mask].tolist()) == renderer.decode(
        renderer.render(task().prompt)
    )
    assert math.isnan(float(sample.sampling_logprobs[sample.loss_mask][0])), "nobody sampled it"


def test_it_goes_on_where_it_was(renderer: ChatRenderer) -> None:
    tasks = [task(f"it is {i}") for i in range(6)]
    first = demonstrations(renderer, tasks)
    asyncio.run(first.next_groups(2))
    second = demonstrations(renderer, tasks)
    second.load_state(json.loads(json.dumps(first.state())))
    groups = asyncio.run(second.next_groups(1))
    assert (groups[0].group_id, groups[0].rollouts[0].response) == (2, "it is 2")


@pytest.mark.parametrize("demonstration", [None, "", "  ", 7])
def test_a_task_without_one_is_an_error(renderer: ChatRenderer, demonstration: object) -> None:
    with pytest.raises(DataError, match="has no demonstration"):
        asyncio.run(demonstrations(renderer, [task(demonstration)]).next_groups(1))


def test_one_that_does_not_fit_is_an_error(renderer: ChatRenderer) -> None:
    with pytest.raises(ContextLengthError, match="context 20"):
        asyncio.run(demonstrations(renderer, [task()], max_context=20).next_groups(1))


@pytest.mark.parametrize(("complexity", "horizon"), [(2, 1), (5, 1), (9, 1), (2, 4), (5, 3), (6, 2)])
@pytest.mark.parametrize("example", [False, True])
def test_arithmetic_demonstrates_what_its_verifier_accepts(complexity: int, horizon: int, example: bool) -> None:
    for found, _ in zip(
        Arithmetic(example=example).tasks("train", complexity=complexity, horizon=horizon), range(30), strict=False
    ):
        text = found.metadata["demonstration"]
        for equation in text.split(", ") if example else ():
            left, _, right = equation.partition(" = ")
            assert eval(left.replace("(", "").replace(")", "")) == int(right), text
        assert text.rpartition("= ")[2] == found.answer


def test_one_that_cannot_be_scored_is_replaced_and_counted(renderer: ChatRenderer) -> None:
    async def score(rollout: Rollout, task: Task) -> Score:
        return Score.not_measured("died") if rollout.group_id in broken else Score.solved()

    broken = {1}
    collector = Demonstrations(
        renderer=renderer,
        score=score,
        next_task=lambda i: task(f"it is {i}"),
        environment=SecondTry(),  # which has no expert
        max_context=512,
    )
    groups = asyncio.run(collector.next_groups(2))
    assert [group.group_id for group in groups] == [0, 2]
    assert collector.counters()["rollout/dropped_unmeasured_count"] == 1
    assert [group.group_id for group in collector.take_dropped()] == [1]
    broken = set(range(1000))
    with pytest.raises(TrainingStoppedError, match="died"):
        asyncio.run(collector.next_groups(1))


def test_an_expert_plays_where_the_data_says_nothing(renderer):
    chain = Chain(machine="ledger", horizon=3)
    played = next(chain.tasks("train"))
    collector = Demonstrations(
        renderer=renderer,
        score=lambda rollout, task: score_rollout(EpisodeScore(), rollout, task),
        next_task=lambda i: played,
        environment=chain,
        max_context=512,
    )
    (group,) = asyncio.run(collector.next_groups(1))
    (rollout,) = group.rollouts
    assert group.solved_share == 1.0
    assert len(rollout.turns) == 3
    assert rollout.response == played.answer
    (sample,) = to_samples([group])
    said = renderer.decode(sample.token_ids[sample.loss_mask].tolist())
    assert said.count("Ann") == said.count("Bob") == 3  # what the expert said is trained on, and nothing else
    assert "Update" not in said
    collector._max_context = 100
    with pytest.raises(ContextLengthError, match="shorten it"):
        asyncio.run(collector.next_groups(1))

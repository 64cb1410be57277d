from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.adapters import AdapterServer
from assay.environments import EpisodeStep, adapted
from assay.environments.adapted import AdaptedEpisode
from assay.errors import AdapterError, ContractError
from assay.types import Message, Score, Task

WORKER = Path(__file__).parents[2] / "foreign" / "adapter_worker.py"
TASK = Task("die", (Message("user", "roll"),), "")


class Die(AdaptedEpisode):
    def read_outcome(self, outcome: Any) -> Score:
        return Score.solved(float(outcome))


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AdapterServer]:
    server = AdapterServer("fake", WORKER, Path(sys.executable))
    monkeypatch.setattr(adapted, "adapter_server", lambda name, worker: server)
    yield server
    server.close()


def die(seed: int = 5) -> Die:
    return Die(TASK, "fake", WORKER, {"seed": seed}, 30.0)


def test_an_episode_from_its_start_to_its_score() -> None:
    async def played(episode: Die) -> tuple[list[EpisodeStep], Score | None]:
        assert await episode.start() == TASK.prompt
        steps = [await episode.step(Message("assistant", reply)) for reply in ("", "", "stop")]
        with pytest.raises(ContractError):
            await episode.step(Message("assistant", ""))
        score = await episode.score()
        await episode.close()
        await episode.close()
        return steps, score

    steps, score = asyncio.run(played(die()))
    assert [step.done for step in steps] == [False, False, True]
    assert [step.reward for step in steps] == [None, None, 1.0]
    assert [message.content for step in steps for message in step.messages] == [steps[0].state, steps[1].state]
    assert score is not None
    assert score.value is not None
    assert score.value > float(steps[1].state)
    assert asyncio.run(played(die())) == (steps, score), "a seed gives the same episode again"


def test_another_start_than_that_of_the_task_is_found() -> None:
    async def start() -> None:
        episode = Die(dataclasses.replace(TASK, prompt=(Message("user", "draw"),)), "fake", WORKER, {"seed": 1}, 30.0)
        try:
            with pytest.raises(AdapterError, match="shows 'roll'; its package does not keep to the seed"):
                await episode.start()
        finally:
            await episode.close()

    asyncio.run(start())


def test_closing_before_the_start_and_after_a_failure(server: AdapterServer) -> None:
    async def closed() -> None:
        await die().close()
        episode = die()
        await episode.start()
        assert episode._connection is not None
        with pytest.raises(AdapterError):
            await episode._connection.ask("fail", how="exit")
        with pytest.raises(AdapterError, match="went away"):
            await episode.step(Message("assistant", ""))
        await episode.close()

    asyncio.run(closed())

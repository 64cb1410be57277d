"""Gymnasium itself, with environments that come with it and one of our own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.real import play, said, use_adapter
from assay.adapters import adapter_server
from assay.environments import check_environment, check_episode
from assay.environments.adapted import worker_of
from assay.environments.gymnasium import Gymnasium
from assay.errors import DataError
from assay.types import Verdict

ECHO = """
import gymnasium
from gymnasium.spaces import Text


class Echo(gymnasium.Env):
    observation_space = Text(200)
    action_space = Text(4, min_length=1, charset="abc")

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.word = "".join(self.np_random.choice(list("abc"), 3))
        return f"say {self.word}", {}

    def step(self, action):
        if action == "aaaa":
            raise ValueError("a fault of the environment")
        return f"you said {action}", float(action == self.word), action == self.word, False, {}


gymnasium.register("Echo-v0", lambda: Echo(), max_episode_steps=3, reward_threshold=1.0)
"""
LAKE: dict[str, Any] = {"id": "FrozenLake-v1", "options": {"is_slippery": False}, "solved_at": 1.0}
WAY = ["1", "1", "2", "I go 2.", "1", "2"]


@pytest.fixture(autouse=True, scope="module")
def installed() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        use_adapter("gymnasium", patch)
        yield


@pytest.fixture
def echo(tmp_path: Path) -> Gymnasium:
    (tmp_path / "echo.py").write_text(ECHO)
    return Gymnasium(id="Echo-v0", module=str(tmp_path / "echo.py"))


def test_text_in_and_out(echo: Gymnasium) -> None:
    task = next(echo.tasks("train"))
    word = task.prompt[0].content[4:7]
    (refused, wrong, right), score = play(echo, task, ["xyz", "cc", f"<think>c</think> {word}\n"])
    assert "'xyz' is no action here: it is a text of 1 to 4 characters" in said(refused)
    assert said(wrong).startswith("you said ")
    assert [step.reward for step in (refused, wrong, right)] == [0.0, 0.0, 1.0]
    assert right.done
    assert not right.messages
    assert score is not None
    assert (score.verdict, score.value) == (Verdict.SOLVED, 1.0)


def test_cut_off_by_its_time_limit_is_not_solved(echo: Gymnasium) -> None:
    paying = echo.model_copy(update={"solved_at": 0.0})
    steps, score = play(paying, next(paying.tasks("train")), ["c", "c", "c"])
    assert [step.done for step in steps] == [False, False, True]
    assert score is not None
    assert (score.verdict, score.reason) == (Verdict.FAILED, "truncated")


def test_what_comes_with_it_is_drawn_as_text() -> None:
    lake = Gymnasium(**LAKE, instruction="0 left, 1 down, 2 right, 3 up")
    task = next(lake.tasks("train"))
    assert task.prompt[0].content == "[S]FFF\nFHFH\nFFFH\nHFFG\n\n0 left, 1 down, 2 right, 3 up"
    steps, score = play(lake, task, WAY)
    assert said(steps[0]).endswith("SFFF\n[F]HFH\nFFFH\nHFFG")
    assert score is not None
    assert score.verdict is Verdict.SOLVED
    steps, score = play(lake, task, ["1", "2"])
    assert steps[-1].done
    assert score is not None
    assert (score.verdict, score.value, score.reason) == (Verdict.FAILED, 0.0, "terminated")
    for reply, says in (("7", "the numbers 7"), ("go", "no number"), ("1 or 2", "the numbers 1, 2")):
        (step,), _ = play(lake, task, [reply])
        assert f"Your reply has {says}; an action is one number from 0 to 3. Nothing was done." in said(step)
    paying = lake.model_copy(update={"pays": "return"})
    assert [play(paying, task, way)[1].value for way in (WAY, ["1"])] == [1.0, 0.0]  # type: ignore[union-attr]


def test_a_seed_gives_the_same_slips() -> None:
    lake = Gymnasium(**{**LAKE, "options": {}}, identity="seed")
    first, second = itertools.islice(lake.tasks("train"), 2)
    assert play(lake, first, ["2"] * 6) == play(lake, first, ["2"] * 6)
    several = {tuple(map(said, play(lake, task, ["2"] * 6)[0])) for task in (first, second)}
    assert len(several) == 2


def test_starts_that_are_alike_are_one_task() -> None:
    assert len(list(Gymnasium(**LAKE, give_up_after=5).tasks("train"))) <= 1
    taxi = Gymnasium(id="Taxi-v4")
    assert len({task.metadata["start"] for task in itertools.islice(taxi.tasks("train"), 5)}) == 5


def test_every_environment_is_text_or_says_why_not() -> None:
    server = adapter_server("gymnasium", worker_of("gymnasium"))
    starts, lacks = [], {}
    for name in ("Taxi-v4", "CliffWalking-v1", "CartPole-v1", "LunarLander-v3", "Blackjack-v1", "phys2d/CartPole-v0"):
        try:
            starts.append((name, server.ask("check", part=name)))
        except DataError as error:
            lacks[name] = str(error)
    assert starts[0] == ("Taxi-v4", "observations are drawn as text, actions one number from 0 to 5")
    assert len(starts) == 2
    assert "cannot be drawn as text" in lacks["CartPole-v1"]
    assert "-m pip install" in lacks["LunarLander-v3"]
    assert "-m pip install jax" in lacks["phys2d/CartPole-v0"]
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"id": "CliffWalking-v1"}, "set solved_at"),
        ({"id": "Nothing-v0"}, "does not make 'Nothing-v0'"),
        ({"id": "Pendulum-v1"}, "cannot be drawn as text"),
        ({"id": "Taxi-v4", "module": "/nowhere.py"}, "no such file"),
    )
    for options, says in wrong:
        with pytest.raises(DataError, match=says):
            next(Gymnasium(**options).tasks("train"))


def test_what_the_protocol_promises(echo: Gymnasium) -> None:
    asyncio.run(check_environment(echo, splits=["train"], num_tasks=3))
    asyncio.run(check_episode(echo.episode, next(echo.tasks("train")), max_turns=3))

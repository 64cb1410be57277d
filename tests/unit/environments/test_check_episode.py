from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from assay.environments import Episode, EpisodeFactory, EpisodeStep, check_episode
from assay.errors import ContractError
from assay.types import Message, Task, Tool

TASK = Task("d", (Message("user", "?"),), "82")


@dataclass
class Scripted(Episode):
    first: Callable[[], tuple[Message, ...]] = lambda: (Message("user", "?"),)
    answer: Callable[[str], EpisodeStep] = lambda text: EpisodeStep(done=True)
    closed: list[bool] | None = None

    async def start(self) -> tuple[Message, ...]:
        return self.first()

    async def step(self, message: Message) -> EpisodeStep:
        return self.answer(message.content)

    async def close(self) -> None:
        if self.closed is not None:
            self.closed.append(True)


def check(factory: EpisodeFactory) -> None:
    asyncio.run(check_episode(factory, TASK))


def test_an_honest_environment_passes_and_is_closed() -> None:
    closed: list[bool] = []
    check(lambda task: Scripted(closed=closed))
    assert len(closed) == 20  # three for each of six responses, one that never started, one that was cancelled


def test_an_environment_is_closed_after_a_failure() -> None:
    closed: list[bool] = []
    with pytest.raises(ContractError):
        check(lambda task: Scripted(first=tuple, closed=closed))
    assert closed == [True]


def test_shared_state() -> None:
    shared: list[Message] = []

    def first() -> tuple[Message, ...]:
        shared.append(Message("user", "?"))
        return tuple(shared)

    with pytest.raises(ContractError, match="start differently"):
        check(lambda task: Scripted(first=first))


def test_start_shows_nothing() -> None:
    with pytest.raises(ContractError, match="start\\(\\) gave no message"):
        check(lambda task: Scripted(first=tuple))


def test_ends_in_the_models_place() -> None:
    with pytest.raises(ContractError, match="assistant's message"):
        check(lambda task: Scripted(first=lambda: (Message("assistant", "hi"),)))


def test_unknown_role() -> None:
    with pytest.raises(ContractError, match="role 'bot'"):
        check(lambda task: Scripted(first=lambda: (Message("bot", "hi"),)))


def test_hostile_input_raises() -> None:
    with pytest.raises(ContractError, match=r"ValueError.*invalid literal"):
        check(lambda task: Scripted(answer=lambda text: EpisodeStep(reward=int(text), done=True)))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (EpisodeStep(reward=float("nan"), done=True), "paid nan"),
        (EpisodeStep(reward="1", done=True), "paid '1'"),  # pyright: ignore[reportArgumentType]
        (EpisodeStep(reward=10**400, done=True), "paid 1000"),
        (EpisodeStep((Message("user", "?"),), state="x" * 1_000_001), "text of at most 1,000,000 characters"),
        (EpisodeStep((Message("user", "?"),), state=None), "named the state None"),  # pyright: ignore[reportArgumentType]
        (EpisodeStep((Message("user", None),)), "gave the content None"),  # pyright: ignore[reportArgumentType]
        (EpisodeStep(), "nothing to answer"),
        (EpisodeStep(messages=(Message("user", "bye"),), done=True), "nobody will read"),
    ],
)
def test_a_bad_step(step: EpisodeStep, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check(lambda task: Scripted(answer=lambda text: step))


def test_an_endless_environment_is_fine() -> None:
    check(lambda task: Scripted(answer=lambda text: EpisodeStep(messages=(Message("user", "go on"),))))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"properties": []},
        {"properties": {"a": {"$ref": "#/$defs/gone"}}},
        {"properties": {"a": {"$ref": "http://127.0.0.1:9/schema.json"}}},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
    ],
)
def test_a_tool_whose_schema_cannot_be_used(schema: dict[str, Any]) -> None:
    class Tooled(Scripted):
        tools = (Tool("look", "", schema),)  # pyright: ignore[reportAssignmentType]

    with pytest.raises(ContractError, match="the parameters of the tool look are no JSON Schema"):
        check(lambda task: Tooled())


def test_tools_of_any_schema_that_can_be_used_are_fine() -> None:
    class Tooled(Scripted):
        tools = (  # pyright: ignore[reportAssignmentType]
            Tool("one", "", {}),
            Tool("two", "", {"properties": {"a": {"$ref": "#/$defs/a"}, "b": {}, "c": True}, "$defs": {"a": {}}}),
        )

    check(lambda task: Tooled())

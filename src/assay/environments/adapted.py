"""Environments that other people wrote: each episode is a session in an adapter's worker."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from assay.adapters import Connection, adapter_server
from assay.environments.environment import Environment, Level
from assay.environments.episode import Episode, EpisodeStep
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import AdapterError, DataError
from assay.seeds import derive_seed
from assay.types import Message, Score, SolvedAt, Split, Task, Tool
from assay.verifiers import EpisodeScore, EpisodeValue, Verifier


class Seeded(Environment):
    """Base class of environments whose tasks are the starts of a world of somebody else's, one for each seed.

    A subclass gives `worlds`, `opening` and `read_outcome`. What its worker's `open` returns has "messages" and
    "start", which names the state of the world, what is hidden included.
    """

    identity: Literal["start", "seed"] = "start"
    """Ground on which two tasks are the same: an equal start, or only an equal seed (worlds of chance start alike)."""
    turns: int = pydantic.Field(default=50, ge=1)
    """Replies of the model after which an episode is truncated."""
    seconds: float = pydantic.Field(default=60.0, gt=0, le=3600)
    """Time that the world may take to answer one reply."""
    give_up_after: int = pydantic.Field(default=200, ge=1)
    """Seeds in a row that give no new start, after which a split has no more tasks."""

    @property
    def worlds(self) -> tuple[str, ...]:
        """Names of the worlds, easiest first: complexity 1 is the first; with one alone there is no dial."""
        raise NotImplementedError

    def opening(self, world: str, seed: int) -> dict[str, Any]:
        """Return the arguments of the worker's `open`."""
        raise NotImplementedError

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the arguments of the worker's `step` for a message of the model."""
        return {"reply": message.content}

    def read_outcome(self, outcome: Any, task: Task) -> Score | None:
        """Return the score that the worker's `outcome` stands for."""
        raise NotImplementedError

    @property
    def max_turns(self) -> int:
        return self.turns

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """Return the world's own word at its end."""
        return {"strict": EpisodeScore()}

    def levels(self) -> tuple[Level, ...]:
        """A level for each world; without harder ones, no dial."""
        if len(self.worlds) == 1:
            return ((None, None),)
        return tuple((float(number + 1), None) for number in range(len(self.worlds)))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct starts of the split, in an order fixed by the seed.

        Raises:
            ConfigError: the adapter is not installed; names the command.
            DataError: a world that does not start here (says what it lacks), or a dial that it does not have.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if horizon is not None:
            raise DataError(f"{self.name} has no horizon dial, and was asked for horizon {horizon:g}; leave it out")
        world = self._world(complexity)
        found = self._distinct(split, world, complexity, seed)
        if (first := next(found, None)) is None:
            raise DataError(
                f"the {split} split of {world} is empty: {self.give_up_after} seeds in a row gave no start that is "
                "in it; it has few starts: give it other options, or where it is a world of chance set "
                'identity="seed"'
            )
        return itertools.chain((first,), found)

    def episode(self, task: Task) -> Episode:
        return SeededEpisode(self, task)

    def _distinct(self, split: Split, world: str, complexity: float | None, seed: int) -> Iterator[Task]:
        server, label = adapter_server(self.name, worker_of(self.name)), f"{self.name}/{world}"
        seen: set[str] = set()
        old = number = 0
        while old < self.give_up_after:
            world_seed = derive_seed(seed, self.name, world, number) % (1 << 31)
            number += 1
            # A seed of another split says nothing of how many starts there are.
            if self.identity == "seed" and hashed_split(label, str(world_seed)) != split:
                continue
            old += 1
            opened = server.ask("open", self.seconds, **self.opening(world, world_seed))
            key = opened["start"] if self.identity == "start" else str(world_seed)
            if key in seen:
                continue
            seen.add(key)
            if hashed_split(label, key) == split:
                old = 0
                facts = {name: value for name, value in opened.items() if name not in ("messages", "state", "tools")}
                yield Task(
                    self.name,
                    read_messages(opened["messages"]),
                    f"what {world} calls solved, from start {key}",
                    complexity=complexity if len(self.worlds) > 1 else None,
                    metadata={"world": world, "seed": world_seed, **facts, "canonical": f"{world}/{key}"},
                )

    def _world(self, complexity: float | None) -> str:
        if complexity is None:
            return self.worlds[0]
        if len(self.worlds) == 1:
            raise DataError(f"{self.worlds[0]} has no complexity dial; leave complexity out, or list harder variants")
        if complexity not in range(1, len(self.worlds) + 1):
            raise DataError(
                f"{self.name} has no complexity {complexity:g}; it is a whole number from 1 to {len(self.worlds)}"
            )
        return self.worlds[int(complexity) - 1]


class Paying(Seeded):
    """Base class of worlds that pay by the turn: the sum of an episode's rewards is its return."""

    solved_at: SolvedAt | None = None
    """Least return that solves; "none", with pays "return": it is a number and says no verdict."""
    pays: Literal["solved", "return"] = "solved"
    """The reward of an episode. solved: 1 where it is solved, else 0. return: the sum of its rewards."""

    @pydantic.model_validator(mode="after")
    def _pays_something(self) -> Self:
        if self.solved_at == "none" and self.pays == "solved":
            raise ValueError('pays = "solved" pays nothing with solved_at = "none": set pays = "return"')
        return self

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """Return the world's own word at its end."""
        return {"strict": EpisodeValue()} if self.solved_at == "none" else super().rewards

    def returned(self, paid: float, solved: bool, *, ended: str, unsolved: str) -> Score:
        """Return the score of an episode that paid so much in all.

        Args:
            ended: why it ended, of a score without a verdict.
            unsolved: why it was not solved, of one with a verdict.
        """
        parts = {"return": paid}
        if self.solved_at == "none":
            return Score.graded(paid, parts=parts, reason=ended)
        value = paid if self.pays == "return" else float(solved)
        return Score.solved(value, parts=parts) if solved else Score.failed(unsolved, value=value, parts=parts)


class Listed(Environment):
    """Base class of environments whose tasks are the rows of somebody else's data set, once each by their "key", which
    alone decides the split.

    A subclass gives `source`, `rows` and `made`.
    """

    seconds: float = pydantic.Field(default=120.0, gt=0, le=3600)
    """Time that the package may take for one thing: reading tasks, running tools, scoring an answer."""

    @property
    def source(self) -> str:
        """The data set, as errors name it."""
        raise NotImplementedError

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row; of two with one key the first counts."""
        raise NotImplementedError

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[Task]:
        """The tasks of some rows, in their order."""
        raise NotImplementedError

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """What the package's own scoring says."""
        return {"strict": EpisodeScore()}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """The tasks of a split, in an order fixed by the seed.

        Raises:
            ConfigError: the adapter is not installed; names the command.
            DataError: no such data set, a dial, or an empty split.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if complexity is not None or horizon is not None:
            raise DataError(f"{self.name} has no dials; leave complexity and horizon out")
        distinct: dict[str, dict[str, Any]] = {}
        for row in self.rows():
            distinct.setdefault(row["key"], row)
        mine = [distinct[key] for key in sorted(distinct) if hashed_split(self.name, key) == split]
        if not mine:
            raise DataError(
                f"the {split} split of {self.source} is empty: it has {len(distinct)} different tasks, too few for "
                "three splits; measure on another split, or add tasks"
            )
        random.Random(derive_seed(seed, self.name, split)).shuffle(mine)
        return self.made(mine)


class AdaptedEpisode(Episode):
    """One session of an adapter's worker, in a process of its own.

    The worker's file has a class `Session` whose methods answer with plain data:

        open(**opening)      {"messages": [[role, text] or {"role", "content", ...}, ...], "state", "start", "tools"}
        step(**sent)         {"messages", "reward", "done", "state"}; without "reward" the turn paid nothing
        outcome()            what `read_outcome` makes a score of

    Args:
        adapter: its name, as `assay adapters install` takes it.
        worker: file of the worker.
        opening: arguments of the session's `open`.
        seconds: that one call may take.
    """

    def __init__(self, task: Task, adapter: str, worker: Path, opening: Mapping[str, Any], seconds: float) -> None:
        self.task = task
        self._adapter, self._worker, self._opening, self._seconds = adapter, worker, opening, seconds
        self._connection: Connection | None = None
        self._tools: tuple[Tool, ...] = ()

    @property
    def tools(self) -> Sequence[Tool]:
        return self._tools

    async def start(self) -> tuple[Message, ...]:
        """Open the session; its first messages are those of the task.

        Raises:
            AdapterError: the package failed, or starts otherwise than when the task was made.
        """
        self._connection = await adapter_server(self._adapter, self._worker).connect()
        opened = await self._connection.ask("open", self._seconds, **self._opening)
        shown = read_messages(opened["messages"])
        if shown != self.task.prompt or opened.get("start") != self.task.metadata.get("start"):
            raise AdapterError(
                f"task {self.task.task_id} starts otherwise than when it was made: the adapter {self._adapter!r} shows "
                f"{shown[-1].content[:80] if shown else ''!r}; its package does not keep to the seed"
            )
        self._tools = tuple(Tool(**tool) for tool in opened.get("tools", ()))
        return shown

    async def step(self, message: Message) -> EpisodeStep:
        """Hand the message to the session; what it answers.

        Raises:
            AdapterError: the package failed.
        """
        assert self._connection is not None
        answer = await self._connection.ask("step", self._seconds, **self.sent(message))
        return EpisodeStep(
            read_messages(answer.get("messages", ())),
            answer.get("reward"),
            bool(answer.get("done")),
            answer.get("state", ""),
        )

    async def score(self) -> Score | None:
        """Ask the session what was earned."""
        if self._connection is None:
            return None
        return self.read_outcome(await self._connection.ask("outcome", self._seconds))

    async def close(self) -> None:
        """End the session and its process."""
        if self._connection is not None:
            await self._connection.close()

    def sent(self, message: Message) -> dict[str, Any]:
        """Return the arguments of the session's `step` for a message of the model."""
        return {"reply": message.content}

    def read_outcome(self, outcome: Any) -> Score | None:
        """Return the score that the session's `outcome` stands for."""
        raise NotImplementedError


class SeededEpisode(AdaptedEpisode):
    """One episode of a seeded world."""

    def __init__(self, environment: Seeded, task: Task) -> None:
        try:
            opening = environment.opening(task.metadata["world"], task.metadata["seed"])
        except KeyError as error:
            raise DataError(
                f"task {task.task_id} of {task.domain!r} is no task of {environment.name}: it lacks {error}"
            ) from None
        super().__init__(task, environment.name, worker_of(environment.name), opening, environment.seconds)
        self._environment = environment

    def sent(self, message: Message) -> dict[str, Any]:
        return self._environment.sent(message)

    def read_outcome(self, outcome: Any) -> Score | None:
        return self._environment.read_outcome(outcome, self.task)


def file_and_name(named: str, separator: str) -> tuple[Path | None, str]:
    """Return the file, by its absolute path, of a thing that is named like "path.py:Class", and the rest from the
    separator on; without a Python file None, and the whole name."""
    path, found, name = named.rpartition(separator) if separator in named else (named, "", "")
    return (Path(path).expanduser().absolute(), f"{found}{name}") if path.endswith(".py") else (None, named)


def worker_of(adapter: str) -> Path:
    """Return the file of an adapter's worker."""
    return Path(__file__).with_name(adapter) / "worker.py"


def read_messages(data: Sequence[Sequence[str] | Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return the messages of a worker: each [role, text], or an object with "role", "content" and more."""
    return tuple(Message.from_dict(each) if isinstance(each, Mapping) else Message(each[0], each[1]) for each in data)

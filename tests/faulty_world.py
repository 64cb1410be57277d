"""Episodes that fail in every way at random, and a wave of them through the collector, counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.engines.engine import Sampling
from assay.environments import ToolEpisode, ToolFailure
from assay.environments.episode import EpisodeStep
from assay.errors import EngineError, SandboxError, ToolBrokenError
from assay.render import ChatRenderer
from assay.rollout import Collector, EpisodeLimits
from assay.types import Completion, Group, Message, Rollout, Score, Task, Tool

GROUP_SIZE = 4
STEP_TIMEOUT_SECONDS = 0.5
FAULTS = ("raise", "hang", "type", "megabytes", "exit", "lose", "sandbox")
METHODS = ("start", "step", "score", "close")


@dataclass
class Books:
    """What the worlds of a wave did."""

    faults: Counter[str] = field(default_factory=Counter)
    num_made: int = 0
    num_closings: int = 0
    closed: Counter[int] = field(default_factory=Counter)
    """Times that each world was closed to the end, by its number."""


async def lose() -> None:
    """Wait for something of one's own that is cancelled."""
    own = asyncio.create_task(asyncio.sleep(60))
    asyncio.get_running_loop().call_soon(own.cancel)
    await own


class Faulty(ToolEpisode):
    """Up to four turns with a tool; every second world does one thing wrong somewhere."""

    tools = (Tool("act", "Acts."),)
    max_result_characters = 200
    call_timeout_seconds = 0.05

    def __init__(self, task: Task, books: Books, rng: random.Random) -> None:
        self.task, self.books = task, books
        self.number, books.num_made = books.num_made, books.num_made + 1
        self.num_turns, self.left = rng.randint(1, 4), rng.randint(1, 4)
        self.where, self.fault = (
            (rng.choice((*METHODS, "tool")), rng.choice(FAULTS)) if rng.random() < 0.5 else ("", "")
        )
        self.ballast = b"x" * 50_000
        """What a world that stayed would be noticed by."""

    async def at(self, where: str) -> Any:
        await asyncio.sleep(0)
        if where != self.where:
            return None
        self.books.faults[f"{where} {self.fault}"] += 1
        match self.fault:
            case "raise":
                raise RuntimeError(f"no {where}")
            case "sandbox":
                raise SandboxError("no namespace")
            case "exit":
                raise SystemExit(2)
            case "hang" if where == "close":
                await asyncio.sleep(0.2)
            case "hang":
                await asyncio.Event().wait()
            case "lose":
                await lose()
            case "type":
                return 7
        return "x" * 2_000_000

    async def start(self) -> tuple[Message, ...]:
        given = await self.at("start")
        if isinstance(given, str):
            return (Message("user", given),)
        return given or self.task.prompt

    async def call(self, name: str, arguments: Any) -> str:
        if self.where == "tool" and self.fault == "lose":
            raise ToolBrokenError("the disk is full")
        given = await self.at("tool")
        if self.number % 7 == 0:
            raise ToolFailure("no such file")
        return given or "done"

    def after_calls(self, messages: tuple[Message, ...]) -> EpisodeStep:
        self.left -= 1
        return EpisodeStep(messages, 0.5, done=self.left == 0)

    async def step(self, message: Message) -> EpisodeStep:
        given = await self.at("step")
        if isinstance(given, str):
            return EpisodeStep((Message("user", given),))
        return given or await super().step(message)

    async def answer(self, message: Message) -> EpisodeStep:
        self.left -= 1
        return EpisodeStep((Message("user", "again"),), done=self.left == 0)

    async def score(self) -> Score | None:
        given = await self.at("score")
        if isinstance(given, str):
            return Score.solved(evidence=given)
        return given or Score.solved()

    async def close(self) -> None:
        self.books.num_closings += 1
        try:
            await self.at("close")
        finally:
            self.books.closed[self.number] += 1


class FaultyEngine:
    """Says a call, a broken call or a word; fails at times."""

    version = 0

    def __init__(self, renderer: ChatRenderer, rng: random.Random) -> None:
        self._rng = rng
        call = '<tool_call>\n{"name": "act", "arguments": {}}\n</tool_call>'
        texts = (call, call, call + call, "<tool_call>{nothing", "7")
        self._says = [(*renderer._encode(text), *renderer.stop_token_ids) for text in texts]
        self.under_way: set[str] = set()
        self.num_failed = 0

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        assert request_id not in self.under_way
        self.under_way.add(request_id)
        try:
            for _ in range(self._rng.randint(1, 5)):
                await asyncio.sleep(0)
            if self._rng.random() < 0.05:
                self.num_failed += 1
                raise self._rng.choice((EngineError("no page"), TimeoutError("no page"), RuntimeError("no page")))
        finally:
            self.under_way.discard(request_id)
        says = self._rng.choice(self._says)
        token_ids = says[: sampling.max_new_tokens]
        reason = "stop" if token_ids == says else "length"
        return Completion(token_ids, (-0.5,) * len(token_ids), reason, ((0, 0),))

    async def abort(self, request_id: str) -> None:
        await asyncio.sleep(0)

    async def load_weights(self, weights: Iterable[tuple[str, Any]], version: int) -> None:
        raise NotImplementedError

    def forget(self) -> None:
        pass

    async def close(self) -> None:
        pass


async def world_score(rollout: Rollout, task: Task) -> Score:
    if rollout.score is None:
        raise RuntimeError("no score")
    return rollout.score


async def play_wave(
    renderer: ChatRenderer, num_episodes: int, seed: int
) -> tuple[Books, list[Group], dict[str, float]]:
    """Play so many episodes at once, cancel a second wave in the middle, and return what was seen of both."""
    books, rng = Books(), random.Random(seed)
    num_groups = num_episodes // GROUP_SIZE
    engine = FaultyEngine(renderer, rng)

    def collector() -> Collector:
        return Collector(
            engine=engine,
            renderer=renderer,
            make_episode=lambda task: Faulty(task, books, rng),
            score=world_score,
            next_task=lambda group_id: Task("faulty", (Message("user", f"task {group_id}"),), ""),
            sampling=Sampling(max_new_tokens=64),
            group_size=GROUP_SIZE,
            run_seed=seed,
            groups_per_step=num_groups,
            min_group_size=1,
            max_turns=4,
            retries=1,
            limits=EpisodeLimits(step_timeout_seconds=STEP_TIMEOUT_SECONDS),
            max_left_out_share=1.0,
        )

    async with (first := collector()):
        groups = await first.next_groups(num_groups)
        groups = sorted([*groups, *first.take_dropped()], key=lambda group: group.group_id)
        counters = first.counters()
    async with (second := collector()):
        step = asyncio.create_task(second.next_groups(num_groups))
        cancel_at = books.num_made + num_episodes
        while books.num_made < cancel_at:
            await asyncio.sleep(0)
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        assert step.cancelled()
    assert not engine.under_way
    assert len(asyncio.all_tasks()) == 1, "tasks stay under way"
    return books, groups, counters

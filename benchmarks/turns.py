"""Our side of episodes of several turns: the local engine and the trainer. Used by side_ours.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from assay.algorithms import GRPO
from assay.batching import pack
from assay.engines import LocalEngine, Sampling
from assay.training import Trainer
from assay.types import CreditedSample
from side import scripted_answer


@dataclass
class Rollout:
    """An episode as it grows; the first tokens are its prompt."""

    group_id: int
    member: int
    token_ids: list[int]
    sampled: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.sampled = [False] * len(self.token_ids)
        self.logprobs = [0.0] * len(self.token_ids)

    def add(self, token_ids: Sequence[int], logprobs: Sequence[float] | None) -> None:
        """Adds what was sampled, or what the world said."""
        self.token_ids += token_ids
        self.sampled += [logprobs is not None] * len(token_ids)
        self.logprobs += [0.0] * len(token_ids) if logprobs is None else logprobs


@dataclass(frozen=True)
class Episodes:
    """Episodes with a scripted world: it answers with words, at once or after a while, and never ends them early."""

    prompts: list[list[int]]
    group_size: int
    num_turns: int
    new_tokens: int
    answer_tokens: int
    delay_seconds: float
    seed: int

    async def play(self, engine: LocalEngine) -> list[Rollout]:
        """All of them at once."""
        rollouts = [
            Rollout(group_id, member, list(prompt))
            for group_id, prompt in enumerate(self.prompts)
            for member in range(self.group_size)
        ]
        await asyncio.gather(*(self._play(engine, number, rollout) for number, rollout in enumerate(rollouts)))
        return rollouts

    async def _play(self, engine: LocalEngine, number: int, rollout: Rollout) -> None:
        sampling = Sampling(max_new_tokens=self.new_tokens)
        for turn in range(self.num_turns):
            seed = (self.seed * 10_000 + number) * 100 + turn
            completion = await engine.generate(rollout.token_ids, sampling, request_id=f"{number}/{turn}", seed=seed)
            rollout.add(completion.token_ids, completion.logprobs)
            if turn + 1 < self.num_turns:
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                rollout.add(scripted_answer(self.seed, number, turn, self.answer_tokens), None)


class Busy:
    """Seconds that an engine computes; the rest of the time it idles."""

    def __init__(self, engine: LocalEngine) -> None:
        self.seconds = 0.0
        step = engine._step

        def timed() -> None:
            start = time.perf_counter()
            step()
            self.seconds += time.perf_counter() - start

        engine._step = timed


def num_distinct(rollouts: Sequence[Rollout]) -> int:
    """Tokens that were given, not sampled; what prompts begin with alike counts once. None is after the last turn."""
    prefixes = set()
    for rollout in rollouts:
        before = 0
        for token, sampled in zip(rollout.token_ids, rollout.sampled, strict=True):
            before = hash((before, token))
            if not sampled:
                prefixes.add(before)
    return len(prefixes)


def sample(engine: LocalEngine, episodes: Episodes) -> dict[str, float]:
    """Episodes of a new engine: seconds, sampled tokens, and how many tokens of prompts were computed."""
    busy = Busy(engine)
    start = time.perf_counter()
    rollouts = asyncio.run(episodes.play(engine))
    seconds = time.perf_counter() - start
    distinct = num_distinct(rollouts)
    return {
        "seconds": seconds,
        "tokens": sum(sum(rollout.sampled) for rollout in rollouts),
        "prompt_tokens": engine.num_prompt_tokens,
        "forwarded": engine.num_forwarded_prompt_tokens,
        "distinct": distinct,
        "forwarded_by_distinct": engine.num_forwarded_prompt_tokens / distinct,
        "idle_share": 1 - busy.seconds / seconds,
    }


def step(engine: LocalEngine, trainer: Trainer, episodes: Episodes, tokens_per_microbatch: int) -> dict[str, float]:
    """A whole step: episodes, one GRPO update with AdamW over them, the new weights to the engine."""
    start = time.perf_counter()
    rollouts = asyncio.run(episodes.play(engine))
    sampled = time.perf_counter()
    engine.forget()
    minibatches = pack([_credited(rollout) for rollout in rollouts], tokens_per_microbatch)
    trainer.update(minibatches, GRPO(normaliser="tokens"))
    asyncio.run(engine.load_weights(trainer.policy.weights(), engine.version + 1))
    return {
        "seconds": time.perf_counter() - start,
        "sampling_seconds": sampled - start,
        "tokens": sum(sum(rollout.sampled) for rollout in rollouts),
    }


def _credited(rollout: Rollout) -> CreditedSample:
    mask = torch.tensor(rollout.sampled)
    return CreditedSample(
        group_id=rollout.group_id,
        member=rollout.member,
        token_ids=torch.tensor(rollout.token_ids),
        loss_mask=mask,
        sampling_logprobs=torch.tensor(rollout.logprobs),
        # Half of the members did well.
        advantages=(1.0 if rollout.member % 2 else -1.0) * mask,
    )

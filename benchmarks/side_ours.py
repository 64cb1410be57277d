"""Our side: the local engine and the trainer, as `assay train` uses them. Usage: side_ours.py MODEL_FOLDER [DTYPE]"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from assay.algorithms import GRPO
from assay.batching import pack
from assay.engines import LocalEngine, Sampling
from assay.launch import COMPUTE_DTYPES
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.render import load_renderer
from assay.training import Trainer, TrainerSettings, keep_freed_memory
from assay.types import CreditedSample
from side import serve
from turns import Episodes, sample, step


class Ours:
    def __init__(self, folder: Path, dtype: torch.dtype = torch.bfloat16) -> None:
        keep_freed_memory()
        self.dtype = dtype
        self.policy = open_model(folder).policy(compute_dtype=dtype)
        self.decode = load_renderer(folder).decode
        self.trainer: Trainer | None = None
        self.stepping: LocalEngine | None = None
        """Samples the episodes of whole steps."""

    def engine(self, num_slots: int) -> LocalEngine:
        assert isinstance(self.policy, DecoderPolicy)
        # No token ends a response: lengths are forced.
        return LocalEngine(
            self.policy.config,
            self.policy.weights(),
            stop_token_ids=(),
            decode=self.decode,
            dtype=self.dtype,
            num_slots=num_slots,
        )

    def rollouts(self, prompts: list[list[int]], group_size: int, new_tokens: int, seed: int) -> dict[str, float]:
        """Every prompt `group_size` times, all at once."""
        engine = self.engine(len(prompts) * group_size)
        requests = [(prompt, new_tokens) for prompt in prompts for _ in range(group_size)]
        start = time.perf_counter()
        ends = asyncio.run(self._sample(engine, requests, seed))
        return {"seconds": max(ends) - start, "tokens": new_tokens * len(requests)}

    def backlog(self, prompts: list[list[int]], lengths: list[int], num_slots: int, seed: int) -> dict[str, float]:
        """Requests that wait for slots: tokens a second until the last of them has one."""
        engine = self.engine(num_slots)
        requests = [(prompts[i % len(prompts)], length) for i, length in enumerate(lengths)]
        full: dict[str, float] = {}

        def count(num_ended: int) -> None:
            if num_ended == len(requests) - num_slots:
                # From now on slots will stand empty: the tail of the last requests. Those under way count with what
                # they have; who is no longer there has ended.
                under_way = [engine._scheduler.find(str(i)) for i in range(len(requests))]
                sampled = [
                    length if r is None else len(r.token_ids) for r, length in zip(under_way, lengths, strict=True)
                ]
                full.update(seconds=time.perf_counter() - start, tokens=sum(sampled))

        start = time.perf_counter()
        ends = asyncio.run(self._sample(engine, requests, seed, count))
        return {**full, "all_seconds": max(ends) - start, "all_tokens": sum(lengths)}

    async def _sample(
        self,
        engine: LocalEngine,
        requests: list[tuple[list[int], int]],
        seed: int,
        on_end: Callable[[int], None] = lambda num_ended: None,
    ) -> list[float]:
        """When each request ended."""
        num_ended = 0

        async def one(index: int, prompt: list[int], new_tokens: int) -> float:
            nonlocal num_ended
            sampling = Sampling(max_new_tokens=new_tokens)
            await engine.generate(prompt, sampling, request_id=str(index), seed=seed * 100_000 + index)
            num_ended += 1
            on_end(num_ended)
            return time.perf_counter()

        ends = await asyncio.gather(*(one(i, *request) for i, request in enumerate(requests)))
        await engine.close()
        return list(ends)

    def update(
        self, groups: list[dict[str, Any]], tokens_per_microbatch: int, share_prompts: bool = True
    ) -> dict[str, float]:
        """One GRPO update with AdamW over groups of a prompt and its responses."""
        trainer = self.make_trainer(tokens_per_microbatch)
        samples = [
            _sample(group_id, index, group["prompt"], response)
            for group_id, group in enumerate(groups)
            for index, response in enumerate(group["responses"])
        ]
        start = time.perf_counter()
        minibatches = pack(samples, tokens_per_microbatch, share_prompts=share_prompts)
        trainer.update(minibatches, GRPO(normaliser="tokens"))
        return {"seconds": time.perf_counter() - start, "tokens": sum(len(sample.token_ids) for sample in samples)}

    def turns(self, **sizes: Any) -> dict[str, float]:
        """Episodes of several turns, all at once; see `turns.Episodes`."""
        episodes = Episodes(**sizes)
        return sample(self.engine(len(episodes.prompts) * episodes.group_size), episodes)

    def turns_step(self, tokens_per_microbatch: int, **sizes: Any) -> dict[str, float]:
        """A whole step over such episodes."""
        episodes = Episodes(**sizes)
        if self.stepping is None:
            self.stepping = self.engine(len(episodes.prompts) * episodes.group_size)
        return step(self.stepping, self.make_trainer(tokens_per_microbatch), episodes, tokens_per_microbatch)

    def make_trainer(self, tokens_per_microbatch: int) -> Trainer:
        """Makes it at the first call."""
        if self.trainer is None:
            settings = TrainerSettings(learning_rate=1e-6)
            self.trainer = Trainer(self.policy, settings, temperature=1.0, tokens_per_microbatch=tokens_per_microbatch)
        return self.trainer


def _sample(group_id: int, index: int, prompt: list[int], response: list[int]) -> CreditedSample:
    token_ids = torch.tensor(prompt + response)
    mask = torch.arange(len(token_ids)) >= len(prompt)
    return CreditedSample(
        group_id=group_id,
        member=index,
        token_ids=token_ids,
        loss_mask=mask,
        sampling_logprobs=-10.0 * mask,
        # Half of the members did well.
        advantages=(1.0 if index % 2 else -1.0) * mask,
    )


def main() -> None:
    start = time.perf_counter()
    ours = Ours(Path(sys.argv[1]), COMPUTE_DTYPES[sys.argv[2] if len(sys.argv) > 2 else "bf16"])
    # Whatever is compiled at first use is compiled now, and counts as start.
    ours.rollouts([[1000] * 8], group_size=1, new_tokens=2, seed=0)
    ready = {"start_seconds": time.perf_counter() - start}
    jobs = {"rollouts": ours.rollouts, "backlog": ours.backlog, "update": ours.update}
    serve({**jobs, "turns": ours.turns, "turns_step": ours.turns_step}, ready)


if __name__ == "__main__":
    main()

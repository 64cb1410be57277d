"""check_engine: holds an engine to its protocol."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from assay.engines.engine import Engine, Sampling
from assay.errors import ContextLengthError, ContractError
from assay.types import Completion

if TYPE_CHECKING:
    from torch import Tensor

Logprobs = Callable[[Sequence[int], Sequence[int], float], Sequence[float]]
"""(prompt ids, token ids after it, temperature) to the log-probability of each of those tokens."""
_NUM_TOKENS = 12


async def check_engine(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    *,
    stop_token_ids: Sequence[int],
    weights: Iterable[tuple[str, Tensor]] = (),
    other: tuple[Iterable[tuple[str, Tensor]], Logprobs] | None = None,
    max_context: int | None = None,
    tolerance: float = 1e-4,
) -> None:
    """Samples from every prompt and checks what the protocol promises.

    Greedy decoding takes the most probable token. Limits and end tokens are respected, aborts return what there is, new
    weights stamp their version, forgetting changes no answer. Where the engine says that it is reproducible, the same
    request gives the same tokens, alone or beside others, with the turns before it kept or not, and log-probabilities
    within `tolerance`; greedy decoding repeats itself. Where seeds decide, other seeds give other tokens.

    All that can be seen with one set of weights says nothing of a load that does not arrive: with `other` the engine is
    given different weights, and its log-probabilities are compared with what they should be, for prompts that it has
    read before and for new ones, and at a temperature that is not 1.

    Args:
        engine: idle; it is left with the version it had plus one, or with `other` plus two.
        prompts: at least two, of which the engine does not answer every one with certainty.
        stop_token_ids: the tokens that the engine was told end a completion.
        weights: what to give to `load_weights`; the weights the engine has, best.
        other: weights that differ from the engine's in every tensor, and a function that gives the log-probability of
            each of some tokens after a prompt under them, at a temperature; None: not checked.
        max_context: the engine's, to check that longer prompts are refused; None: not checked.
        tolerance: of log-probabilities. fp32 keeps 1e-5; bf16 does not keep any: check in fp32.

    Raises:
        ContractError: a promise is broken.
        ValueError: fewer than two prompts.
    """
    if len(prompts) < 2:
        raise ValueError(f"check_engine needs at least two prompts, got {len(prompts)}")
    check = _Check(engine, tuple(stop_token_ids), tolerance)
    if engine.capabilities.is_reproducible:
        await check.repeats(prompts)
        await check.turns(prompts, max_context)
    await check.greedy(prompts)
    await check.limits(prompts[0], max_context)
    await check.abort(prompts[0])
    await check.versions(prompts[0], weights)
    if other is not None:
        await check.other_weights(prompts, *other)


class _Check:
    def __init__(self, engine: Engine, stop_token_ids: tuple[int, ...], tolerance: float) -> None:
        self.engine, self.stop_token_ids, self.tolerance = engine, stop_token_ids, tolerance
        self.ids = (f"check-{number}" for number in itertools.count())

    async def repeats(self, prompts: Sequence[Sequence[int]]) -> None:
        """Check that prompts give the same tokens alone, together, and together in another order."""
        requests = [(prompt, seed) for prompt in prompts for seed in (0, 1, 2**64 - 1)]
        alone = [await self.sample(prompt, seed) for prompt, seed in requests]
        together = await asyncio.gather(*(self.sample(prompt, seed) for prompt, seed in requests))
        reverse = await asyncio.gather(*(self.sample(prompt, seed) for prompt, seed in reversed(requests)))
        for (prompt, seed), *results in zip(requests, alone, together, reversed(reverse), strict=True):
            for other in results[1:]:
                self.same(results[0], other, f"prompt {list(prompt)[:8]}, seed {seed}: beside other requests")
        seeds_decide = self.engine.capabilities.decides_by_seed
        if seeds_decide and len({completion.token_ids for completion in alone}) == 1:
            raise ContractError(
                f"every prompt and seed gives {alone[0].token_ids}; either the seed is ignored, or these prompts leave "
                f"the engine no choice"
            )

    async def turns(self, prompts: Sequence[Sequence[int]], max_context: int | None) -> None:
        """Check that a later turn gives the same tokens whether or not anything was kept of the turns before it, and
        beside a fork that leaves the conversation halfway."""
        prompt = prompts[0]
        first = await self.sample(prompt, 0)
        conversations = [
            [*prompt, *first.token_ids, *prompts[1]],
            [*prompt, *first.token_ids[: len(first.token_ids) // 2], *prompts[1]],
        ]
        if max_context is not None and max(map(len, conversations)) >= max_context:
            return
        kept = await asyncio.gather(*(self.sample(conversation, 1) for conversation in conversations))
        for name, conversation, one in zip(("turn", "fork"), conversations, kept, strict=True):
            self.engine.forget()
            again = await self.sample(conversation, 1)
            self.same(again, one, f"a {name} after {list(prompt)[:8]}: with the turns before it kept")

    async def greedy(self, prompts: Sequence[Sequence[int]]) -> None:
        """Repeats itself whatever the seed, and no sampled first token is more probable than its own."""
        for prompt in prompts:
            first = await self.sample(prompt, 0, temperature=0.0)
            if self.engine.capabilities.is_reproducible:
                self.engine.forget()
                again = await self.sample(prompt, 1, temperature=0.0)
                self.same(first, again, f"prompt {list(prompt)[:8]}: greedy decoding with another seed")
            single = await self.sample(prompt, 0, top_k=1)
            if single.token_ids[0] != first.token_ids[0] or abs(single.logprobs[0]) > self.tolerance:
                raise ContractError(
                    f"top_k=1 samples {single.token_ids[0]} with log-probability {single.logprobs[0]}; the most "
                    f"probable token is {first.token_ids[0]}, and truncated to it its log-probability is 0"
                )
            for seed in range(8):
                sampled = await self.sample(prompt, seed, max_new_tokens=1)
                if sampled.logprobs[0] > first.logprobs[0] + self.tolerance:
                    raise ContractError(
                        f"greedy decoding took token {first.token_ids[0]} ({first.logprobs[0]:.5f}), but "
                        f"{sampled.token_ids[0]} is more probable ({sampled.logprobs[0]:.5f})"
                    )

    async def limits(self, prompt: Sequence[int], max_context: int | None) -> None:
        """Check the limits: one token where one is asked for; a prompt that leaves no room is refused."""
        one = await self.sample(prompt, 0, max_new_tokens=1)
        if len(one.token_ids) != 1:
            raise ContractError(f"max_new_tokens=1 gave {len(one.token_ids)} tokens")
        if max_context is None:
            return
        longest = await self.sample([prompt[0]] * (max_context - 1), 0)
        if len(longest.token_ids) != 1:
            raise ContractError(f"a context with room for 1 token gave {len(longest.token_ids)}")
        try:
            await self.sample([prompt[0]] * max_context, 0)
        except ContextLengthError:
            return
        raise ContractError(
            f"a prompt of {max_context} tokens fills the context; generate must raise ContextLengthError"
        )

    async def abort(self, prompt: Sequence[int]) -> None:
        """Check aborts: unknown ids are ignored; a request under way returns, and its id is free again."""
        await self.engine.abort("nobody has this id")
        sampling = Sampling(max_new_tokens=_NUM_TOKENS)
        task = asyncio.ensure_future(self.engine.generate(prompt, sampling, request_id="check-abort", seed=0))
        await asyncio.sleep(0)
        await self.engine.abort("check-abort")
        aborted = await asyncio.wait_for(task, timeout=60)
        if aborted.finish_reason != "abort" and len(aborted.token_ids) < _NUM_TOKENS:
            self.well_formed(aborted, sampling)
        again = await self.engine.generate(prompt, sampling, request_id="check-abort", seed=0)
        self.well_formed(again, sampling)
        repeats = self.engine.capabilities.is_reproducible
        if repeats and again.token_ids[: len(aborted.token_ids)] != aborted.token_ids:
            raise ContractError(f"an aborted request had {aborted.token_ids}; asked again it gives {again.token_ids}")

    async def versions(self, prompt: Sequence[int], weights: Iterable[tuple[str, Tensor]]) -> None:
        """New weights stamp what is sampled after them."""
        version = self.engine.version + 1
        await self.engine.load_weights(weights, version)
        if self.engine.version != version:
            raise ContractError(f"after load_weights(version={version}) the engine says version {self.engine.version}")
        completion = await self.sample(prompt, 0)
        if completion.version_spans != ((0, version),):
            raise ContractError(f"sampled by version {version} alone, but version_spans is {completion.version_spans}")

    async def other_weights(
        self, prompts: Sequence[Sequence[int]], weights: Iterable[tuple[str, Tensor]], logprobs: Logprobs
    ) -> None:
        """Other weights are what is sampled from once they are loaded, to the last tensor."""
        # Read now, under the weights before: a prefix cache must not answer from them.
        before = [await self.sample(prompt, 0) for prompt in prompts]
        await self.engine.load_weights(weights, self.engine.version + 1)
        for prompt, old in zip(prompts, before, strict=True):
            for start, what in ((prompt, "a prompt that it had read before"), (prompt[::-1], "a prompt")):
                for temperature in (1.0, 0.7):
                    new = await self.sample(start, 1, temperature=temperature)
                    expected = logprobs(start, new.token_ids, temperature)
                    gap = max(abs(one - other) for one, other in zip(new.logprobs, expected, strict=True))
                    if not gap <= self.tolerance:
                        raise ContractError(
                            f"after other weights were loaded, {what} is sampled from with log-probabilities that "
                            f"differ from the model's by up to {gap:.2g} nats at temperature {temperature:g} "
                            f"({new.logprobs[0]:.5f} where it says {expected[0]:.5f}; under the weights before, "
                            f"token {old.token_ids[0]} had {old.logprobs[0]:.5f}): a part of the weights did not "
                            "arrive, a cache outlived them, or log-probabilities are not of what is sampled"
                        )

    async def sample(self, prompt: Sequence[int], seed: int, **options: float) -> Completion:
        sampling = Sampling.model_validate({"max_new_tokens": _NUM_TOKENS, **options})
        completion = await self.engine.generate(prompt, sampling, request_id=next(self.ids), seed=seed)
        self.well_formed(completion, sampling)
        return completion

    def well_formed(self, completion: Completion, sampling: Sampling) -> None:
        """Check what every completion promises: length, log-probabilities, finish reason and version spans."""
        tokens = completion.token_ids
        if not 1 <= len(tokens) <= sampling.max_new_tokens:
            raise ContractError(f"{len(tokens)} tokens where 1 to {sampling.max_new_tokens} were asked for")
        if not all(math.isfinite(logprob) and logprob <= 1e-6 for logprob in completion.logprobs):
            raise ContractError(f"log-probabilities must be finite and at most 0, got {completion.logprobs}")
        if any(token in self.stop_token_ids for token in tokens[:-1]):
            raise ContractError(f"sampling went on after an end token: {tokens}")
        stopped = tokens[-1] in self.stop_token_ids
        if stopped != (completion.finish_reason == "stop"):
            raise ContractError(
                f"finish_reason is {completion.finish_reason!r} where the last token {tokens[-1]} is "
                f"{'an' if stopped else 'no'} end token; the end token is part of the completion"
            )
        starts = [start for start, _ in completion.version_spans]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)) or starts[-1] >= len(tokens):
            raise ContractError(f"version_spans {completion.version_spans} do not cover {len(tokens)} tokens from 0")

    def same(self, left: Completion, right: Completion, when: str) -> None:
        if left.token_ids != right.token_ids:
            raise ContractError(f"{when} the tokens differ: {left.token_ids} and {right.token_ids}")
        gap = max(abs(a - b) for a, b in zip(left.logprobs, right.logprobs, strict=True))
        if gap > self.tolerance:
            raise ContractError(f"{when} log-probabilities differ by {gap:.2e}, more than {self.tolerance:.0e}")

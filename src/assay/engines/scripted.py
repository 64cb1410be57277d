"""ScriptedEngine: an engine whose every token and log-probability is known in advance, for tests."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from assay import seeds
from assay.engines.engine import EngineCapabilities, Sampling
from assay.errors import ContextLengthError, ContractError, EngineError
from assay.types import Completion, FinishReason

if TYPE_CHECKING:
    from torch import Tensor

Script = Callable[[tuple[int, ...], int, tuple[int, ...]], Mapping[int, float]]
"""(prompt ids, seed, tokens sampled so far) to the probability of each possible next token; they sum to 1."""


class ScriptedEngine:
    """Samples from probabilities that a function gives. Seed rule, temperature, truncation, stops, limits, versions and
    aborts are those of every engine; there is only no model.

    Args:
        script: see `Script`; `saying` makes one of fixed answers.
        stop_token_ids: tokens that end a completion.
        decode: text of token ids, to look for stop strings in; by default a token is a code point.
        max_context: longest prompt and completion together, in tokens.
        version: of the weights it pretends to have.
        failures: how many requests fail with EngineError, counted from the first.
        delay_seconds: how long each request waits before its first token.
        gate: what each request waits for before its first token.

    Example:
        >>> engine = ScriptedEngine(lambda prompt_ids, seed, sampled: {7: 0.25, 8: 0.75}, stop_token_ids=(8,))
        >>> asyncio.run(engine.generate((1, 2), Sampling(temperature=0.0), request_id="a", seed=0)).token_ids
        (8,)
    """

    def __init__(
        self,
        script: Script,
        *,
        stop_token_ids: tuple[int, ...] = (),
        decode: Callable[[Sequence[int]], str] = lambda token_ids: "".join(map(chr, token_ids)),
        max_context: int = 512,
        version: int = 0,
        failures: int = 0,
        delay_seconds: float = 0.0,
        gate: asyncio.Event | None = None,
    ) -> None:
        self.script = script
        self.stop_token_ids = stop_token_ids
        self.decode = decode
        self.max_context = max_context
        self.failures = failures
        self.delay_seconds = delay_seconds
        self.gate = gate
        self.requests: list[tuple[str, tuple[int, ...], int]] = []
        """(request id, prompt ids, seed) of everything that was asked, in order."""
        self.loads: list[int] = []
        """Versions given to `load_weights`, in order."""
        self._version = version
        self._under_way: dict[str, asyncio.Event] = {}
        """Events that abort requests, by request id."""
        self._closed = False

    @classmethod
    def saying(
        cls,
        answer: Callable[[tuple[int, ...], int], Sequence[int]],
        *,
        stop_token_ids: tuple[int, ...],
        **options: Any,
    ) -> ScriptedEngine:
        """An engine that answers (prompt ids, seed) with these tokens and the first stop token, each of probability 1
        and log-probability 0. Other arguments as for the class."""

        def script(prompt_ids: tuple[int, ...], seed: int, sampled: tuple[int, ...]) -> Mapping[int, float]:
            return {(*answer(prompt_ids, seed), stop_token_ids[0])[len(sampled)]: 1.0}

        return cls(script, stop_token_ids=stop_token_ids, **options)

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(decides_by_seed=True, is_reproducible=True)

    @property
    def version(self) -> int:
        return self._version

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`."""
        prompt_ids = tuple(prompt_ids)
        if self._closed:
            raise EngineError("the engine is closed")
        if len(prompt_ids) + 1 > self.max_context:
            raise ContextLengthError(
                f"the prompt has {len(prompt_ids)} tokens and the context {self.max_context}, which leaves no room to "
                f"answer; shorten the prompt"
            )
        if request_id in self._under_way:
            raise ContractError(f"a request with id {request_id!r} is under way; ids of requests must differ")
        self.requests.append((request_id, prompt_ids, seed))
        aborted = self._under_way[request_id] = asyncio.Event()
        try:
            if self.failures > 0:
                self.failures -= 1
                raise EngineError("a failure that the test asked for")
            await _either(asyncio.sleep(self.delay_seconds), aborted)
            if self.gate is not None:
                await _either(self.gate.wait(), aborted)
            return await self._sample(prompt_ids, sampling, seed, aborted)
        finally:
            del self._under_way[request_id]

    async def abort(self, request_id: str) -> None:
        if request_id in self._under_way:
            self._under_way[request_id].set()

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Takes the version. The weights are walked through, as every engine does, and change nothing."""
        for _ in weights:
            pass
        self._version = version
        self.loads.append(version)

    def forget(self) -> None:
        """Do nothing: a scripted engine keeps nothing."""

    async def close(self) -> None:
        self._closed = True
        for aborted in self._under_way.values():
            aborted.set()

    async def _sample(
        self, prompt_ids: tuple[int, ...], sampling: Sampling, seed: int, aborted: asyncio.Event
    ) -> Completion:
        """Sample one token a turn of the event loop, so that aborts and new weights come between tokens."""
        token_ids: list[int] = []
        logprobs: list[float] = []
        spans: list[tuple[int, int]] = []
        reason: FinishReason | None = None
        while reason is None:
            if aborted.is_set():
                reason = "abort"
                break
            probabilities = self.script(prompt_ids, seed, tuple(token_ids))
            token_id, logprob = draw(probabilities, sampling, seeds.uniform(seed, len(token_ids)))
            if not spans or spans[-1][1] != self._version:
                spans.append((len(token_ids), self._version))
            token_ids.append(token_id)
            logprobs.append(logprob)
            reason = self._finish_reason(len(prompt_ids), token_ids, sampling)
            if reason is None:
                await asyncio.sleep(0)
        return Completion(tuple(token_ids), tuple(logprobs), reason, tuple(spans) or ((0, self._version),))

    def _finish_reason(self, prompt_length: int, token_ids: list[int], sampling: Sampling) -> FinishReason | None:
        if token_ids[-1] in self.stop_token_ids:
            return "stop"
        if sampling.stop and any(text in self.decode(token_ids) for text in sampling.stop):
            return "stop"
        full = prompt_length + len(token_ids) >= self.max_context
        return "length" if full or len(token_ids) >= sampling.max_new_tokens else None


def draw(probabilities: Mapping[int, float], sampling: Sampling, uniform: float) -> tuple[int, float]:
    """Draw one token of a table by the inverse of its cumulative distribution; return it and its log-probability. This
    is the sampler that every other is measured against, in plain float64.

    Raises:
        ValueError: the probabilities do not sum to 1 within 1e-6.
    """
    if abs(math.fsum(probabilities.values()) - 1) > 1e-6:
        raise ValueError(f"probabilities sum to {math.fsum(probabilities.values())}, not to 1: {dict(probabilities)}")
    # Of equally probable tokens the first in the vocabulary comes first.
    ranked = sorted((token for token, p in probabilities.items() if p > 0), key=lambda t: (-probabilities[t], t))
    if sampling.temperature == 0:
        return ranked[0], math.log(probabilities[ranked[0]])
    heaviest = probabilities[ranked[0]]
    weights = {token: (probabilities[token] / heaviest) ** (1 / sampling.temperature) for token in ranked}
    weights = dict(list(weights.items())[: sampling.top_k or None])
    total, kept = sum(weights.values()), 0.0
    for token in ranked[: len(weights)]:
        if kept >= sampling.top_p * total and sampling.top_p < 1:
            del weights[token]
        else:
            kept += weights[token]
    cumulative = 0.0
    for token in sorted(weights):
        cumulative += weights[token] / kept
        if cumulative > uniform:
            break
    return token, math.log(weights[token] / kept)


async def _either(waiting: Awaitable[Any], aborted: asyncio.Event) -> None:
    """Returns when one of the two has happened."""
    tasks = [asyncio.ensure_future(waiting), asyncio.ensure_future(aborted.wait())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()

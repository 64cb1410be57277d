"""BatchingEngine: what every engine in this process does with requests; a subclass computes their logits."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from assay.engines.engine import EngineCapabilities, Sampling
from assay.engines.local.request import Request
from assay.engines.local.sampler import sample
from assay.engines.local.scheduler import Scheduler
from assay.errors import ConfigError, ContextLengthError, ContractError, DataError, EngineError
from assay.types import Completion, FinishReason

RESTING_SECONDS = 60.0
"""The longest that requests which come to an engine at rest wait for it to have weights again."""


class BatchingEngine(ABC):
    """Continuous batching in one process, on the event loop's own thread: the same requests in the same order give
    the same bits. While a forward pass runs, nothing else on that loop does.

    Args:
        stop_token_ids: tokens that end a completion.
        decode: text of token ids, to look for stop strings in.
        vocab_size: token ids of prompts are below it.
        max_context: longest prompt and completion together, in tokens.
        num_slots: most requests sampled at once; the rest wait their turn.
        version: of the first weights.

    Raises:
        ConfigError: a number out of range.
    """

    def __init__(
        self,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        vocab_size: int,
        max_context: int,
        num_slots: int,
        version: int,
    ) -> None:
        if num_slots < 1:
            raise ConfigError(f"num_slots must be at least 1, got {num_slots}")
        self.max_context = max_context
        self.vocab_size = vocab_size
        self._stop_token_ids = frozenset(stop_token_ids)
        self._decode = decode
        self._scheduler = Scheduler(num_slots)
        self._driver: asyncio.Task[None] | None = None
        self._version = version
        self._closed = False
        self._rests = False
        self.num_sampled = 0
        """Number of tokens sampled so far, those of requests under way included."""

    def keep_within(self, num_slots: int, prefix_cache_bytes: int) -> None:
        """Samples at most so many requests at once from now on, and keeps at most so many bytes of keys and values
        that no request reads."""
        self._scheduler.num_slots = num_slots

    # ---- what a subclass computes ----

    @abstractmethod
    def _read_prompts(self, admitted: Sequence[Request]) -> Tensor:
        """[n, V] logits after the prompt of each request that was just admitted; they are the last that run."""

    @abstractmethod
    def _read_sampled(self, running: Sequence[Request]) -> Tensor:
        """[n, V] logits after the last sampled token of each request that runs."""

    @abstractmethod
    def _copy_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """Takes new weights in place.

        Raises:
            ModelError: they do not fit; then `_weights_whole` is False until some do.
        """

    @property
    @abstractmethod
    def _weights_whole(self) -> bool:
        """True where the last load brought every weight."""

    def _drop_weights(self) -> bool:
        """Gives the memory of the weights back, and returns whether it did: here not."""
        return False

    @abstractmethod
    def _release(self, request: Request) -> None:
        """Takes a request out of the scheduler and what was computed for it out of the cache."""

    @abstractmethod
    def _clear(self) -> None:
        """Frees everything that was computed for requests."""

    def forget(self) -> None:  # noqa: B027, nothing is kept unless a subclass keeps it
        """Drops what was computed and might serve later requests. What is sampled next then depends on nothing that was
        sampled before, not even in its last bits, as in an engine just made. An exact resume needs this."""

    # ---- the protocol ----

    @property
    def capabilities(self) -> EngineCapabilities:
        return EngineCapabilities(decides_by_seed=True, is_reproducible=True)

    @property
    def version(self) -> int:
        return self._version

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, seed: int
    ) -> Completion:
        """See `Engine.generate`.

        Raises:
            ContextLengthError: the prompt and one token do not fit in the context.
            DataError: an empty prompt, or a token that is not in the vocabulary.
            ContractError: a request with this id is under way.
            EngineError: the engine is closed, or failed.
        """
        prompt_ids = tuple(prompt_ids)
        self._check(prompt_ids, request_id)
        future = asyncio.get_running_loop().create_future()
        request = Request(request_id, prompt_ids, sampling, seed, future)
        self._scheduler.add(request)
        if self._driver is None or self._driver.done():
            self._driver = asyncio.create_task(self._drive())
        try:
            return await request.future
        except asyncio.CancelledError:
            if self._scheduler.find(request_id) is request:
                self._finish(request, "abort")
            raise

    async def abort(self, request_id: str) -> None:
        request = self._scheduler.find(request_id)
        if request is not None:
            self._finish(request, "abort")

    def sampled_so_far(self, request_id: str) -> tuple[int, ...]:
        """Tokens that a request under way has sampled, for showing them as they come; empty for unknown ids."""
        request = self._scheduler.find(request_id)
        return () if request is None else tuple(request.token_ids)

    async def load_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        """See `Engine.load_weights`. Between two forward passes; requests under way keep their keys and values.

        Raises:
            ModelError: weights that do not fit; the engine then samples nothing until it is given some that do.
        """
        self._load(weights, version)

    def rest(self) -> None:
        """Gives back the memory that it can do without while nothing is sampled: what was computed, and its weights.
        Requests wait until weights are loaded, `RESTING_SECONDS` at most. Nothing is done where some are under way."""
        if not self._scheduler.has_work:
            self.forget()
            self._rests = self._drop_weights()

    async def close(self) -> None:
        self._closed = True
        for request in self._scheduler.clear():
            request.complete("abort", self._version)
        self.forget()
        self._clear()

    # ---- how it is done ----

    async def _drive(self) -> None:
        try:
            while self._scheduler.has_work:
                # Everyone who is ready to ask for something asks before the next pass.
                if self._rests:
                    await self._weights()
                else:
                    await asyncio.sleep(0)
                if self._scheduler.has_work:
                    self._step_or_fail()
        except asyncio.CancelledError:
            self._fail(EngineError("the event loop that drives the engine was stopped"))
            raise

    async def _weights(self) -> None:
        """Waits at rest for new weights; what is asked of it fails where none come."""
        since = time.monotonic()
        while self._rests and time.monotonic() - since < RESTING_SECONDS:
            await asyncio.sleep(0.01)

    def _step_or_fail(self) -> None:
        try:
            self._step()
        except Exception as error:
            self._fail(error)

    @torch.inference_mode()
    def _step(self) -> None:
        """Run one pass: the prompts of those who were just admitted, else one token of everyone who runs."""
        if self._rests:
            raise EngineError(
                f"the engine gave its weights back for an update, and got none in {RESTING_SECONDS:g} seconds since "
                "it was asked: load some (max_staleness=1 or more keeps those that it has)"
            )
        if not self._weights_whole:
            raise EngineError("the last weights given to the engine were not whole; give it others")
        admitted = self._scheduler.admit()
        requests = admitted or list(self._scheduler.running)
        logits = self._read_prompts(admitted) if admitted else self._read_sampled(requests)
        token_ids, logprobs = sample(logits, [request.draw for request in requests])
        self.num_sampled += len(requests)
        for request, token_id, logprob in zip(requests, token_ids, logprobs, strict=True):
            request.append(token_id, logprob, self._version)
        for request in requests:
            if reason := self._finish_reason(request):
                self._finish(request, reason)

    def _finish_reason(self, request: Request) -> FinishReason | None:
        if request.token_ids[-1] in self._stop_token_ids:
            return "stop"
        if request.sampling.stop and self._ends_in_stop_string(request):
            return "stop"
        num_tokens = len(request.token_ids)
        if num_tokens >= request.sampling.max_new_tokens or len(request.prompt_ids) + num_tokens >= self.max_context:
            return "length"
        return None

    def _ends_in_stop_string(self, request: Request) -> bool:
        # A token spells at least one byte; a few more, because a decoder may treat the first of a text differently.
        longest = max(len(text.encode("utf-8", "surrogatepass")) for text in request.sampling.stop)
        tail = self._decode(request.token_ids[-(longest + 4) :])
        return any(text in tail for text in request.sampling.stop)

    @torch.inference_mode()
    def _finish(self, request: Request, reason: FinishReason) -> None:
        """Hands over what a request has, and gives its slot away."""
        self._release(request)
        if not self._scheduler.running:
            self._clear()
        request.complete(reason, self._version)

    def _fail(self, error: Exception) -> None:
        """Fails everything under way; the engine starts afresh with the next request."""
        for request in self._scheduler.clear():
            if not request.future.done():
                failure = EngineError(f"sampling failed: {error}")
                failure.__cause__ = error
                request.future.set_exception(failure)
        self.forget()
        self._clear()

    @torch.inference_mode()
    def _load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self.forget()
        self._rests = False
        self._copy_weights(weights, version)
        self._version = version

    def _check(self, prompt_ids: tuple[int, ...], request_id: str) -> None:
        if self._closed:
            raise EngineError("the engine is closed")
        if len(prompt_ids) + 1 > self.max_context:
            raise ContextLengthError(
                f"the prompt has {len(prompt_ids)} tokens and the context {self.max_context}, which leaves no room to "
                f"answer; shorten the prompt"
            )
        if not prompt_ids:
            raise DataError("the prompt is empty; sampling needs at least one token to start from")
        outside = next((token for token in prompt_ids if not 0 <= token < self.vocab_size), None)
        if outside is not None:
            raise DataError(f"token id {outside} is outside the vocabulary of {self.vocab_size} tokens")
        if self._scheduler.find(request_id) is not None:
            raise ContractError(f"a request with id {request_id!r} is under way; ids of requests must differ")

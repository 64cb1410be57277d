"""LocalEngine: samples in process from its own copy of the policy's weights. See docs/concepts/engines.md."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from assay.engines.engine import Sampling
from assay.engines.local.cache import KeyValueCache
from assay.engines.local.prefixes import BLOCK, PrefixCache, shared_length
from assay.engines.local.request import Request
from assay.engines.local.runner import Extension, ModelRunner
from assay.engines.local.sampler import sample
from assay.engines.local.scheduler import Scheduler
from assay.engines.local.view import ServingView
from assay.errors import ConfigError, ContextLengthError, ContractError, DataError, EngineError
from assay.policies.config import DecoderConfig
from assay.types import Completion, FinishReason

MAX_PACKED_TOKENS = 8192
"""New prompts are computed together, in passes of about this many tokens."""


class LocalEngine:
    """Continuous batching in one process, on the event loop's own thread: the same requests in the same order give
    the same bits. While a forward pass runs, nothing else on that loop does.

    Args:
        config: shape of the model.
        weights: (Hugging Face name, tensor) of every weight, in any dtype.
        stop_token_ids: tokens that end a completion.
        decode: text of token ids, to look for stop strings in.
        dtype: of weights, activations and cache: torch.bfloat16 or torch.float32.
        num_slots: most requests sampled at once; the rest wait their turn.
        max_context: longest prompt and completion together, in tokens; None: the model's own limit.
        version: of `weights`.
        prefix_cache_bytes: memory for computed sequences that later prompts may start with; 0 keeps none.

    Raises:
        ConfigError: a number out of range.
        ModelError: weights that do not fit the config.
    """

    def __init__(
        self,
        config: DecoderConfig,
        weights: Iterable[tuple[str, Tensor]],
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        num_slots: int = 64,
        max_context: int | None = None,
        version: int = 0,
        prefix_cache_bytes: int = 256 * 2**20,
    ) -> None:
        if num_slots < 1:
            raise ConfigError(f"num_slots must be at least 1, got {num_slots}")
        self.max_context = _context_limit(config, max_context)
        self.config = config
        self._stop_token_ids = frozenset(stop_token_ids)
        self._decode = decode
        self._view = ServingView(config, dtype, device)
        self._cache = KeyValueCache(config, num_slots, dtype, device)
        self._prefixes = PrefixCache(prefix_cache_bytes)
        self._runner = ModelRunner(self._view, self._cache, device)
        self._scheduler = Scheduler(num_slots)
        self._driver: asyncio.Task[None] | None = None
        self._generation = 0
        self._version = version
        self._closed = False
        self._load(weights, version)

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

    async def close(self) -> None:
        self._closed = True
        for request in self._scheduler.clear():
            request.complete("abort", self._version)
        self.forget()
        self._cache.clear()

    def forget(self) -> None:
        """Empties the prefix cache. What is sampled next then depends on nothing that was sampled before, in its last
        bits either, as in an engine just made: an exact resume needs this."""
        self._prefixes.clear()

    async def _drive(self) -> None:
        try:
            while self._scheduler.has_work:
                # Everyone who is ready to ask for something asks before the next pass.
                await asyncio.sleep(0)
                if self._scheduler.has_work:
                    self._step_or_fail()
        except asyncio.CancelledError:
            self._fail(EngineError("the event loop that drives the engine was stopped"))
            raise

    def _step_or_fail(self) -> None:
        try:
            self._step()
        except Exception as error:
            self._fail(error)

    @torch.inference_mode()
    def _step(self) -> None:
        """One pass: the prompts of those who were just admitted, else one token of everyone who runs."""
        if self._view.version is None:
            raise EngineError("the last weights given to the engine were not whole; give it others")
        admitted = self._scheduler.admit()
        requests = admitted or list(self._scheduler.running)
        logits = self._read_prompts(admitted) if admitted else self._read_sampled(requests)
        token_ids, logprobs = sample(logits, [request.draw for request in requests])
        for request, token_id, logprob in zip(requests, token_ids, logprobs, strict=True):
            request.append(token_id, logprob, self._version)
        for request in requests:
            if reason := self._finish_reason(request):
                self._finish(request, reason)

    def _read_prompts(self, admitted: Sequence[Request]) -> Tensor:
        """[n, V] logits after each prompt. A prompt that several requests share is computed once."""
        self._reserve()
        members: dict[tuple[int, ...], list[Request]] = {}
        for request in admitted:
            request.generation = self._generation
            members.setdefault(request.prompt_ids, []).append(request)
        computed = self._scheduler.running[: -len(admitted)]
        logits: dict[tuple[int, ...], Tensor] = {}
        for wave in _waves([group[0] for group in members.values()]):
            for pack in _packs([self._reuse(request, computed) for request in wave]):
                rows = self._runner.extend(pack)
                logits.update(
                    (self._scheduler.running[e.slot].prompt_ids, row) for e, row in zip(pack, rows, strict=True)
                )
            computed = [*computed, *wave]
        for first, *others in members.values():
            if others:
                self._cache.copy(_slot(first), [_slot(other) for other in others], len(first.prompt_ids))
        return torch.stack([logits[request.prompt_ids] for request in admitted])

    def _reuse(self, request: Request, computed: Sequence[Request]) -> Extension:
        """Copies the longest computed prefix of a prompt into its row; what is left has to be computed."""
        slot, prompt_ids = _slot(request), request.prompt_ids
        prefix, length = self._prefixes.longest(prompt_ids)
        sibling = None
        for other in computed:
            if other.generation == self._generation:
                shared = shared_length(other.sequence[: other.num_computed], prompt_ids)
                if shared > length:
                    sibling, length = other, shared
        # The last token is computed in any case: its logits are what is wanted.
        length = min(length, len(prompt_ids) - 1)
        if sibling is not None:
            self._cache.copy(_slot(sibling), [slot], length)
        elif prefix is not None:
            self._cache.restore(slot, prefix.saved, length)
        return Extension(slot, length, prompt_ids[length:])

    def _read_sampled(self, running: Sequence[Request]) -> Tensor:
        """[n, V] logits after the last sampled token of each."""
        self._reserve()
        return self._runner.decode(
            [request.token_ids[-1] for request in running], [request.num_computed for request in running]
        )

    def _reserve(self) -> None:
        running = self._scheduler.running
        self._cache.reserve(len(running), max(len(r.prompt_ids) + len(r.token_ids) for r in running))

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
        """Hands over what a request has, keeps its keys and values for others, and gives its slot away."""
        if request.slot is not None and request.generation == self._generation and self._prefixes.max_bytes:
            computed = request.num_computed
            self._prefixes.put(request.sequence[:computed], self._cache.save(request.slot, computed))
        move = self._scheduler.release(request)
        if move is not None:
            source, target = move
            self._cache.copy(source, [target], self._scheduler.running[target].num_computed)
        if not self._scheduler.running:
            self._cache.clear()
        request.complete(reason, self._version)

    def _fail(self, error: Exception) -> None:
        """Fails everything under way; the engine starts afresh with the next request."""
        for request in self._scheduler.clear():
            if not request.future.done():
                failure = EngineError(f"sampling failed: {error}")
                failure.__cause__ = error
                request.future.set_exception(failure)
        self.forget()
        self._cache.clear()

    @torch.inference_mode()
    def _load(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._generation += 1
        self.forget()
        self._view.load(weights, version)
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
        outside = next((token for token in prompt_ids if not 0 <= token < self.config.vocab_size), None)
        if outside is not None:
            raise DataError(f"token id {outside} is outside the vocabulary of {self.config.vocab_size} tokens")
        if self._scheduler.find(request_id) is not None:
            raise ContractError(f"a request with id {request_id!r} is under way; ids of requests must differ")


def _slot(request: Request) -> int:
    assert request.slot is not None, "a running request has a slot"
    return request.slot


def _waves(requests: Sequence[Request]) -> list[list[Request]]:
    """Those whose prompts start alike (a system message, say) wait for one of them to be computed, then copy it."""
    first: list[Request] = []
    second: list[Request] = []
    for request in requests:
        alike = any(shared_length(other.prompt_ids, request.prompt_ids) >= BLOCK for other in first)
        (second if alike else first).append(request)
    return [first, second] if second else [first]


def _packs(extensions: Sequence[Extension]) -> list[list[Extension]]:
    """Extensions in order, in passes of at most MAX_PACKED_TOKENS tokens or one extension."""
    packs: list[list[Extension]] = []
    size = 0
    for extension in extensions:
        length = len(extension.token_ids)
        if not packs or size + length > MAX_PACKED_TOKENS:
            packs.append([])
            size = 0
        packs[-1].append(extension)
        size += length
    return packs


def _context_limit(config: DecoderConfig, max_context: int | None) -> int:
    limit = config.max_context
    if config.rope.rope_type == "dynamic":
        # Beyond it the frequencies follow the length, and keys that are cached would have to turn with them.
        limit = min(limit, config.rope.original_context)
    if max_context is None:
        return limit
    if not 2 <= max_context <= limit:
        raise ConfigError(
            f"max_context must be from 2 to {limit}, the longest this model can sample; got {max_context}"
        )
    return max_context

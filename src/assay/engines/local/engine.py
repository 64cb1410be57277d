"""LocalEngine: samples in process from its own copy of the policy's weights. See docs/concepts/engines.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from assay.engines.local.batching import BatchingEngine
from assay.engines.local.cache import KeyValueCache
from assay.engines.local.prefixes import BLOCK, PrefixCache, shared_length
from assay.engines.local.prompt_attention import PromptExtension
from assay.engines.local.request import Request
from assay.engines.local.runner import ModelRunner
from assay.engines.local.shared import SharedPrompts, Sharing
from assay.engines.local.view import ServingView
from assay.errors import ConfigError
from assay.policies.config import DecoderConfig

MAX_PACKED_TOKENS = 8192
"""New prompts are computed together, in passes of about this many tokens."""

MIN_SHARED_TOKENS = 64
"""Prompts of at least this many tokens that several requests continue are stored once. For shorter ones, attending
prompt and row apart costs more than it saves."""


class LocalEngine(BatchingEngine):
    """Continuous batching of a decoder of ours, with prefixes that are computed once.

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
        fp32_head: whether logits are computed in fp32, as by a policy with `fp32_head`.

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
        fp32_head: bool = False,
    ) -> None:
        super().__init__(
            stop_token_ids=stop_token_ids,
            decode=decode,
            vocab_size=config.vocab_size,
            max_context=_context_limit(config, max_context),
            num_slots=num_slots,
            version=version,
        )
        self.config = config
        self._view = ServingView(config, dtype, device, fp32_head=fp32_head)
        self._cache = KeyValueCache(config, num_slots, dtype, device)
        self._shared = SharedPrompts(KeyValueCache(config, num_slots, dtype, device))
        self._prefixes = PrefixCache(prefix_cache_bytes)
        self._runner = ModelRunner(self._view, self._cache, device)
        self._load(weights, version)

    def forget(self) -> None:
        """Empties the prefix cache."""
        self._prefixes.clear()

    @property
    def _weights_whole(self) -> bool:
        return self._view.version is not None

    def _copy_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._view.load(weights, version)

    def _clear(self) -> None:
        self._cache.clear()
        self._shared.clear()

    def _read_prompts(self, admitted: Sequence[Request]) -> Tensor:
        """[n, V] logits after each prompt. A prompt that several requests share is computed once, and a long one is
        stored once."""
        members: dict[tuple[int, ...], list[Request]] = {}
        for request in admitted:
            request.generation = self._generation
            members.setdefault(request.prompt_ids, []).append(request)
        for prompt_ids, requests in members.items():
            self._share(prompt_ids, requests)
        self._reserve()
        computed = self._scheduler.running[: -len(admitted)]
        logits: dict[tuple[int, ...], Tensor] = {}
        for wave in _waves([group[0] for group in members.values()]):
            for pack in _packs([(request, self._reuse(request, computed)) for request in wave]):
                rows = self._runner.extend([extension for _, extension in pack])
                logits.update((request.prompt_ids, row) for (request, _), row in zip(pack, rows, strict=True))
            computed = [*computed, *wave]
        for first, *others in members.values():
            if others and first.shared is None:
                self._cache.copy(_slot(first), [_slot(other) for other in others], len(first.prompt_ids))
        return torch.stack([logits[request.prompt_ids] for request in admitted])

    def _share(self, prompt_ids: tuple[int, ...], requests: Sequence[Request]) -> None:
        """Attach requests to one stored copy of their prompt, where sharing it is worth its cost."""
        if len(prompt_ids) < MIN_SHARED_TOKENS:
            return
        shared = self._shared.find(prompt_ids, self._generation)
        if shared is None and len(requests) > 1:
            shared = self._shared.add(prompt_ids, self._generation)
        if shared is not None:
            shared.num_requests += len(requests)
            for request in requests:
                request.shared = shared

    def _reuse(self, request: Request, computed: Sequence[Request]) -> PromptExtension:
        """Copies the longest computed prefix of a prompt to where it belongs; what is left has to be computed."""
        prompt_ids = request.prompt_ids
        prefix, length = self._prefixes.longest(prompt_ids)
        sibling = None
        for other in computed:
            if other.generation == self._generation:
                shared = shared_length(other.sequence[: other.num_computed], prompt_ids)
                if shared > length:
                    sibling, length = other, shared
        # The last token is computed in any case: its logits are what is wanted.
        length = min(length, len(prompt_ids) - 1)
        cache, slot = self._cache, _slot(request)
        if request.shared is not None:
            cache, slot = self._shared.cache, request.shared.slot
        if sibling is not None:
            cache.restore(slot, self._saved(sibling, length), length)
        elif prefix is not None:
            cache.restore(slot, prefix.saved, length)
        return PromptExtension(cache, slot, length, prompt_ids[length:])

    def _read_sampled(self, running: Sequence[Request]) -> Tensor:
        """[n, V] logits after the last sampled token of each."""
        self._reserve()
        return self._runner.decode(
            [request.token_ids[-1] for request in running],
            [request.num_computed for request in running],
            Sharing.of(self._shared, [request.shared for request in running]),
        )

    def _reserve(self) -> None:
        running = self._scheduler.running
        self._cache.reserve(len(running), max(len(r.prompt_ids) + len(r.token_ids) - r.num_apart for r in running))

    def _saved(self, request: Request, length: int) -> Tensor:
        """A copy of the keys and values of a request's first tokens: [layers, 2, K, length, D]."""
        if request.shared is None:
            return self._cache.save(_slot(request), length)
        apart = min(length, request.num_apart)
        prompt = self._shared.cache.save(request.shared.slot, apart)
        return torch.cat((prompt, self._cache.save(_slot(request), length - apart)), dim=3)

    def _release(self, request: Request) -> None:
        """Keeps a request's keys and values for others, and gives its slot away."""
        if request.slot is not None and request.generation == self._generation and self._prefixes.max_bytes:
            computed = request.num_computed
            self._prefixes.put(request.sequence[:computed], self._saved(request, computed))
        move = self._scheduler.release(request)
        if move is not None:
            source, target = move
            moved = self._scheduler.running[target]
            self._cache.copy(source, [target], moved.num_computed - moved.num_apart)
        if request.shared is not None:
            self._shared.leave(request.shared)
            request.shared = None


def _slot(request: Request) -> int:
    assert request.slot is not None, "a running request has a slot"
    return request.slot


def _waves(requests: Sequence[Request]) -> list[list[Request]]:
    """Split new requests into waves. Requests whose prompts start alike (with a system message, say) wait in the second
    wave until one of them is computed, then copy its keys and values."""
    first: list[Request] = []
    second: list[Request] = []
    for request in requests:
        alike = any(shared_length(other.prompt_ids, request.prompt_ids) >= BLOCK for other in first)
        (second if alike else first).append(request)
    return [first, second] if second else [first]


def _packs(extensions: Sequence[tuple[Request, PromptExtension]]) -> list[list[tuple[Request, PromptExtension]]]:
    """Extensions in order, in passes of at most MAX_PACKED_TOKENS tokens or one extension."""
    packs: list[list[tuple[Request, PromptExtension]]] = []
    size = 0
    for request, extension in extensions:
        length = len(extension.token_ids)
        if not packs or size + length > MAX_PACKED_TOKENS:
            packs.append([])
            size = 0
        packs[-1].append((request, extension))
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

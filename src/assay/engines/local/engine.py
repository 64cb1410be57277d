"""LocalEngine: samples in process from its own copy of the policy's weights. See docs/concepts/engines.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from assay.engines.local.attention import NewTokens, Pass
from assay.engines.local.batching import BatchingEngine
from assay.engines.local.int8_view import Int8View
from assay.engines.local.pages import PAGE, PagePool
from assay.engines.local.prefixes import PREFIX_CACHE_BYTES, PrefixTree
from assay.engines.local.prompts import PromptPass
from assay.engines.local.request import Request
from assay.engines.local.runner import ModelRunner
from assay.engines.local.view import ServingView
from assay.errors import ConfigError
from assay.policies.config import DecoderConfig

MAX_PACKED_TOKENS = 8192
"""New prompts are computed together, in passes of about this many tokens."""


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
        prefix_cache_bytes: memory for keys and values that no request under way needs and later ones may: those of
            episodes whose world thinks. 0 keeps none; what is missing is computed again, with the same bits.
        fp32_head: whether logits are computed in fp32, as by a policy with `fp32_head`.
        int8: token ids of a text, and a number of loud columns (None: the usual one), to sample with 8-bit weights as
            `int8_view` does; None for weights in `dtype`.

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
        prefix_cache_bytes: int = PREFIX_CACHE_BYTES,
        fp32_head: bool = False,
        int8: tuple[Sequence[int], int | None] | None = None,
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
        if int8 is None:
            self._view = ServingView(config, dtype, device, fp32_head=fp32_head)
        else:
            self._view = Int8View(config, dtype, calibration=int8[0], num_loud=int8[1], fp32_head=fp32_head)
        self._pool = PagePool(config, dtype, device)
        self._prefixes = PrefixTree(self._pool, prefix_cache_bytes)
        self._runner = ModelRunner(self._view, self._pool, device)
        self.num_prompt_tokens = 0
        """Number of tokens of all prompts asked for so far."""
        self.num_forwarded_prompt_tokens = 0
        """Number of them that were computed, and not found computed."""
        self._load(weights, version)

    def keep_within(self, num_slots: int, prefix_cache_bytes: int) -> None:
        super().keep_within(num_slots, prefix_cache_bytes)
        self._prefixes.max_bytes = prefix_cache_bytes

    def forget(self) -> None:
        """Drops the keys and values of ended requests."""
        self._prefixes.clear()
        if not self._scheduler.running:
            self._pool.clear()

    @property
    def _weights_whole(self) -> bool:
        return self._view.version is not None

    def _copy_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._view.load(weights, version)

    def _drop_weights(self) -> bool:
        self._view.drop()
        return True

    def _clear(self) -> None:
        if not self._prefixes.num_idle_bytes:
            self._pool.clear()

    def _read_prompts(self, admitted: Sequence[Request]) -> Tensor:
        """[n, V] logits after each prompt. What prompts share with each other, or with what is kept, is computed
        once."""
        logits: list[Tensor] = []
        plan = PromptPass(self._prefixes, self._pool)
        for request in admitted:
            if plan.num_tokens and plan.num_tokens + plan.num_new(request.prompt_ids) > MAX_PACKED_TOKENS:
                logits.append(self._run(plan))
                plan = PromptPass(self._prefixes, self._pool)
            request.place = plan.add(request.prompt_ids)
            self.num_prompt_tokens += len(request.prompt_ids)
        logits.append(self._run(plan))
        return torch.cat(logits)

    def _run(self, plan: PromptPass) -> Tensor:
        """[n, V] logits after each prompt of a pass."""
        self._pool.copy(plan.copies)
        self.num_forwarded_prompt_tokens += plan.num_tokens
        return self._runner.run(plan.work, plan.rows)

    def _read_sampled(self, running: Sequence[Request]) -> Tensor:
        """[n, V] logits after the last sampled token of each."""
        work = Pass(is_decode=True)
        for row, request in enumerate(running):
            place, position = request.place, request.num_computed
            assert place is not None, "a running request has pages"
            if position == len(place.pages) * PAGE:
                place.pages.append(self._pool.allocate())
            work.extensions.append(NewTokens(request.token_ids[-1:], position, place.pages))
            work.writes.append((row, place.pages[-1], position % PAGE))
        return self._runner.run(work, range(len(running)))

    def _release(self, request: Request) -> None:
        """Keeps a request's keys and values for others, and gives its slot away."""
        if request.place is not None:
            self._prefixes.release(request.place, request.sequence[: request.num_computed])
            request.place = None
        self._scheduler.release(request)


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

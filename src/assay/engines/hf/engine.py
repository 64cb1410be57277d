"""HFEngine: samples with a model of transformers and a key-value cache. See docs/concepts/engines.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from assay.engines.hf.cache import RowCache
from assay.engines.local.batching import BatchingEngine
from assay.engines.local.request import Request
from assay.errors import ConfigError
from assay.policies.causal_lm import context_limit, probe_tokens, relative_gap, takes, vocab_size
from assay.policies.hf import copy_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MAX_PADDED_TOKENS = 8192
"""New prompts are computed together, in passes of about this many tokens."""
_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 5e-2}
"""Largest accepted difference between the cached pass and the plain one, in standard deviations of the logits. A cache
that is read wrongly is off by a good part of one."""


class HFEngine(BatchingEngine):
    """Continuous batching of any causal language model. Prompts are computed once for all who share them, then one
    token of every sequence at a time, as left-padded rows over transformers' cache.

    Whether the model can be sampled that way is tried once. A model that cannot is sampled without a cache: one with a
    recurrent state in place of keys and values, or with positions that a mask does not move. Every token then reads its
    whole sequence, which is slow and right.

    Args:
        module: the model, in evaluation mode and the dtype to sample in. The engine owns it from now on.
        weights: to copy into it first; None: it has them.
        others: see `BatchingEngine`. `max_context` None: the model's own limit.

    Raises:
        ConfigError: a number out of range.
        ModelError: weights that do not fit the module.
    """

    def __init__(
        self,
        module: PreTrainedModel,
        weights: Iterable[tuple[str, Tensor]] | None = None,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        num_slots: int = 64,
        max_context: int | None = None,
        version: int = 0,
    ) -> None:
        limit = context_limit(module.config)
        if max_context is not None and not 2 <= max_context <= limit:
            raise ConfigError(
                f"max_context must be from 2 to {limit}, the longest this model can sample; got {max_context}"
            )
        super().__init__(
            stop_token_ids=stop_token_ids,
            decode=decode,
            vocab_size=vocab_size(module),
            max_context=max_context or limit,
            num_slots=num_slots,
            version=version,
        )
        self.module = module
        self._names_positions = takes(module, "position_ids")
        self._selects_logits = takes(module, "logits_to_keep")
        self._cache = RowCache()
        self._rows: list[Request] = []
        """Requests in the order of their rows of the cache."""
        self._whole = True
        if weights is not None:
            self._load(weights, version)
        self.uses_cache = self._cache_is_right()
        """True where the model samples with a key-value cache."""

    @property
    def _weights_whole(self) -> bool:
        return self._whole

    def _copy_weights(self, weights: Iterable[tuple[str, Tensor]], version: int) -> None:
        self._whole = False
        copy_weights(self.module, weights)
        self._whole = True

    def _clear(self) -> None:
        self._cache.clear()
        self._rows = []

    def _release(self, request: Request) -> None:
        # Its row goes when the next pass lays out the rows that are left: one copy for all who end together.
        self._scheduler.release(request)

    def _read_prompts(self, admitted: Sequence[Request]) -> Tensor:
        prompts = list(dict.fromkeys(request.prompt_ids for request in admitted))
        places = {prompt: place for place, prompt in enumerate(prompts)}
        order = [places[request.prompt_ids] for request in admitted]
        if not self.uses_cache:
            return self._read_whole(prompts)[order]
        self._lay_out(self._scheduler.running[: -len(admitted)])
        logits, fresh = self._prefill(prompts)
        fresh.keep(order)
        self._cache.append(fresh)
        self._rows += admitted
        return logits[order]

    def _read_sampled(self, running: Sequence[Request]) -> Tensor:
        if not self.uses_cache:
            return self._read_whole([request.sequence for request in running])
        self._lay_out(running)
        return self._decode_step([request.token_ids[-1] for request in running])

    def _lay_out(self, running: Sequence[Request]) -> None:
        """Rows of the cache as the requests that run, in their order."""
        places = {id(request): row for row, request in enumerate(self._rows)}
        self._cache.keep([places[id(request)] for request in running])
        self._rows = list(running)

    def _prefill(self, prompts: Sequence[tuple[int, ...]]) -> tuple[Tensor, RowCache]:
        """[n, V] logits after each prompt, and their keys and values."""
        from transformers import DynamicCache

        logits, everything = [], RowCache()
        for chunk in _chunks(prompts):
            cache = DynamicCache()
            logits.append(self._last_logits(chunk, past_key_values=cache, use_cache=True))
            rows = RowCache()
            rows.take_right_padded(cache, [len(prompt) for prompt in chunk])
            everything.append(rows)
        return torch.cat(logits), everything

    def _decode_step(self, token_ids: Sequence[int]) -> Tensor:
        """[n, V] logits after one more token of every row."""
        device = self.module.device
        cache = self._cache.for_pass()
        options: dict[str, Any] = {}
        if self._names_positions:
            options["position_ids"] = torch.tensor(self._cache.lengths, device=device)[:, None]
        output = self.module(
            input_ids=torch.tensor(token_ids, device=device)[:, None],
            attention_mask=self._cache.mask(device),
            past_key_values=cache,
            use_cache=True,
            **options,
        )
        self._cache.take_extended(cache)
        return output.logits[:, -1]

    def _read_whole(self, sequences: Sequence[tuple[int, ...]]) -> Tensor:
        """[n, V] logits after each sequence, without a cache."""
        return torch.cat([self._last_logits(chunk, use_cache=False) for chunk in _chunks(sequences)])

    def _last_logits(self, sequences: Sequence[tuple[int, ...]], **options: Any) -> Tensor:
        """[n, V] after each of some sequences, right-padded: causal, so that no mask is needed."""
        device = self.module.device
        padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(tokens) for tokens in sequences], batch_first=True)
        last = torch.tensor([len(tokens) - 1 for tokens in sequences], device=device)
        columns, places = last.unique(return_inverse=True)
        if self._selects_logits:
            options["logits_to_keep"] = columns
        logits = self.module(input_ids=padded.to(device), **options).logits
        return logits[torch.arange(len(sequences), device=device), places if self._selects_logits else last]

    @torch.inference_mode()
    def _cache_is_right(self) -> bool:
        """Return whether two rows of different lengths, continued with the cache, give the logits that whole passes
        give."""
        long, short, *next_tokens = (
            tuple(probe_tokens(self.module, length, first)[0].tolist())
            for length, first in ((7, 1), (4, 3), (2, 11), (2, 5))
        )
        sequences = [long, short]
        try:
            _, self._cache = self._prefill(sequences)
            for tokens in next_tokens:
                sequences = [(*sequence, token) for sequence, token in zip(sequences, tokens, strict=True)]
                found = self._decode_step(tokens)
                if not relative_gap(found, self._read_whole(sequences)) < _TOLERANCE[self.module.dtype]:
                    return False
        except Exception:
            # Architectures without such a cache fail in ways of their own; all of them can be read whole.
            return False
        finally:
            self._clear()
        return True


def _chunks(sequences: Sequence[tuple[int, ...]]) -> list[list[tuple[int, ...]]]:
    """Split sequences, in order, into passes of about MAX_PADDED_TOKENS tokens, padding included."""
    chunks: list[list[tuple[int, ...]]] = []
    longest = 0
    for sequence in sequences:
        longest = max(longest, len(sequence))
        if not chunks or (len(chunks[-1]) + 1) * longest > MAX_PADDED_TOKENS:
            chunks.append([])
            longest = len(sequence)
        chunks[-1].append(sequence)
    return chunks

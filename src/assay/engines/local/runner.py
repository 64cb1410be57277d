"""Runs the model: prompts into the cache, then one token of every sequence at a time.

A row's result should not depend on the other rows of a pass. So attention is products over whole cache rows (what is
masked adds exact zeros) or a compiled form that goes through each row alone, and products have at least MIN_ROWS rows.
PyTorch's fused attention sums in another order for another length, and is several times slower on single tokens.

Shape letters: T tokens of this call, n sequences, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay.engines.local.cache import KeyValueCache
from assay.engines.local.prompt_attention import PromptAttention, PromptExtension
from assay.engines.local.row_attention import RowAttention
from assay.engines.local.shared import Sharing
from assay.engines.local.view import ServingView
from assay.policies.config import DecoderConfig
from assay.policies.decoder import Attend, decoder_layer, linear
from assay.policies.elementwise import COMPILED, PLAIN, compiles
from assay.policies.rope import Rotary

MIN_ROWS = 16
"""Products have at least this many rows. For fewer, CPU libraries switch to kernels that sum in another order, and what
a request samples would depend on how many are sampled beside it."""


class ModelRunner:
    """One forward pass over a serving view and caches."""

    def __init__(self, view: ServingView, cache: KeyValueCache, device: torch.device | str) -> None:
        self.view, self.cache, self.device = view, cache, device
        self.config: DecoderConfig = view.config
        self.rotary = Rotary(view.config, device)
        self.compiled = compiles(view.config, view.dtype, device)
        self.elementwise = COMPILED if self.compiled else PLAIN

    def extend(self, extensions: Sequence[PromptExtension]) -> Tensor:
        """Computes several tokens of several sequences, packed end to end; the cache must have room for them.

        Returns:
            [n, V] logits after the last token of each.
        """
        token_ids = [token for extension in extensions for token in extension.token_ids]
        positions = [extension.start + offset for extension in extensions for offset in range(len(extension.token_ids))]
        last = torch.tensor([len(extension.token_ids) for extension in extensions]).cumsum(0) - 1
        attend = PromptAttention(extensions, self.config, self.view.dtype, self.device)
        token_T, position_T = self._on_device(token_ids, positions)
        hidden = self._forward(token_T, position_T, attend)
        return self._logits(hidden[last.to(self.device)])

    def decode(self, token_ids: Sequence[int], positions: Sequence[int], sharing: Sharing | None = None) -> Tensor:
        """Computes one token of each sequence; sequence i has row i of the cache.

        Args:
            token_ids, positions: [n]
            sharing: the prompts that are stored apart; the rows of those who continue them begin after the prompt.

        Returns:
            [n, V] logits.
        """
        token_n, position_n = self._on_device(token_ids, positions)
        attend = RowAttention(self.cache, self.config, position_n, sharing, compiled=self.compiled)
        return self._logits(self._forward(token_n, position_n, attend))

    def _on_device(self, *numbers: Sequence[int]) -> Tensor:
        return torch.tensor(numbers, device=self.device)

    def _forward(self, token_T: Tensor, position_T: Tensor, attend: Attend) -> Tensor:
        """[T, H] hidden states, before the final norm."""
        view, config, num_tokens = self.view, self.config, len(token_T)

        def attend_real(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            attended = attend(layer, queries[:num_tokens], keys[:num_tokens], values[:num_tokens])
            return _pad_rows(attended)

        # An fp32 residual stream, as in the policy.
        x = view.embedding[_pad_rows(token_T)].float()
        cos, sin = self.rotary(_pad_rows(position_T))
        rotary = cos.to(view.dtype), sin.to(view.dtype)
        for layer, weights in enumerate(view.layers):
            x = decoder_layer(
                x,
                weights,
                layer,
                config.head_size,
                config.norm_epsilon,
                rotary if config.rope_layers[layer] else None,
                attend_real,
                self.elementwise,
            )
        return x[:num_tokens]

    def _logits(self, hidden: Tensor) -> Tensor:
        normed = self.elementwise.rms_norm(hidden, self.view.final_norm, self.config.norm_epsilon)
        return linear(_pad_rows(normed.to(self.view.head.dtype)), self.view.head)[: len(hidden)]


def _pad_rows(x: Tensor) -> Tensor:
    """Rows of zeros until there are MIN_ROWS."""
    missing = MIN_ROWS - len(x)
    return x if missing <= 0 else F.pad(x, (0, 0) * (x.dim() - 1) + (0, missing))

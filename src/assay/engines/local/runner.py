"""Runs the model: prompts into their pages, then one token of every sequence at a time.

A token's result should depend on its sequence alone, not on the rest of a pass, nor on whether it was part of a prompt
or sampled. So attention is a compiled form that goes through each sequence alone (`attention.py`), and products have at
least MIN_ROWS rows.

Shape letters: T tokens of this call, n sequences, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay.engines.local.attention import PageAttention, Pass
from assay.engines.local.pages import PagePool
from assay.engines.local.view import ServingView
from assay.policies.config import DecoderConfig
from assay.policies.decoder import Attend, decoder_layer, linear
from assay.policies.elementwise import COMPILED, PLAIN, compiles
from assay.policies.rope import Rotary

MIN_ROWS = 16
"""Products have at least this many rows. For fewer, CPU libraries switch to kernels that sum in another order, and what
a request samples would depend on how many are sampled beside it."""


class ModelRunner:
    """One forward pass over a serving view and the pages."""

    def __init__(self, view: ServingView, pool: PagePool, device: torch.device | str) -> None:
        self.view, self.pool, self.device = view, pool, device
        self.config: DecoderConfig = view.config
        self.rotary = Rotary(view.config, device)
        self.elementwise = COMPILED if compiles(view.config, view.dtype, device) else PLAIN

    def run(self, work: Pass, rows: Sequence[int]) -> Tensor:
        """Computes new tokens; their pages are there.

        Args:
            rows: [n] the tokens, among the T of the pass, after which logits are wanted; one may be wanted twice.

        Returns:
            [n, V] logits.
        """
        token_ids = [token for extension in work.extensions for token in extension.token_ids]
        positions = [
            position
            for extension in work.extensions
            for position in range(extension.start, extension.start + len(extension.token_ids))
        ]
        token_T, position_T = torch.tensor([token_ids, positions], device=self.device)
        hidden = self._forward(token_T, position_T, PageAttention(work, self.pool, self.config))
        return self._logits(hidden[torch.tensor(rows, device=self.device)])

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
        dtype = torch.float32 if self.view.fp32_head else self.view.dtype
        return linear(_pad_rows(normed.to(dtype)), self.view.head)[: len(hidden)]


def _pad_rows(x: Tensor) -> Tensor:
    """Rows of zeros until there are MIN_ROWS."""
    missing = MIN_ROWS - len(x)
    return x if missing <= 0 else F.pad(x, (0, 0) * (x.dim() - 1) + (0, missing))

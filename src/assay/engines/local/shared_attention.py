"""Attention over prompts that are stored once: the queries of all who continue one meet its keys in one product.

The decomposition of Hydragen, Juravsky et al. 2024, https://arxiv.org/abs/2402.05099. Differs: the softmax is taken
over the scores of prompt and row together, not merged from two.

Shape letters: P shared prompts, M most members of one, n sequences, K key-value heads, G query heads of each,
C capacity of a prompt's row, D head size.
"""

from __future__ import annotations

import torch
from torch import Tensor

from assay.engines.local.shared import Sharing
from assay.policies.config import DecoderConfig


class SharedAttention:
    """Attention of one decode pass over the shared prompts; made once, used by every layer.

    Args:
        sharing: who continues which prompt.
        position_n: [n] int64, the position of each sequence's new token.
        config: of the model.
        dtype: of scores.
    """

    def __init__(
        self,
        sharing: Sharing,
        position_n: Tensor,
        config: DecoderConfig,
        dtype: torch.dtype,
    ) -> None:
        device, num_sequences = position_n.device, len(position_n)
        num_kv_heads = config.num_kv_heads
        self.cache, self.windows, self.num_kv_heads = sharing.cache, config.windows, num_kv_heads
        self.scale = config.head_size**-0.5
        self.num_prompts = len(sharing.lengths)
        self.most = max(map(len, sharing.members))
        # Absent members repeat the first row; what they compute is dropped.
        row_PM = torch.zeros(self.num_prompts, self.most, dtype=torch.int64)
        prompt_n, member_n, start_n = torch.zeros(3, num_sequences, dtype=torch.int64)
        for prompt, (members, length) in enumerate(zip(sharing.members, sharing.lengths, strict=True)):
            row_PM[prompt, : len(members)] = torch.tensor(members, dtype=torch.int64)
            prompt_n[members], member_n[members] = prompt, torch.arange(len(members))
            start_n[members] = length
        self.start_n = start_n.to(device)
        """[n] the position of the first token of each sequence's own row."""
        heads = torch.arange(num_kv_heads)
        # Indices into flattened [n, K] and [P, K, M]: gathered so, all members of a prompt meet it in one product.
        by_prompt = row_PM[:, None] * num_kv_heads + heads[:, None]
        by_sequence = (prompt_n[:, None] * num_kv_heads + heads) * self.most + member_n[:, None]
        self.by_prompt = by_prompt.flatten().to(device)
        """[P K M] the rows of [n K] in the order of prompts."""
        self.by_sequence = by_sequence.flatten().to(device)
        """[n K] the rows of [P K M] in the order of sequences."""
        alone_n = self.start_n == 0
        self.alone = alone_n.repeat_interleave(num_kv_heads)[:, None, None] if alone_n.any() else None
        """[n K, 1, 1] bool, True for those who share no prompt."""
        self.masks = {window: self._mask(position_n, window, dtype) for window in set(config.windows)}

    def scores(self, layer: int, grouped: Tensor) -> Tensor:
        """[n K, G, C] scores of queries [n K, G, D] with their prompts, masked; -inf for who shares none."""
        keys, _ = self.cache.rows(layer, self.num_prompts)
        scores = self._ungather(torch.bmm(self._gather(grouped), keys.transpose(1, 2)), grouped.shape[1])
        return torch.add(self.masks[self.windows[layer]], scores, alpha=self.scale)

    def attended(self, layer: int, weights: Tensor) -> Tensor:
        """[n K, G, D] what weights [n K, G, C] take from the prompts' values."""
        _, values = self.cache.rows(layer, self.num_prompts)
        attended = self._ungather(torch.bmm(self._gather(weights), values), weights.shape[1])
        # Who shares none has been given the first member's.
        return attended if self.alone is None else attended.masked_fill_(self.alone, 0)

    def _gather(self, x: Tensor) -> Tensor:
        """[n K, G, X] to [P K, M G, X]."""
        return x.index_select(0, self.by_prompt).view(self.num_prompts * self.num_kv_heads, -1, x.shape[2])

    def _ungather(self, x: Tensor, group_size: int) -> Tensor:
        """[P K, M G, X] to [n K, G, X]."""
        return x.view(-1, group_size, x.shape[2]).index_select(0, self.by_sequence)

    def _mask(self, position_n: Tensor, window: int | None, dtype: torch.dtype) -> Tensor:
        """[n K, 1, C] what to add to scores."""
        columns_C = torch.arange(self.cache.capacity, device=position_n.device)
        # start_n is 0 for those who share no prompt: every column is masked for them. All rows have one capacity, so
        # columns beyond a prompt's length are masked too.
        unseen_nC = columns_C >= self.start_n[:, None]
        if window is not None:
            unseen_nC |= columns_C <= position_n[:, None] - window
        mask_nC = torch.zeros(unseen_nC.shape, dtype=dtype, device=position_n.device).masked_fill_(
            unseen_nC, -torch.inf
        )
        return mask_nC.repeat_interleave(self.num_kv_heads, dim=0)[:, None]

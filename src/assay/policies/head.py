"""From hidden states to log-probabilities and entropies, without ever holding [N, V] logits in fp32.

Shape letters: N predicted tokens, H hidden size, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

CHUNK_ROWS = 128
"""C: 128 rows of a vocabulary of 50,000 are 25 MB of fp32 logits."""
MAX_KEPT_ELEMENTS = 1 << 27
"""Probabilities of at most this many tokens times words are kept, in the compute dtype, for the backward pass (256 MB
in bf16); of more, the backward pass computes each chunk again."""


def predict(
    hidden: Tensor,
    weight: Tensor,
    target_ids: Tensor,
    temperature: float = 1.0,
    *,
    entropy_gradient: bool = False,
    chunk_rows: int = CHUNK_ROWS,
    max_kept_elements: int = MAX_KEPT_ELEMENTS,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target, and entropy, under softmax(hidden weight^T / temperature).

    Logits are divided, exponentiated and summed in fp32 whatever the compute dtype (in float64 where that is it).

    Args:
        hidden: [N, H] in the compute dtype.
        weight: [V, H] in the compute dtype.
        target_ids: [N] int64.
        entropy_gradient: whether the entropy is differentiable; slower, as every chunk is computed twice.

    Returns:
        logprobs [N] and entropy [N], float32; the entropy in nats, detached unless asked for.

    Raises:
        ValueError: the temperature is not positive: greedy decoding has no gradient.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive to train with, got {temperature}")
    if not len(hidden):
        # A batch without predictions still has a gradient, of zero, for every parameter it went through.
        empty = _widen(hidden.sum(-1) + weight.sum() * 0)
        return empty, empty.detach()
    if not entropy_gradient:
        keep = weight.shape[0] * hidden.shape[0] <= max_kept_elements
        return _Predict.apply(hidden, weight, target_ids, temperature, chunk_rows, keep)  # pyright: ignore[reportReturnType]
    logprobs, entropies = [], []
    for rows_CH, targets_C in zip(hidden.split(chunk_rows), target_ids.split(chunk_rows), strict=True):
        logprobs_C, entropy_C = checkpoint(_plain, rows_CH, weight, targets_C, temperature, use_reentrant=False)  # pyright: ignore[reportGeneralTypeIssues]
        logprobs.append(logprobs_C)
        entropies.append(entropy_C)
    return torch.cat(logprobs), torch.cat(entropies)


def logits_of(hidden: Tensor, weight: Tensor) -> Tensor:
    """[N, H] and [V, H] to logits [N, V] in fp32 (float64 where `hidden` is)."""
    return _widen(hidden @ weight.T)


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _plain(hidden: Tensor, weight: Tensor, target_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """The definition, left to autograd."""
    log_probabilities = (logits_of(hidden, weight) / temperature).log_softmax(-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(-1)
    return log_probabilities.gather(-1, target_ids[:, None]).squeeze(-1), entropy


class _Predict(torch.autograd.Function):
    """d logprob[n] / d logits[n] = (onehot(target) - probabilities) / temperature; the entropy gets no gradient."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, target_ids: Tensor, temperature: float, chunk_rows: int, keep: bool
    ) -> tuple[Tensor, Tensor]:
        logprobs = hidden.new_empty(len(hidden), dtype=_widen(hidden[:0]).dtype)
        entropy = torch.empty_like(logprobs)
        keep = keep and any(ctx.needs_input_grad[:2])
        kept = hidden.new_empty(len(hidden) if keep else 0, len(weight))
        for start in range(0, len(hidden), chunk_rows):
            chunk = slice(start, start + chunk_rows)
            scores = logits_of(hidden[chunk], weight).div_(temperature)
            scores -= scores.amax(-1, keepdim=True)
            target_scores = scores.gather(-1, target_ids[chunk, None]).squeeze(-1)
            probabilities = scores.exp()
            total = probabilities.sum(-1, keepdim=True)
            probabilities /= total
            log_total = total.log().squeeze(-1)
            logprobs[chunk] = target_scores - log_total
            entropy[chunk] = log_total - torch.linalg.vecdot(probabilities, scores)
            if keep:
                kept[chunk] = probabilities
        ctx.save_for_backward(hidden, weight, target_ids, kept)
        ctx.temperature, ctx.keep = temperature, keep
        ctx.step_rows = max(1, len(hidden)) if keep else chunk_rows
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        logprobs_gradient = gradients[0]
        hidden, weight, target_ids, kept = ctx.saved_tensors
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = None
        for start in range(0, len(hidden), ctx.step_rows):
            chunk = slice(start, start + ctx.step_rows)
            if ctx.keep:
                probabilities = kept
            else:
                scores = logits_of(hidden[chunk], weight).div_(ctx.temperature)
                probabilities = scores.softmax(-1).to(hidden.dtype)
            scale = (logprobs_gradient[chunk, None] / ctx.temperature).to(hidden.dtype)
            logits_gradient = (probabilities * -scale).scatter_add_(-1, target_ids[chunk, None], scale)
            hidden_gradient[chunk] = logits_gradient @ weight
            if ctx.needs_input_grad[1]:
                # Summed over chunks in fp32: bf16 would drop what later chunks add.
                part = logits_gradient.T @ hidden[chunk]
                weight_gradient = _widen(part) if weight_gradient is None else weight_gradient.add_(part)
        if weight_gradient is not None:
            weight_gradient = weight_gradient.to(weight.dtype)
        return hidden_gradient, weight_gradient, None, None, None, None

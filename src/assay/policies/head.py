"""Log-probabilities and entropies from hidden states, without ever holding [N, V] logits in fp32.

Shape letters: N predicted tokens, H hidden size, V vocabulary, C rows of a chunk.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from assay.errors import ModelError

CHUNK_ROWS = 128
"""C: 128 rows of a vocabulary of 50,000 are 25 MB of fp32 logits."""
MAX_KEPT_ELEMENTS = 1 << 27
"""Probabilities of at most this many tokens times words stand at a time, in the compute dtype (256 MB in bf16). A batch
of no more keeps them for the backward pass; of a larger one the backward pass computes them again, part by part."""


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
        part_rows = max(1, max_kept_elements // len(weight))
        return _Predict.apply(hidden, weight, target_ids, temperature, chunk_rows, part_rows)  # pyright: ignore[reportReturnType]
    logprobs, entropies = [], []
    for rows_CH, targets_C in zip(hidden.split(chunk_rows), target_ids.split(chunk_rows), strict=True):
        logprobs_C, entropy_C = checkpoint(_plain, rows_CH, weight, targets_C, temperature, use_reentrant=False)  # pyright: ignore[reportGeneralTypeIssues]
        logprobs.append(logprobs_C)
        entropies.append(entropy_C)
    return torch.cat(logprobs), torch.cat(entropies)


def divergence(
    hidden: Tensor,
    weight: Tensor,
    other_hidden: Tensor,
    other_weight: Tensor,
    temperature: float = 1.0,
    *,
    chunk_rows: int = CHUNK_ROWS,
) -> Tensor:
    """KL(one || other) of the next word after each row, over the whole vocabulary, both at the temperature.

    sum_v p_v (log p_v - log q_v), p of `hidden` and `weight`, q of the others, which get no gradient. A chunk is
    computed again in the backward pass, so that logits of one chunk stand at a time.

    Args:
        hidden, other_hidden: [N, H] and [N, H'], each in its compute dtype.
        weight, other_weight: [V, H] and [V, H'].

    Returns:
        [N] float32, nats; differentiable.

    Raises:
        ModelError: the two have vocabularies of unlike sizes.
        ValueError: the temperature is not positive.
    """
    if len(weight) != len(other_weight):
        raise ModelError(
            f"output matrices of {len(weight)} and {len(other_weight)} words: a divergence over the vocabulary needs "
            "the same words on both sides; choose another teacher"
        )
    if not temperature > 0:
        raise ValueError(f"temperature must be positive to train with, got {temperature}")
    if not len(hidden):
        return _widen(hidden.sum(-1) + weight.sum() * 0)
    chunks = zip(hidden.split(chunk_rows), other_hidden.detach().split(chunk_rows), strict=True)
    return torch.cat(
        [
            checkpoint(_divergence, rows, weight, others, other_weight.detach(), temperature, use_reentrant=False)
            for rows, others in chunks
        ]  # pyright: ignore[reportArgumentType]
    )


def _divergence(hidden: Tensor, weight: Tensor, other: Tensor, other_weight: Tensor, temperature: float) -> Tensor:
    """[C]"""
    own = (logits_of(hidden, weight) / temperature).log_softmax(-1)
    others = (logits_of(other, other_weight) / temperature).log_softmax(-1)
    return (own.exp() * (own - others)).sum(-1)


def logits_of(hidden: Tensor, weight: Tensor) -> Tensor:
    """[N, H] and [V, H] to logits [N, V] in fp32 (float64 where `hidden` is)."""
    return _widen(hidden @ weight.T)


def _widen(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _plain(hidden: Tensor, weight: Tensor, target_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Compute log-probabilities and entropies as they are defined, left to autograd."""
    log_probabilities = (logits_of(hidden, weight) / temperature).log_softmax(-1)
    entropy = -(log_probabilities.exp() * log_probabilities).sum(-1)
    return log_probabilities.gather(-1, target_ids[:, None]).squeeze(-1), entropy


class _Predict(torch.autograd.Function):
    """Log-probabilities and entropies with the gradient d logprob[n] / d logits[n] = (onehot(target) - probabilities) /
    temperature; the entropy gets no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        target_ids: Tensor,
        temperature: float,
        chunk_rows: int,
        part_rows: int,
    ) -> tuple[Tensor, Tensor]:
        logprobs = hidden.new_empty(len(hidden), dtype=_widen(hidden[:0]).dtype)
        entropy = torch.empty_like(logprobs)
        keep = len(hidden) <= part_rows and any(ctx.needs_input_grad[:2])
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
        ctx.save_for_backward(hidden, weight, target_ids)
        ctx.kept = kept if keep else None
        ctx.temperature, ctx.chunk_rows, ctx.part_rows = temperature, chunk_rows, part_rows
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, target_ids = ctx.saved_tensors
        # They become the gradient, for two of their size are the largest that an update holds: a second pass over the
        # same graph computes them again.
        kept, ctx.kept = ctx.kept, None
        scale = (gradients[0][:, None] / ctx.temperature).to(hidden.dtype)
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient = None
        for start in range(0, len(hidden), ctx.part_rows):
            part = slice(start, start + ctx.part_rows)
            if kept is None:
                kept = _probabilities(hidden[part], weight, ctx.temperature, ctx.chunk_rows)
            logits_gradient = kept.mul_(-scale[part]).scatter_add_(-1, target_ids[part, None], scale[part])
            kept = None
            hidden_gradient[part] = logits_gradient @ weight
            if ctx.needs_input_grad[1]:
                # Parts are large, since each reads and writes the whole gradient, and summed in fp32: bf16 would drop
                # what later ones add.
                of_part = logits_gradient.T @ hidden[part]
                weight_gradient = of_part if weight_gradient is None else _widen(weight_gradient).add_(of_part)
        if weight_gradient is not None:
            weight_gradient = weight_gradient.to(weight.dtype)
        return hidden_gradient, weight_gradient, None, None, None, None


def _probabilities(hidden: Tensor, weight: Tensor, temperature: float, chunk_rows: int) -> Tensor:
    """[N, V] in the compute dtype; only a chunk of it in fp32 at a time."""
    probabilities = hidden.new_empty(len(hidden), len(weight))
    for start in range(0, len(hidden), chunk_rows):
        chunk = slice(start, start + chunk_rows)
        probabilities[chunk] = logits_of(hidden[chunk], weight).div_(temperature).softmax(-1)
    return probabilities

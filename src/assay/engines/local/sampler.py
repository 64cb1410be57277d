"""Sampling tokens from logits: inverse transform sampling with each request's own random numbers.

Token = first in vocabulary order whose cumulative probability exceeds u (see `assay.seeds`). Devroye 1986,
"Non-Uniform Random Variate Generation", chapter III.2.

Shape letters: B requests, V vocabulary, C chunks of the vocabulary, W tokens of a chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from assay import seeds
from assay.engines.engine import Sampling
from assay.errors import EngineError

CHUNK = 128
"""Tokens of a chunk, W: the cumulative sum is taken over chunks first, then within the one chunk that u falls into."""


@dataclass(frozen=True)
class Draw:
    """Everything that the next token of one request depends on, beside its logits."""

    sampling: Sampling
    seed: int
    position: int
    """Number of tokens that the request has sampled so far."""


@torch.inference_mode()
def sample(logits_BV: Tensor, draws: Sequence[Draw]) -> tuple[list[int], list[float]]:
    """One token for each request, and its log-probability under the distribution it was drawn from.

    Args:
        logits_BV: [B, V] in any floating dtype.
        draws: [B]

    Returns:
        [B] token ids and [B] natural-log probabilities.

    Raises:
        EngineError: logits that are not finite; the weights have diverged.
    """
    probabilities = torch.softmax(_tempered(logits_BV, draws), dim=-1, dtype=torch.float32)
    rows = [row for row, draw in enumerate(draws) if _truncates(draw.sampling)]
    if rows:
        limits = [draws[row].sampling for row in rows]
        probabilities[rows] = truncate(
            probabilities[rows],
            probabilities.new_tensor([sampling.top_p for sampling in limits]),
            torch.tensor([sampling.top_k for sampling in limits], device=probabilities.device),
        )
    uniforms = seeds.uniforms(
        np.array([draw.seed % 2**64 for draw in draws], dtype=np.uint64), np.array([draw.position for draw in draws])
    )
    tokens = invert(probabilities, torch.from_numpy(uniforms).to(probabilities.device))
    greedy = [row for row, draw in enumerate(draws) if draw.sampling.temperature == 0]
    if greedy:
        tokens[greedy] = logits_BV[greedy].argmax(dim=-1)
    logprobs = probabilities.gather(1, tokens[:, None]).squeeze(1).log()
    if not torch.isfinite(logprobs).all():
        raise EngineError("the model's logits are not finite; its weights have diverged")
    return tokens.tolist(), logprobs.tolist()


def invert(probabilities_BV: Tensor, uniforms_B: Tensor) -> Tensor:
    """First token in vocabulary order whose cumulative probability exceeds u times the total.

    Sums are taken in float64 over chunks and then inside one chunk. Where rounding leaves u beyond the last sum, the
    last token that has any probability is taken, so one of probability 0 never is.

    Args:
        probabilities_BV: [B, V] float32, at least 0, each row's total near 1.
        uniforms_B: [B] float64 in [0, 1).

    Returns:
        [B] int64
    """
    vocab = probabilities_BV.shape[1]
    if vocab % CHUNK:
        probabilities_BV = torch.nn.functional.pad(probabilities_BV, (0, CHUNK - vocab % CHUNK))
    chunks_BCW = probabilities_BV.unflatten(1, (-1, CHUNK))
    totals_BC = chunks_BCW.sum(-1)
    sums_BC = totals_BC.double().cumsum(-1)
    thresholds_B1 = (uniforms_B * sums_BC[:, -1])[:, None]
    chunk_B1 = _first_above(sums_BC, totals_BC, thresholds_B1)
    within_BW = chunks_BCW.gather(1, chunk_B1[:, :, None].expand(-1, 1, CHUNK)).squeeze(1)
    before_B1 = (sums_BC - totals_BC).gather(1, chunk_B1)
    token_B1 = _first_above(within_BW.double().cumsum(-1), within_BW, (thresholds_B1 - before_B1).clamp(min=0))
    return (chunk_B1 * CHUNK + token_B1).squeeze(1)


def truncate(probabilities_BV: Tensor, top_p_B: Tensor, top_k_B: Tensor) -> Tensor:
    """Keeps the most probable tokens, renormalised: at most `top_k` of them (0: all), and of those the fewest whose
    probabilities reach `top_p`. Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", arXiv 1904.09751.

    Args:
        probabilities_BV: [B, V] float32.
        top_p_B: [B] float32 in (0, 1].
        top_k_B: [B] int64.

    Returns:
        [B, V] float32, each row's total 1.
    """
    # Stable: of equally probable tokens the first in the vocabulary stays.
    sorted_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True, stable=True)
    rank_V = torch.arange(sorted_BV.shape[1], device=sorted_BV.device)
    sorted_BV = torch.where((top_k_B[:, None] > 0) & (rank_V >= top_k_B[:, None]), 0.0, sorted_BV)
    sorted_BV = sorted_BV / sorted_BV.sum(-1, keepdim=True)
    reached_before_BV = sorted_BV.double().cumsum(-1) - sorted_BV >= top_p_B[:, None]
    # Rounding may let a total of 1 be reached early; top_p 1 keeps everything.
    sorted_BV = torch.where(reached_before_BV & (top_p_B[:, None] < 1), 0.0, sorted_BV)
    sorted_BV = sorted_BV / sorted_BV.sum(-1, keepdim=True)
    return torch.zeros_like(probabilities_BV).scatter(1, order_BV, sorted_BV)


def _truncates(sampling: Sampling) -> bool:
    """Greedy decoding takes the most probable token, which no truncation removes."""
    return sampling.temperature > 0 and (sampling.top_p < 1 or sampling.top_k > 0)


def _tempered(logits_BV: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Logits over temperature; greedy rows at temperature 1. No pass over the vocabulary where all are at 1."""
    temperatures = [draw.sampling.temperature or 1.0 for draw in draws]
    if all(temperature == 1.0 for temperature in temperatures):
        return logits_BV
    return logits_BV.float() / torch.tensor(temperatures, device=logits_BV.device)[:, None]


def _first_above(sums_BN: Tensor, weights_BN: Tensor, thresholds_B1: Tensor) -> Tensor:
    """[B, 1] index of the first running sum above the threshold, else of the last positive weight."""
    index_B1 = torch.searchsorted(sums_BN, thresholds_B1, right=True)
    positions_N = torch.arange(weights_BN.shape[1], device=weights_BN.device)
    last_B1 = torch.where(weights_BN > 0, positions_N, 0).amax(-1, keepdim=True)
    return torch.minimum(index_B1, last_B1)

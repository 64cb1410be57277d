"""Correction for what the sampler computes differently from the trainer: importance weights trainer / sampler.

Three policies: the sampler (another kernel, another precision, perhaps older weights), the trainer at the start of the
update ("proximal"), the trainer now. A ratio against "proximal" leaves out what lies between the first two; this weight
puts it back. It is a constant: differentiated, it would add a term that belongs to nothing.

Shape letters: N predicted tokens, S sequences.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from assay.config import Settings
from assay.later import torch
from assay.losses.ratio import log_ratio
from assay.losses.sequence import per_sequence_mean, per_sequence_sum
from assay.observe.metrics import metric

if TYPE_CHECKING:
    from torch import Tensor

CORRECTION_MEAN = metric(
    "loss/correction_mean",
    "Mean importance weight, trainer over sampler, as it was used. Its expectation is 1 before anything is cut off.",
)
CORRECTION_CUT_SHARE = metric(
    "loss/correction_cut_share",
    "Share of trained-on tokens whose importance weight, trainer over sampler, was out of bounds: cut off, or masked.",
)


class ImportanceCorrection(Settings):
    """The correction for the difference between the sampler's and the trainer's log-probabilities."""

    kind: Literal["none", "truncate", "mask"] = "none"
    """Treatment of weights out of bounds. truncate: weights above `high` count as `high`, those below `low` as `low`
    (TIS). mask: tokens with a weight out of [low, high] are left out (MIS, IcePop)."""
    level: Literal["token", "sequence", "geometric"] = "token"
    """The level of the weight: each token's own; the product over its sequence; or the geometric mean over its
    sequence, the only sequence weight that means the same for every length."""
    low: float = Field(default=0.0, ge=0.0, le=1.0)
    """Lower bound of the weights; 0 leaves that side open."""
    high: float = Field(default=2.0, ge=1.0, allow_inf_nan=False)
    """Upper bound of the weights."""

    @model_validator(mode="after")
    def _check_effect(self) -> ImportanceCorrection:
        for name in ("level", "low", "high") if self.kind == "none" else ():
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with kind {self.kind!r}: leave it out")
        return self


def correction_weights(
    proximal_logprobs_N: Tensor,
    sampling_logprobs_N: Tensor,
    sequence_ids_N: Tensor,
    num_sequences: int,
    correction: ImportanceCorrection,
) -> tuple[Tensor, dict[str, Tensor]]:
    """The factor of each token's loss, and the metrics of each token.

    Truncated at the token: Yao et al. 2025, "Your Efficient RL Framework Secretly Brings You Off-Policy RL Training",
    https://fengyao.notion.site/off-policy-rl. Masked: Ling Team 2025, "Every Step Evolves" (IcePop),
    https://arxiv.org/abs/2510.18855. Sequence weights are unbiased before the cut, of a variance that grows with
    length: a ratio of 1.1 a token is 2.6 after 10 tokens and 13,780 after 100.

    Args:
        proximal_logprobs_N: [N] float, the trainer's at the start of the update.
        sampling_logprobs_N: [N] float, the engine's, as sampled.
        sequence_ids_N: [N] int64, which sequence each token belongs to; a sequence must be whole.
        num_sequences: S.

    Returns:
        [N] float, detached, all 1 with kind "none"; and [N] each of `CORRECTION_MEAN` and `CORRECTION_CUT_SHARE`, none
        with kind "none".

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, sampled = torch.tensor([0.8, 0.2, 0.5]).log(), torch.tensor([0.2, 0.2, 0.5]).log()
        >>> ids = torch.tensor([0, 0, 1])
        >>> correction_weights(now, sampled, ids, 2, ImportanceCorrection(kind="truncate", high=3.0))[0]
        tensor([3., 1., 1.])
    """
    log_ratio_N = log_ratio(proximal_logprobs_N.detach(), sampling_logprobs_N.detach())
    if correction.kind == "none":
        return torch.ones_like(log_ratio_N), {}
    if correction.level != "token":
        reduce = per_sequence_sum if correction.level == "sequence" else per_sequence_mean
        # Bounded once more: a product over a long sequence overflows where none of its factors does.
        reduced_S = reduce(log_ratio_N, sequence_ids_N, num_sequences)
        log_ratio_N = log_ratio(reduced_S, torch.zeros_like(reduced_S))[sequence_ids_N]
    raw_N = log_ratio_N.exp()
    out_N = (raw_N < correction.low) | (raw_N > correction.high)
    if correction.kind == "truncate":
        weights_N = raw_N.clamp(correction.low, correction.high)
    else:
        weights_N = raw_N.masked_fill(out_N, 0.0)
    return weights_N, {CORRECTION_MEAN: weights_N, CORRECTION_CUT_SHARE: out_N.to(raw_N.dtype)}

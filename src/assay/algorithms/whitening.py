"""Whitening of credit over the tokens of a step, for algorithms whose baseline is the batch."""

from __future__ import annotations

from collections.abc import Sequence

from assay.estimators import whitened
from assay.later import torch
from assay.types import CreditedSample


def whitened_credit(credited: Sequence[CreditedSample]) -> list[CreditedSample]:
    """Return the samples with advantages of mean 0 and standard deviation 1 over all their trained-on tokens."""
    if not any(sample.loss_mask.any() for sample in credited):
        return list(credited)
    lengths = [int(sample.loss_mask.sum()) for sample in credited]
    # float64: what rounding leaves of equal advantages must not be blown up by the division.
    tokens = torch.cat([sample.advantages[sample.loss_mask] for sample in credited]).double()
    white = whitened(tokens, torch.ones(len(tokens), dtype=torch.int64)).float().split(lengths)
    return [
        sample.replace(advantages=torch.zeros(len(sample.token_ids)).masked_scatter(sample.loss_mask, piece))  # pyright: ignore[reportReturnType]
        for sample, piece in zip(credited, white, strict=True)
    ]

"""Scored samples: whole texts for a reward model, whose one prediction stands after the last token."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from assay.types import Sample


def scored(samples: Sequence[Sample]) -> list[Sample]:
    """The text of each rollout with one prediction, from the hidden state of its last token.

    The target that is appended is no part of the text. Of a rollout with forks the last one has the whole conversation:
    the others are left out.
    """
    last = {(sample.group_id, sample.member): sample for sample in samples}
    return [_scored(sample) for sample in last.values()]


def _scored(sample: Sample) -> Sample:
    length = len(sample.token_ids) + 1
    mask = torch.zeros(length, dtype=torch.bool)
    mask[-1] = True
    return Sample(
        group_id=sample.group_id,
        member=sample.member,
        token_ids=torch.cat([sample.token_ids, sample.token_ids[-1:]]),
        loss_mask=mask,
        sampling_logprobs=torch.full((length,), torch.nan),
        version=sample.version,
    )

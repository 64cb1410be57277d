"""Mismatched samples: each response after another response's prompt, as KTO's reference point needs them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from assay.errors import DataError
from assay.types import Sample


def mismatched(samples: Sequence[Sample], max_context: int) -> list[Sample]:
    """The responses of a step, each after the prompt of the next sample whose prompt is another one.

    So every response serves once, and so does about every prompt. A response is everything from the first trained-on
    token on. What would be longer than the context is left out.

    Args:
        samples: of one step, in their order.
        max_context: of the model, in tokens.

    Raises:
        DataError: all have the same prompt, or none fits the context.
    """
    starts = [int(sample.loss_mask.nonzero()[0]) for sample in samples]
    prompts = [sample.token_ids[:start] for sample, start in zip(samples, starts, strict=True)]
    keys = [tuple(prompt.tolist()) for prompt in prompts]
    found: list[Sample] = []
    for number, (sample, start) in enumerate(zip(samples, starts, strict=True)):
        turned = [(number + shift) % len(samples) for shift in range(1, len(samples))]
        other = next((place for place in turned if keys[place] != keys[number]), None)
        if other is None:
            raise DataError(
                "KTO's reference point is estimated on responses after other prompts, and all prompts of this step are "
                "the same: raise groups_per_step, or give more prompts"
            )
        prompt, response = prompts[other], sample.token_ids[start:]
        if len(prompt) + len(response) > max_context:
            continue
        mask = torch.cat([torch.zeros(len(prompt), dtype=torch.bool), sample.loss_mask[start:].cpu()])
        tokens = torch.cat([prompt, response])
        unknown = torch.zeros(len(tokens))
        found.append(Sample(sample.group_id, sample.member, tokens, mask, unknown))
    if not found:
        raise DataError(f"no response of this step fits the context of {max_context} tokens after another prompt")
    return found

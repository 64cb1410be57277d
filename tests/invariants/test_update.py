"""What an update may and may not change."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.algorithms import GRPO, Reinforce
from assay.batching import pack
from assay.models import open_model
from assay.policies.model import DecoderPolicy
from assay.training import Trainer, TrainerSettings
from assay.types import CreditedSample


def credited_samples(num_groups: int = 3, group_size: int = 4) -> list[CreditedSample]:
    generator = torch.Generator().manual_seed(3)
    samples = []
    for group_id in range(num_groups):
        prompt = torch.randint(256, (6,), generator=generator)
        for index in range(group_size):
            tokens = torch.cat([prompt, torch.randint(256, (4 + index,), generator=generator)])
            mask = torch.arange(len(tokens)) >= len(prompt)
            samples.append(
                CreditedSample(
                    group_id=group_id,
                    member=index,
                    token_ids=tokens,
                    loss_mask=mask,
                    sampling_logprobs=-5.5 * mask,
                    advantages=(1.0 if index % 2 else -1.0) * mask,
                )
            )
    return samples


def weights_after(
    tiny_model: Path, samples: list[CreditedSample], num_updates: int = 3, **pack_options
) -> torch.Tensor:
    policy = open_model(tiny_model).policy()
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-2), temperature=0.7)
    for _ in range(num_updates):
        trainer.update(pack(samples, **pack_options), Reinforce())
    return flat(policy)


def flat(policy: DecoderPolicy) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in policy.parameters()])


def test_the_same_inputs_give_the_same_weights_bit_for_bit(tiny_model):
    samples = credited_samples()
    first, second = (weights_after(tiny_model, samples, max_tokens=40, num_minibatches=2) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, flat(open_model(tiny_model).policy()))


def test_zero_advantages_change_no_weight(tiny_model):
    """Equal rewards give zero advantages, zero gradient and, from fresh moments, no step at all."""
    silent = [CreditedSample.of(s, torch.zeros_like(s.advantages)) for s in credited_samples()]
    assert torch.equal(weights_after(tiny_model, silent, max_tokens=100), flat(open_model(tiny_model).policy()))


@pytest.mark.parametrize("algorithm", [Reinforce(), GRPO()])
def test_an_update_raises_what_was_rewarded_and_lowers_what_was_not(tiny_model, algorithm):
    policy = open_model(tiny_model).policy()
    trainer = Trainer(policy, TrainerSettings(learning_rate=1e-3), temperature=1.0)
    samples = credited_samples()
    first = trainer.update(pack(samples, 200), algorithm).trainer_logprobs
    second = trainer.update(pack(samples, 200), algorithm).trainer_logprobs
    change = {key: sum(second[key]) - sum(first[key]) for key in first}
    assert sum(value for (_, index), value in change.items() if index % 2) > 0.1
    assert sum(value for (_, index), value in change.items() if not index % 2) < -0.1


def test_permuting_the_members_of_a_group_leaves_the_update_as_it_was(tiny_model):
    samples = credited_samples(num_groups=1)
    forwards, backwards = (
        weights_after(tiny_model, order, num_updates=1, max_tokens=100) for order in (samples, samples[::-1])
    )
    # Adam's first step is the gradient's sign: where the gradient is a rounding error, so is its sign.
    moved = (forwards - backwards).abs() > 1e-3
    assert moved.float().mean() < 0.01

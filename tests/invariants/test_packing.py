"""How samples are laid out for the device changes nothing: not the loss, not the gradient, not what predicts what."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay.algorithms import Reinforce
from assay.batching import pack
from assay.models import open_model
from assay.policies.model import DecoderPolicy
from assay.training import Trainer, TrainerSettings
from assay.types import Batch, CreditedSample


@pytest.fixture(scope="module")
def policy(tiny_model: Path) -> DecoderPolicy:
    policy = open_model(tiny_model).policy()
    assert isinstance(policy, DecoderPolicy)
    return policy


def random_samples(seed: int, num_groups: int = 4) -> list[CreditedSample]:
    """Groups that share prompts, with several turns, forks, completions of one token, and text after the last turn."""
    rng = random.Random(seed)
    samples = []
    # What all prompts begin with: none, too short to be shared, or a segment of its own.
    opening = [rng.randrange(256) for _ in range((0, 5, 16, 40)[seed % 4])]
    for group_id in range(num_groups):
        prompt = opening + [rng.randrange(256) for _ in range(rng.randint(1, 12))]
        for index in range(rng.randint(1, 5)):
            tokens, mask = list(prompt), [False] * len(prompt)
            if rng.random() < 0.2:  # a fork: its prompt was rewritten
                tokens[len(opening)] = rng.randrange(256)
            for _ in range(rng.randint(1, 3)):
                for sampled, length in ((True, rng.randint(1, 8 + 12 * (seed % 2))), (False, rng.randint(0, 4))):
                    tokens += [rng.randrange(256) for _ in range(length)]
                    mask += [sampled] * length
            loss_mask = torch.tensor(mask)
            samples.append(
                CreditedSample(
                    group_id=group_id,
                    member=index,
                    token_ids=torch.tensor(tokens),
                    loss_mask=loss_mask,
                    sampling_logprobs=-torch.rand(len(tokens)) * loss_mask,
                    weight=rng.choice([1.0, 0.5]),
                    advantages=torch.full((len(tokens),), rng.uniform(-1, 1)) * loss_mask,
                )
            )
            if rng.random() < 0.3:  # a fork of the same rollout: what it goes on from may have been sampled before
                kept = rng.randint(1, len(tokens))
                more = [rng.randrange(256) for _ in range(rng.randint(1, 20))]
                fork_mask = torch.tensor(
                    [*(sampled and rng.random() < 0.5 for sampled in mask[:kept]), *[True] * len(more)]
                )
                samples.append(
                    samples[-1].replace(
                        token_ids=torch.tensor([*tokens[:kept], *more]),
                        loss_mask=fork_mask,
                        sampling_logprobs=-torch.rand(len(fork_mask)) * fork_mask,
                        advantages=torch.full((len(fork_mask),), rng.uniform(-1, 1)) * fork_mask,
                    )
                )
    return samples


def alone(sample: CreditedSample) -> Batch:
    """The whole sample as one segment, written out without the packer."""
    length = len(sample.token_ids)
    targets = sample.loss_mask.nonzero().squeeze(-1)
    return Batch(
        token_ids=sample.token_ids,
        position_ids=torch.arange(length),
        segment_ids=torch.zeros(length, dtype=torch.int64),
        prefix_segments=torch.zeros(1, dtype=torch.int64),
        predict_from=targets - 1,
        target_ids=sample.token_ids[targets],
        sequence_ids=torch.zeros(len(targets), dtype=torch.int64),
        sampling_logprobs=sample.sampling_logprobs[targets],
        advantages=sample.advantages[targets],
        proximal_logprobs=None,
        reference_logprobs=None,
        values=None,
        returns=None,
        sequence_lengths=torch.tensor([len(targets)]),
        sequence_weights=torch.tensor([sample.weight]),
        group_ids=torch.tensor([sample.group_id]),
        unit_ids=torch.arange(0),
        member_ids=torch.tensor([sample.member]),
        sample_ids=torch.tensor([0]),
    )


def gradient(policy: DecoderPolicy, batches: list[Batch]) -> tuple[float, Tensor]:
    """The loss -sum(advantage x log-probability), and its gradient as one vector."""
    policy.zero_grad()
    loss = 0.0
    for batch in batches:
        part = -(policy.forward(batch).logprobs * batch.advantages).sum()
        part.backward()
        loss += float(part.detach())
    gradients = [parameter.grad.flatten() for parameter in policy.parameters() if parameter.grad is not None]
    assert len(gradients) == len(list(policy.parameters()))
    return loss, torch.cat(gradients)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("share_prompts", [True, False])
@pytest.mark.parametrize("max_tokens", [1, 40, 10_000])
def test_loss_and_gradient_are_those_of_the_samples_one_by_one(policy, seed, share_prompts, max_tokens):
    samples = random_samples(seed)
    expected_loss, expected = gradient(policy, [alone(sample) for sample in samples])
    for num_minibatches in (1, 3):
        minibatches = pack(samples, max_tokens, num_minibatches, share_prompts=share_prompts)
        loss, actual = gradient(policy, [batch for minibatch in minibatches for batch in minibatch])
        assert loss == pytest.approx(expected_loss, rel=1e-5, abs=1e-5)
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("normaliser", ["tokens", "sequences", "episodes", "constant"])
def test_an_update_does_not_depend_on_the_micro_batch_size(tiny_model, normaliser):
    """The trainer divides by a count over the whole minibatch, not over each micro-batch."""
    samples = random_samples(seed=5)
    algorithm = Reinforce(normaliser=normaliser, normaliser_constant=20.0 if normaliser == "constant" else None)
    results = []
    for max_tokens in (1, 60, 10_000):
        policy = open_model(tiny_model).policy()
        trainer = Trainer(policy, TrainerSettings(learning_rate=1e-3), temperature=1.0)
        report = trainer.update(pack(samples, max_tokens), algorithm)
        results.append((report.metrics["loss/policy"], report.metrics["train/grad_norm"]))
    for loss, norm in results[1:]:
        assert loss == pytest.approx(results[0][0], rel=1e-4, abs=1e-6)
        assert norm == pytest.approx(results[0][1], rel=1e-4)


def test_prompt_and_environment_tokens_are_never_targets(policy):
    """Zero advantages on every token of one sample, whatever its prompt says, leave no gradient of it."""
    samples = random_samples(seed=6)
    for minibatch in pack(samples, 50, 2):
        for batch in minibatch:
            start = 0
            for sample_id, length in zip(batch.sample_ids.tolist(), batch.sequence_lengths.tolist(), strict=True):
                sample = samples[sample_id]
                targets = batch.target_ids[start : start + length]
                assert targets.tolist() == sample.token_ids[sample.loss_mask].tolist()
                start += length
            assert start == batch.num_predictions
    silent = [sample.replace(advantages=torch.zeros_like(sample.advantages)) for sample in samples]
    assert not gradient(policy, pack(silent, 50)[0])[1].any()


def test_a_shared_prompt_learns_from_all_its_continuations(policy):
    """Nothing flows between siblings: replacing one leaves the others' log-probabilities as they were."""
    samples = [sample for sample in random_samples(seed=7, num_groups=8) if sample.group_id in (0, 1)]
    [[batch]] = pack(samples, 10_000)
    changed = samples[0].replace(
        token_ids=torch.where(samples[0].loss_mask, (samples[0].token_ids + 1) % 256, samples[0].token_ids)
    )
    [[other]] = pack([changed, *samples[1:]], 10_000)
    first = int(batch.sequence_lengths[0])
    before, after = policy.forward(batch).logprobs, policy.forward(other).logprobs
    torch.testing.assert_close(before[first:], after[first:], rtol=1e-5, atol=1e-6)
    assert not torch.allclose(before[:first], after[:first])

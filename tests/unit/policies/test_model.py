from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay.errors import ContextLengthError, ModelError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.policies.layers import weight_names, weight_shapes
from assay.types import Batch

PROMPTS = ((5, 9, 12), (40, 41, 42, 43, 44))
ANSWERS = (((7, 8), (100,), (7, 8, 9, 10)), ((3, 2, 1), (200, 201)))


def batch_of(
    segments: list[tuple[int, list[int], int]], predictions: list[tuple[int, int, int]], num_sequences: int
) -> Batch:
    """A batch from (prefix segment, token ids, first position) and (packed index, target, sequence)."""
    lengths = torch.tensor([len(token_ids) for _, token_ids, _ in segments])
    zeros = torch.zeros(len(predictions))
    per_sequence = torch.arange(num_sequences)
    return Batch(
        token_ids=torch.tensor([token for _, token_ids, _ in segments for token in token_ids]),
        position_ids=torch.cat([torch.arange(start, start + len(token_ids)) for _, token_ids, start in segments]),
        segment_ids=torch.repeat_interleave(torch.arange(len(segments)), lengths),
        prefix_segments=torch.tensor([prefix for prefix, _, _ in segments]),
        predict_from=torch.tensor([index for index, _, _ in predictions]),
        target_ids=torch.tensor([target for _, target, _ in predictions]),
        sequence_ids=torch.tensor([sequence for _, _, sequence in predictions]),
        sampling_logprobs=zeros,
        advantages=zeros,
        proximal_logprobs=None,
        reference_logprobs=None,
        values=None,
        returns=None,
        sequence_lengths=torch.ones(num_sequences, dtype=torch.int64),
        sequence_weights=torch.ones(num_sequences),
        group_ids=per_sequence,
        unit_ids=torch.arange(0),
        member_ids=per_sequence,
        sample_ids=per_sequence,
    )


def shared_batch() -> Batch:
    """Each prompt once, its answers after it; only the answers are predicted."""
    segments, predictions, start, sequence = [], [], 0, 0
    for prompt, answers in zip(PROMPTS, ANSWERS, strict=True):
        prompt_segment, last_of_prompt = len(segments), start + len(prompt) - 1
        segments.append((prompt_segment, list(prompt), 0))
        start += len(prompt)
        for answer in answers:
            segments.append((prompt_segment, list(answer), len(prompt)))
            sources = [last_of_prompt, *range(start, start + len(answer) - 1)]
            predictions += [(source, token, sequence) for source, token in zip(sources, answer, strict=True)]
            start, sequence = start + len(answer), sequence + 1
    return batch_of(segments, predictions, sequence)


def separate_batch() -> Batch:
    """The same samples, each with its prompt of its own."""
    segments, predictions, start = [], [], 0
    for prompt, answers in zip(PROMPTS, ANSWERS, strict=True):
        for answer in answers:
            segments.append((len(segments), [*prompt, *answer], 0))
            first = start + len(prompt) - 1
            predictions += [(first + n, token, len(segments) - 1) for n, token in enumerate(answer)]
            start += len(prompt) + len(answer)
    return batch_of(segments, predictions, len(segments))


def gradients(policy: DecoderPolicy, batch: Batch, upstream: Tensor) -> dict[str, Tensor]:
    policy.zero_grad()
    (policy.forward(batch, temperature=0.8).logprobs * upstream).sum().backward()
    return {name: parameter.grad for name, parameter in policy.named_parameters() if parameter.grad is not None}


def test_parameters_are_fp32_under_hugging_face_names(tiny_model: Path) -> None:
    policy = open_model(tiny_model).policy(compute_dtype=torch.bfloat16)
    assert [name for name, _ in policy.named_parameters()] != []
    assert {name for name, _ in policy.named_parameters()} == set(weight_names(policy.config))
    assert "model.layers.1.self_attn.q_proj.weight" in dict(policy.named_parameters())
    assert {parameter.dtype for parameter in policy.parameters()} == {torch.float32}
    assert {name: tuple(tensor.shape) for name, tensor in policy.weights()} == weight_shapes(policy.config)


def test_logprobs_and_entropy_are_those_of_the_logits(tiny_model: Path) -> None:
    policy, batch = open_model(tiny_model).policy(), shared_batch()
    output = policy.forward(batch, temperature=0.8)
    expected_logprobs, expected_entropy = [], []
    for prompt, answers in zip(PROMPTS, ANSWERS, strict=True):
        for answer in answers:
            log_probabilities = (policy.logits(torch.tensor([*prompt, *answer])) / 0.8).log_softmax(-1)
            for n, token in enumerate(answer):
                row = log_probabilities[len(prompt) - 1 + n]
                expected_logprobs.append(row[token])
                expected_entropy.append(-(row.exp() * row).sum())
    torch.testing.assert_close(output.logprobs, torch.stack(expected_logprobs), rtol=0, atol=1e-5)
    torch.testing.assert_close(output.entropy, torch.stack(expected_entropy), rtol=0, atol=1e-5)
    assert not output.entropy.requires_grad
    assert policy.forward(batch, entropy_gradient=True).entropy.requires_grad


def test_sharing_a_prompt_changes_neither_logprobs_nor_gradients(tiny_model: Path) -> None:
    policy, shared, separate = open_model(tiny_model).policy(), shared_batch(), separate_batch()
    assert shared.num_tokens < separate.num_tokens
    torch.testing.assert_close(policy.forward(shared).logprobs, policy.forward(separate).logprobs, rtol=0, atol=1e-5)
    upstream = torch.linspace(-1, 1, shared.num_predictions)
    ours, theirs = gradients(policy, shared, upstream), gradients(policy, separate, upstream)
    assert ours.keys() == set(weight_names(policy.config))
    for name, gradient in ours.items():
        assert gradient.abs().max() > 1e-4, f"{name} learns nothing"
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-4, atol=1e-5, msg=name)


def test_bf16_compute_gives_fp32_gradients_near_those_of_fp32(tiny_model: Path) -> None:
    batch = shared_batch()
    upstream = torch.linspace(-1, 1, batch.num_predictions)
    exact = gradients(open_model(tiny_model).policy(), batch, upstream)
    rounded = gradients(open_model(tiny_model).policy(compute_dtype=torch.bfloat16), batch, upstream)
    for name, gradient in rounded.items():
        assert gradient.dtype == torch.float32
        similarity = torch.cosine_similarity(gradient.flatten(), exact[name].flatten(), dim=0)
        assert similarity > 0.998, f"{name}: {similarity}"


def test_a_sequence_longer_than_the_context_is_refused(tiny_model: Path) -> None:
    policy = open_model(tiny_model).policy()
    long = list(range(200)) * 3
    batch = batch_of([(0, long[: policy.max_context + 1], 0)], [(0, 1, 0)], 1)
    with pytest.raises(ContextLengthError, match="513 tokens does not fit the context of 512"):
        policy.forward(batch)
    assert policy.forward(batch_of([(0, long[: policy.max_context], 0)], [(0, 1, 0)], 1)).logprobs.isfinite()


def test_load_weights_copies_in_place_and_refuses_other_names(tiny_model: Path) -> None:
    policy = open_model(tiny_model).policy()
    kept = dict(policy.named_parameters())
    policy.load_weights([(name, tensor + 1) for name, tensor in open_model(tiny_model).policy().weights()])
    assert all(parameter is kept[name] for name, parameter in policy.named_parameters())
    torch.testing.assert_close(
        kept["model.norm.weight"].detach(), dict(open_model(tiny_model).policy().weights())["model.norm.weight"] + 1
    )
    with pytest.raises(ModelError, match=r"model\.norm\.weight"):
        policy.load_weights((name, tensor) for name, tensor in policy.weights() if name != "model.norm.weight")

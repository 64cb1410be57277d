"""Logits in fp32 whatever the compute dtype, and what fp16 computes, in the policy and in the engine."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from assay.algorithms import Reinforce
from assay.batching import pack
from assay.config import validate
from assay.engines import LocalEngine, Sampling
from assay.engines.local.view import ServingView
from assay.errors import ConfigError, ModelError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.policies.elementwise import rms_norm
from assay.policies.head import predict
from assay.policies.tiny import write_tiny_model
from assay.recipe import RunConfig
from assay.training import Trainer, TrainerSettings
from assay.types import Batch, Sample

TIED = {"tied": {}, "own output matrix": {"tie_word_embeddings": False}}
PROMPT = tuple(range(5, 35))


def policy_of(folder: Path, dtype: torch.dtype, *, fp32_head: bool = False, **shape: Any) -> DecoderPolicy:
    policy: Any = open_model(write_tiny_model(folder, **shape)).policy(compute_dtype=dtype)
    policy.fp32_head = fp32_head
    return policy


def engine_of(policy: DecoderPolicy, dtype: torch.dtype, fp32_head: bool) -> LocalEngine:
    return LocalEngine(
        policy.config,
        policy.weights(),
        stop_token_ids=(),
        decode=str,
        dtype=dtype,
        num_slots=2,
        fp32_head=fp32_head,
    )


def sampled(engine: LocalEngine, num_tokens: int = 24) -> Batch:
    """What the engine sampled, packed."""
    completion = asyncio.run(engine.generate(PROMPT, Sampling(max_new_tokens=num_tokens), request_id="0", seed=0))
    token_ids = torch.tensor((*PROMPT, *completion.token_ids))
    mask = torch.arange(len(token_ids)) >= len(PROMPT)
    logprobs = torch.zeros(len(token_ids))
    logprobs[len(PROMPT) :] = torch.tensor(completion.logprobs)
    sample = Sample(group_id=0, member=0, token_ids=token_ids, loss_mask=mask, sampling_logprobs=logprobs)
    ((batch,),) = pack([sample], max_tokens=10_000)
    return batch


def gaps(policy: DecoderPolicy, batch: Batch) -> Tensor:
    with torch.no_grad():
        return (policy.forward(batch).logprobs - batch.sampling_logprobs).abs()


@pytest.mark.parametrize("shape", TIED.values(), ids=TIED)
def test_logits_are_the_product_in_fp32_of_what_the_layers_gave(tmp_path: Path, shape: dict[str, Any]) -> None:
    policy = policy_of(tmp_path / "model", torch.bfloat16, fp32_head=True, **shape)
    batch = sampled(engine_of(policy, torch.bfloat16, True))
    head = policy.get_parameter("model.embed_tokens.weight" if not shape else "lm_head.weight")
    expected, _ = predict(policy.hidden_states(batch).float(), head, batch.target_ids)
    found = policy.forward(batch).logprobs
    assert_close(found, expected)
    policy.fp32_head = False
    assert not torch.equal(policy.forward(batch).logprobs, found), "bf16 rounds them"


@pytest.mark.parametrize("shape", TIED.values(), ids=TIED)
def test_the_engines_logits_are_in_fp32_too(tmp_path: Path, shape: dict[str, Any]) -> None:
    policy = policy_of(tmp_path / "model", torch.bfloat16, fp32_head=True, **shape)
    hidden = torch.randn(20, policy.hidden_size, generator=torch.Generator().manual_seed(0))
    head = policy.get_parameter("model.embed_tokens.weight" if not shape else "lm_head.weight").detach()
    runners = [engine_of(policy, torch.bfloat16, fp32_head)._runner for fp32_head in (True, False)]
    whole, rounded = (runner._logits(hidden) for runner in runners)
    normed = rms_norm(hidden, policy.get_parameter("model.norm.weight").detach().bfloat16(), policy.config.norm_epsilon)
    assert_close(whole, normed.float() @ head.T)
    assert whole.dtype == torch.float32
    assert rounded.dtype == torch.bfloat16
    assert float(gaps(policy, sampled(engine_of(policy, torch.bfloat16, True))).mean()) < 0.02


def test_the_view_holds_the_output_matrix_unrounded_and_again_after_each_publish(tmp_path: Path) -> None:
    for shape in TIED.values():
        policy = policy_of(tmp_path / "model", torch.float32, **shape)
        view = ServingView(policy.config, torch.bfloat16, fp32_head=True)
        for version in (1, 2):
            with torch.no_grad():
                for parameter in policy.parameters():
                    parameter.mul_(1.001)
            view.load(policy.weights(), version)
            head = policy.get_parameter("model.embed_tokens.weight" if not shape else "lm_head.weight")
            assert view.head.dtype == torch.float32
            assert torch.equal(view.head, head)
            assert view.embedding.dtype == torch.bfloat16


def test_the_divergence_from_a_teacher_is_over_all_words(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "model", torch.float32)
    teacher = policy_of(tmp_path / "teacher", torch.float32, seed=1)
    batch = sampled(engine_of(policy, torch.float32, False))
    output = policy.forward(batch, teacher=teacher)
    (hidden, head), (other, other_head) = policy.last_layer(batch), teacher.last_layer(batch)
    own, others = (hidden @ head.T).log_softmax(-1), (other @ other_head.T).log_softmax(-1)
    assert output.teacher_kl is not None
    assert_close(output.teacher_kl, (own.exp() * (own - others)).sum(-1), rtol=1e-4, atol=1e-6)
    assert policy.forward(batch).teacher_kl is None
    smaller = policy_of(tmp_path / "smaller", torch.float32, vocab_size=300)
    with pytest.raises(ModelError, match="words"):
        policy.forward(batch, teacher=smaller)


# ---- fp16 ----


def test_fp16_is_nearer_to_fp32_than_bf16_is(tmp_path: Path) -> None:
    exact = policy_of(tmp_path / "model", torch.float32)
    batch = sampled(engine_of(exact, torch.float32, False))
    errors = {}
    for dtype in (torch.float16, torch.bfloat16):
        lower = policy_of(tmp_path / "model", dtype)
        errors[dtype] = float((lower.forward(batch).logprobs - exact.forward(batch).logprobs).detach().abs().mean())
    assert 0 < errors[torch.float16] < 0.5 * errors[torch.bfloat16]


def test_the_engine_samples_in_fp16_what_the_policy_computes(tmp_path: Path) -> None:
    policy = policy_of(tmp_path / "model", torch.float16)
    assert gaps(policy, sampled(engine_of(policy, torch.float16, False))).mean() < 0.01


def credited(batch: Batch, advantage: float) -> Batch:
    return dataclasses.replace(batch, advantages=torch.full_like(batch.sampling_logprobs, advantage))


def gradient_of(policy: DecoderPolicy, batch: Batch, **settings: Any) -> tuple[Trainer, Tensor]:
    """Of one update: with a first beta of 0 the first moment is the gradient."""
    options = TrainerSettings(learning_rate=1e-9, betas=(0.0, 0.9), max_grad_norm=1e30, **settings)
    trainer = Trainer(policy, options, temperature=1.0)
    report = trainer.update([[batch]], Reinforce())
    assert (report.num_updates, report.num_skipped) == (1, 0)
    tensors = trainer.state_dict().tensors
    return trainer, torch.cat([tensors[name].flatten() for name in sorted(tensors) if name.startswith("exp_avg/")])


@pytest.mark.parametrize("advantage", [1.0, 1e-5])
def test_fp16_has_the_gradient_of_fp32_however_small(tmp_path: Path, advantage: float) -> None:
    """Without a scale gradients of 1e-5 and less would be rounded to fp16's steps of 6e-8, or to 0."""
    exact, lower = (policy_of(tmp_path / "model", dtype) for dtype in (torch.float32, torch.float16))
    batch = credited(sampled(engine_of(exact, torch.float32, False)), advantage)
    expected, found = gradient_of(exact, batch)[1], gradient_of(lower, batch)[1]
    assert float((found - expected).norm() / expected.norm()) < 0.02


def test_a_scale_that_overflows_is_halved_and_the_update_made_all_the_same(tmp_path: Path) -> None:
    exact, lower = (policy_of(tmp_path / "model", dtype) for dtype in (torch.float32, torch.float16))
    batch = credited(sampled(engine_of(exact, torch.float32, False)), 300.0)
    trainer, found = gradient_of(lower, batch)
    assert trainer.state_dict().counters["loss_scale_exponent"] < 16
    expected = gradient_of(exact, batch)[1]
    assert float((found - expected).norm() / expected.norm()) < 0.02
    assert gradient_of(exact, batch)[0].state_dict().counters["loss_scale_exponent"] == 16


def test_fp16_and_fp32_heads_that_cannot_be_are_errors(tiny_model: Path) -> None:
    source = {"source": str(tiny_model)}
    with pytest.raises(ConfigError, match="fp16' cannot be had with ppo"):
        validate(RunConfig, {"model": {**source, "compute_dtype": "fp16"}, "algorithm": {"name": "ppo"}})
    with pytest.raises(ConfigError, match="fp32_head has no effect with"):
        validate(RunConfig, {"model": {**source, "compute_dtype": "fp32", "fp32_head": True}})

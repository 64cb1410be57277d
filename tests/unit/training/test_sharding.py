"""Two ranks of FSDP2 over gloo against one process: gradients, norm, clipping, updates, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch

import sharded_learner as learner
from assay.models import open_model
from assay.policies.folder import read_weights
from assay.policies.tiny import write_tiny_causal_lm
from gloo_ranks import GlooRanks


@pytest.fixture(scope="module")
def two() -> Iterator[GlooRanks]:
    ranks = GlooRanks(2)
    yield ranks
    ranks.close()


def close(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor], rtol: float = 1e-5) -> None:
    assert first.keys() == second.keys()
    for name, value in second.items():
        scale = float(value.abs().max()) or 1.0
        assert float((first[name] - value).abs().max()) <= rtol * scale, name


@pytest.mark.parametrize(
    ("kind", "num_groups"), [("decoder", 6), ("decoder", 1), ("bf16", 6), ("again", 6), ("lora", 6), ("hf", 6)]
)
def test_gradients_and_norm_are_those_of_one_process(two, tiny_model, kind, num_groups):
    """Uneven ranks (5 micro-batches on 2) and an empty one (1 micro-batch on 2). Adam would hide a wrong scale."""
    expected, norm, num_batches = learner.one(learner.gradients, kind, tiny_model, num_groups)
    assert num_batches == (1 if num_groups == 1 else 5)
    for found, found_norm, _ in two.call(learner.gradients, kind, tiny_model, num_groups):
        close(found, expected)
        assert found_norm == pytest.approx(norm, rel=1e-5)
    assert norm > 0.3, "nothing would be clipped in the tests below"
    if kind == "lora":
        # Before the first update B is 0, and only B has a gradient.
        assert all(value.any() for name, value in expected.items() if "lora_B" in name)


@pytest.mark.parametrize("kind", ["decoder", "lora"])
def test_updates_and_checkpoints_are_those_of_one_process_on_any_number_of_ranks(two, tiny_model, tmp_path, kind):
    expected, reports = learner.one(learner.updates, tiny_model, kind, 0, 4, None, False)
    _, halves = learner.one(learner.updates, tiny_model, kind, 0, 2, tmp_path / "one", False)
    checkpoints = tmp_path / "two"
    for rank, (weights, first) in enumerate(two.call(learner.updates, tiny_model, kind, 0, 2, checkpoints, False)):
        assert len(weights) == len(expected)
        for (metrics, logprobs, proximal), (metrics_1, logprobs_1, proximal_1) in zip(first, halves, strict=True):
            assert metrics == pytest.approx(metrics_1, rel=1e-4, abs=1e-6), rank
            assert logprobs.keys() == logprobs_1.keys()
            for one, other in zip(proximal, proximal_1, strict=True):
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    # 2 -> 2, and then 2 -> 1.
    for weights, _ in two.call(learner.updates, tiny_model, kind, 2, 2, checkpoints, True):
        close(weights, expected, 1e-4)
    weights, last = learner.one(learner.updates, tiny_model, kind, 2, 2, checkpoints, True)
    close(weights, expected, 1e-4)
    assert last[-1][0] == pytest.approx(reports[-1][0], rel=1e-4, abs=1e-6)
    # 1 -> 2, and any tool opens what two ranks have written.
    for weights, _ in two.call(learner.updates, tiny_model, kind, 2, 2, tmp_path / "one", True):
        close(weights, expected, 1e-4)
    if kind == "decoder":
        model = open_model(checkpoints / "step-000004" / "model")
        close(dict(read_weights(model.folder, model.configuration)), expected, 1e-4)


def test_a_critic_is_sharded_too(two, tiny_model):
    expected, report = learner.one(learner.critic_updates, tiny_model)
    for tensors, metrics in two.call(learner.critic_updates, tiny_model):
        close(tensors, expected, 1e-3)
        assert metrics == pytest.approx(report, rel=1e-3, abs=1e-5)


def test_a_model_of_transformers_is_written_whole(two, tmp_path):
    folder = write_tiny_causal_lm(tmp_path / "gpt2", "gpt2")
    expected, _ = learner.one(learner.updates, folder, "hf", 0, 1, None, False)
    two.call(learner.updates, folder, "hf", 0, 1, tmp_path / "kept", False)
    saved = open_model(tmp_path / "kept" / "step-000001" / "model", policy="hf").policy()
    close({name: p.detach() for name, p in saved.named_parameters()}, expected, 1e-4)


def test_what_cannot_be_sharded_is_refused(two, tiny_model):
    assert all("Linear has no layers" in said for said in two.call(learner.refuses, tiny_model, "no layers"))
    assert all("cannot be sharded" in said for said in two.call(learner.refuses, tiny_model, "an adapter"))


def test_a_rank_that_does_not_come_is_waited_for_only_so_long(tiny_model):
    ranks = GlooRanks(2, seconds=4.0)
    try:
        start = time.monotonic()
        ranks.ask(learner.raises_on_rank_one, tiny_model)
        assert ranks.answer(1) == "stopped"
        assert "imed out" in ranks.answer(0, timeout=60)
        assert time.monotonic() - start < 55
    finally:
        for process in ranks.processes:
            process.kill()
        ranks.close()

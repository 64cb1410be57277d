from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from assay.errors import ConfigError, ModelError
from assay.models import open_model
from assay.policies import DecoderConfig
from assay.policies.lora import Adapter, LoraSettings, LowRank, linear_shapes, num_adapter_parameters
from assay.policies.lora.adapter import LinearShape, target_shapes
from assay.policies.lora.fingerprint import fingerprint

QUERY = "model.layers.0.self_attn.q_proj.weight"


def shapes(tiny_model: Path) -> dict[str, LinearShape]:
    return linear_shapes(DecoderConfig.from_folder(tiny_model))


def new(settings: LoraSettings, tiny_model: Path, seed: int = 0) -> Adapter:
    return Adapter.new(settings, shapes(tiny_model), model="llama", seed=seed, base={}, fingerprint="")


def test_merged_by_hand() -> None:
    a, b = nn.Parameter(torch.tensor([[1.0, 2.0]])), nn.Parameter(torch.tensor([[3.0], [0.5]]))
    adapter = Adapter({}, {"w": LowRank(a, b, scale=2.0)}, "")
    weight = torch.tensor([[1.0, 1.0], [0.0, 10.0]])
    merged = adapter.merged("w", weight)
    assert merged.tolist() == [[7.0, 13.0], [1.0, 12.0]]
    # d sum / dA = scale * B^T 1, d sum / dB = scale * 1 A^T
    merged.sum().backward()
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.tolist() == [[7.0, 7.0]]
    assert b.grad.tolist() == [[6.0], [6.0]]
    assert adapter.merged("another", weight) is weight


def test_a_new_adapter_changes_nothing_and_depends_on_the_seed_alone(tiny_model: Path) -> None:
    first, again, other = (new(LoraSettings(), tiny_model, seed) for seed in (0, 0, 1))
    assert first.is_zero
    for (name, one), (_, two), (_, three) in zip(
        first.named_parameters(), again.named_parameters(), other.named_parameters(), strict=True
    ):
        assert torch.equal(one, two)
        assert torch.equal(one, three) == name.endswith("lora_B.weight")
    # As torch.nn.Linear begins, which is what PEFT takes: uniform, bound 1 / sqrt(32).
    a = first.pairs[QUERY].a
    assert 0.9 / 32**0.5 < float(a.detach().abs().max()) <= 1 / 32**0.5
    gaussian = new(LoraSettings(rank=8, init="gaussian"), tiny_model).pairs[QUERY].a
    assert float(gaussian.detach().std()) == pytest.approx(1 / 8, rel=0.15)
    # Of a module, not of its place in the list: other targets do not change its beginning.
    assert torch.equal(new(LoraSettings(target_modules=("q_proj",)), tiny_model).pairs[QUERY].a, a)


def test_names_are_those_of_peft(tiny_model: Path) -> None:
    names = [name for name, _ in new(LoraSettings(target_modules=("q_proj",)), tiny_model).named_parameters()]
    assert names == [
        f"base_model.model.model.layers.{layer}.self_attn.q_proj.lora_{factor}.weight"
        for layer in (0, 1)
        for factor in "AB"
    ]


def test_targets_are_ends_of_names(tiny_model: Path) -> None:
    def chosen(*targets: str) -> list[str]:
        return list(target_shapes(LoraSettings(target_modules=targets), shapes(tiny_model), "llama"))

    assert chosen("layers.1.mlp.down_proj") == ["model.layers.1.mlp.down_proj.weight"]
    assert chosen("model.layers.0.self_attn.q_proj") == [QUERY]
    assert len(chosen("q_proj", "self_attn.v_proj")) == 4
    assert len(target_shapes(LoraSettings(), shapes(tiny_model), "llama")) == 2 * 7
    for target in ("proj", "embed_tokens", "lm_head", "q_proj.weight", "layernorm"):
        with pytest.raises(ConfigError, match=f"'{target}' names no product.*down_proj, gate_proj"):
            chosen("q_proj", target)


def test_number_of_parameters_by_hand(tiny_model: Path) -> None:
    # Hidden 32, inner 64, keys 16; two layers. q, o: 32 + 32; k, v: 16 + 32; gate, up, down: 64 + 32.
    each = 2 * (32 + 32) + 2 * (16 + 32) + 3 * (64 + 32)
    assert num_adapter_parameters(LoraSettings(rank=4), shapes(tiny_model), "llama") == 2 * 4 * each
    adapter = new(LoraSettings(rank=4), tiny_model)
    assert sum(parameter.numel() for _, parameter in adapter.named_parameters()) == 2 * 4 * each


def test_only_the_adapter_is_trained(tiny_model: Path) -> None:
    policy = open_model(tiny_model).policy(lora=LoraSettings(rank=2))
    trained = {name for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert policy.adapter is not None
    assert trained == {name for name, _ in policy.adapter.named_parameters()}
    assert [name for name, _ in policy.weights()] == [name for name, _ in open_model(tiny_model).policy().weights()]


def test_what_shares_the_base_costs_no_copy_of_it_and_stays_as_it_was(tiny_model: Path) -> None:
    policy, tokens = open_model(tiny_model).policy(lora=LoraSettings(rank=2)), torch.arange(12)
    start = policy.logits(tokens)
    reference = policy.sharing_base(trainable=False)
    assert reference.adapter is None, "an adapter that is zero is left out"
    shake(policy)
    later, twin = policy.sharing_base(trainable=False), policy.sharing_base(trainable=True)
    moved = policy.logits(tokens)
    shake(policy)
    assert torch.equal(reference.logits(tokens), start)
    for copy in (later, twin):
        assert torch.equal(copy.logits(tokens), moved)
        assert copy.get_parameter(QUERY).data_ptr() == policy.get_parameter(QUERY).data_ptr()
    assert not any(parameter.requires_grad for parameter in later.parameters())
    assert sum(p.requires_grad for p in twin.parameters()) == sum(p.requires_grad for p in policy.parameters())


def shake(policy: nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def test_weights_can_be_loaded_into_an_adapter(tiny_model: Path) -> None:
    policy, other = (open_model(tiny_model).policy(lora=LoraSettings(rank=2), seed=seed) for seed in (0, 1))
    shake(other)
    assert other.adapter is not None
    policy.load_weights(other.adapter.named_parameters())
    assert all(torch.equal(x, y) for (_, x), (_, y) in zip(policy.weights(), other.weights(), strict=True))
    with pytest.raises(ModelError, match="do not fit"):
        policy.load_weights(open_model(tiny_model).policy().weights())


def test_a_fingerprint_knows_a_copy_in_bf16_from_another_model(tiny_model: Path) -> None:
    weights = dict(open_model(tiny_model).policy().weights())
    known = fingerprint(weights)
    assert len(known) == 64
    assert fingerprint({name: tensor.bfloat16() for name, tensor in reversed(weights.items())}) == known
    assert fingerprint({**weights, QUERY: weights[QUERY].T.contiguous()}) != known
    assert fingerprint({**weights, QUERY: weights[QUERY] * 1.01}) != known
    assert fingerprint({name: tensor for name, tensor in weights.items() if name != QUERY}) != known

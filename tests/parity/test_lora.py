"""Our adapters against PEFT's: the same log-probabilities, the same gradients, folders that go both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import peft
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
import transformers
from torch import Tensor

from assay.batching import pack
from assay.engines.hf import HFEngine
from assay.engines.local import LocalEngine
from assay.errors import ModelError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.policies.decoder import linear
from assay.policies.hf import HFPolicy
from assay.policies.lora import LoraSettings
from assay.policies.tiny import write_tiny_causal_lm, write_tiny_model
from assay.types import CreditedSample

PolicyT = TypeVar("PolicyT", DecoderPolicy, HFPolicy, DecoderPolicy | HFPolicy)
NAME = "model.layers.0.mlp.down_proj.weight"
TOLERANCE = 1e-4
TOKENS = torch.tensor([3, 17, 80, 200, 5, 9, 250, 41, 7, 7, 130, 66])
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama, untied, biases": {"tie_word_embeddings": False, "attention_bias": True, "mlp_bias": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 16},
}
SETTINGS: dict[str, LoraSettings] = {
    "all linear": LoraSettings(rank=4),
    "rslora, two modules": LoraSettings(rank=8, alpha=4.0, rslora=True, target_modules=("q_proj", "mlp.down_proj")),
    "one module of one layer": LoraSettings(rank=1, alpha=1.5, target_modules=("layers.1.self_attn.v_proj",)),
}


def shaken(policy: PolicyT) -> PolicyT:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in policy.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return policy


def their_model(base: Path, adapter: Path, **options: Any) -> peft.PeftModel:
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return peft.PeftModel.from_pretrained(model, adapter, **options).eval()


def their_logprobs(model: Any) -> Tensor:
    logits = model(TOKENS[None]).logits[0, :-1]
    return logits.log_softmax(-1).gather(-1, TOKENS[1:, None]).squeeze(-1)


def our_logprobs(policy: DecoderPolicy | HFPolicy) -> Tensor:
    mask = torch.arange(len(TOKENS)) > 0
    sample = CreditedSample(0, 0, TOKENS, mask, torch.zeros(len(TOKENS)), advantages=torch.ones(len(TOKENS)))
    ((batch,),) = pack([sample], 100, share_prompts=policy.shares_prompts)
    return policy.forward(batch).logprobs


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_peft_opens_our_folder_with_the_same_logprobs_and_gradients(
    family: dict[str, Any], settings: LoraSettings, tmp_path: Path
) -> None:
    base = write_tiny_model(tmp_path / "base", **family)
    policy = shaken(open_model(base).policy(lora=settings))
    policy.save(tmp_path / "adapter")
    model = their_model(base, tmp_path / "adapter", is_trainable=True)

    ours, theirs = our_logprobs(policy), their_logprobs(model)
    untrained = our_logprobs(open_model(base).policy())
    assert (ours - untrained).abs().max() > 0.01, "an adapter that does nothing would agree"
    assert_same_gradients(policy, model, ours, theirs)


def assert_same_gradients(
    policy: DecoderPolicy | HFPolicy, model: peft.PeftModel, ours: Tensor, theirs: Tensor
) -> None:
    torch.testing.assert_close(ours, theirs, atol=TOLERANCE, rtol=0)
    ours.sum().backward()
    theirs.sum().backward()
    expected = {
        name.replace(".default", ""): parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    found = {name: parameter.grad for name, parameter in policy.named_parameters() if parameter.requires_grad}
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient is not None
        assert gradient.abs().max() > 1e-3
        torch.testing.assert_close(gradient, expected[name], atol=TOLERANCE, rtol=TOLERANCE)
    assert all(parameter.grad is None for parameter in policy.parameters() if not parameter.requires_grad)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("model_type", ["gpt2", "gemma2"])
def test_the_same_with_a_model_of_transformers(model_type: str, checkpointing: bool, tmp_path: Path) -> None:
    """GPT-2 stores its products transposed; Gemma 2 has no plain head."""
    base = write_tiny_causal_lm(tmp_path / "base", model_type, **({"head_dim": 8} if model_type == "gemma2" else {}))
    settings = LoraSettings(rank=4, alpha=6.0)
    policy = shaken(open_model(base, policy="hf").policy(lora=settings, gradient_checkpointing=checkpointing))
    assert isinstance(policy, HFPolicy)
    policy.save(tmp_path / "adapter")
    model = their_model(base, tmp_path / "adapter", is_trainable=True)
    assert_same_gradients(policy, model, our_logprobs(policy), their_logprobs(model))

    again = open_model(tmp_path / "adapter").policy()
    assert torch.equal(our_logprobs(again), our_logprobs(policy))
    for (name, merged), (_, read) in zip(
        policy.weights(), open_model(tmp_path / "adapter").weights().items(), strict=True
    ):
        assert torch.equal(merged, read), name
    policy.save_merged(tmp_path / "merged")
    whole = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(their_logprobs(whole), our_logprobs(policy), atol=TOLERANCE, rtol=0)
    names = [name for name, _ in policy.named_parameters()]
    assert not any("base_layer" in name or "default" in name for name in names)
    assert len(names) == len(set(names))


def test_one_adapter_is_the_same_in_both_policies(tiny_model: Path, tmp_path: Path) -> None:
    decoder = shaken(open_model(tiny_model).policy(lora=LoraSettings(rank=4)))
    decoder.save(tmp_path / "adapter")
    hf = open_model(tmp_path / "adapter", policy="hf").policy()
    assert isinstance(hf, HFPolicy)
    torch.testing.assert_close(our_logprobs(hf), our_logprobs(decoder), atol=TOLERANCE, rtol=0)
    hf.save(tmp_path / "again")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "adapter" / name).read_bytes()
    first, second = (
        open_model(tiny_model, policy=policy).policy(lora=LoraSettings(), seed=5) for policy in ("decoder", "hf")
    )
    assert first.adapter is not None
    assert second.adapter is not None
    assert torch.equal(first.adapter.pairs[NAME].a, second.adapter.pairs[NAME].a), "the same seed begins the same"


@pytest.mark.parametrize(
    "options",
    [
        {"r": 4, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"], "lora_dropout": 0.1},
        {"r": 4, "lora_alpha": 3, "target_modules": "all-linear", "use_rslora": True},
        {"r": 2, "target_modules": ["up_proj"], "layers_to_transform": [1]},
        {
            "r": 2,
            "lora_alpha": 8,
            "target_modules": ["q_proj", "down_proj"],
            "rank_pattern": {"down_proj": 5},
            "alpha_pattern": {"layers.1.self_attn.q_proj": 1},
        },
        {"r": 2, "target_modules": r".*\.(gate|o)_proj", "init_lora_weights": "gaussian"},
    ],
    ids=["dropout", "all-linear, rslora", "one layer", "patterns", "regular expression"],
)
def test_we_open_their_folder_and_save_it_again(options: dict[str, Any], tiny_model: Path, tmp_path: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    trained = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    for parameter in trained.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.1)
    trained.save_pretrained(tmp_path / "theirs")
    expected = their_logprobs(trained.eval())

    policy = open_model(tmp_path / "theirs").policy()
    torch.testing.assert_close(our_logprobs(policy), expected, atol=TOLERANCE, rtol=0)
    policy.save(tmp_path / "ours")
    torch.testing.assert_close(
        their_logprobs(their_model(tiny_model, tmp_path / "ours")), expected, atol=TOLERANCE, rtol=0
    )


def test_a_new_adapter_begins_as_peft_begins(tiny_model: Path) -> None:
    """The same bounds and the same zeros; the draws are our own, from the run's seed."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny_model)
    theirs = dict(peft.get_peft_model(model, peft.LoraConfig(r=16, target_modules="all-linear")).named_parameters())
    policy = open_model(tiny_model).policy(lora=LoraSettings(rank=16))
    assert policy.adapter is not None
    for name, ours in policy.adapter.named_parameters():
        their = theirs[name.replace(".weight", ".default.weight")]
        assert ours.shape == their.shape
        if "lora_A" in name:
            assert float(ours.detach().std()) == pytest.approx(float(their.detach().std()), rel=0.15)
            assert float(ours.detach().abs().max()) == pytest.approx(float(their.detach().abs().max()), rel=0.1)
        else:
            assert not ours.any()
            assert not their.any()


def test_merging_is_what_peft_merges(tiny_model: Path, tmp_path: Path) -> None:
    policy = shaken(open_model(tiny_model).policy(lora=LoraSettings(rank=4)))
    policy.save(tmp_path / "adapter")
    merged = their_model(tiny_model, tmp_path / "adapter").merge_and_unload().state_dict()  # pyright: ignore
    for name, weight in policy.weights():
        torch.testing.assert_close(weight, merged[name], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_engine_samples_from_what_is_trained(tiny_model: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    """Bit for bit, in bf16 too: the trainer rounds the merged weight, as the engine does."""
    model = open_model(tiny_model)
    policy = shaken(model.policy(lora=LoraSettings(rank=4), compute_dtype=dtype))
    whole = DecoderPolicy(policy.config, dict(policy.weights()), compute_dtype=dtype)
    assert torch.equal(whole.logits(TOKENS), policy.logits(TOKENS))
    policy.save(tmp_path / "adapter")
    serving = {"stop_token_ids": (1,), "decode": str, "dtype": dtype, "num_slots": 1}
    trained = dict(policy.weights())[NAME].to(dtype)
    # By what it computes: packed weights cannot be looked at. A different bit in any weight shows in some product.
    some = torch.cat((torch.eye(trained.shape[1]), torch.randn(8, trained.shape[1]))).to(dtype)
    for engine in (model.engine_for(policy, **serving), open_model(tmp_path / "adapter").engine(**serving)):
        assert isinstance(engine, LocalEngine)
        assert torch.equal(linear(some, engine._view.layers[0].down), F.linear(some, trained))
    engine = open_model(tmp_path / "adapter", policy="hf").engine(**serving)
    assert isinstance(engine, HFEngine)
    assert torch.equal(engine.module.get_parameter(NAME), trained)


PATTERNS = {
    "a name": ("layers.1.mlp.down_proj", {"layers.1.mlp.down_proj"}),
    "the end of a name": ("down_proj", {"layers.0.mlp.down_proj", "layers.1.mlp.down_proj"}),
    "the whole name": ("^model.layers.0.mlp.down_proj", {"layers.0.mlp.down_proj"}),
    "a part is no end": ("mlp", set()),
    "a class": (r"layers\.[1-9]\..*q_proj", {"layers.1.self_attn.q_proj"}),
    "a choice": (
        r".*\.(q_proj|down_proj)",
        {f"layers.{n}.{m}" for n in (0, 1) for m in ("self_attn.q_proj", "mlp.down_proj")},
    ),
    "digits": (r"model\.layers\.\d+\.self_attn\.q_proj", {f"layers.{n}.self_attn.q_proj" for n in (0, 1)}),
    "a group": (r"layers\.(?:0|1)\.self_attn\.[qk]_proj$", {f"layers.{n}.self_attn.q_proj" for n in (0, 1)}),
    "a dot for any character": ("self.attn.q.proj", {f"layers.{n}.self_attn.q_proj" for n in (0, 1)}),
}


@pytest.mark.parametrize(("key", "matched"), PATTERNS.values(), ids=PATTERNS)
@pytest.mark.parametrize("kind", ["rank_pattern", "alpha_pattern"])
def test_patterns_are_regular_expressions_as_in_peft(
    tiny_model: Path, tmp_path: Path, key: str, matched: set[str], kind: str
) -> None:
    import peft

    value = {"rank_pattern": 3, "alpha_pattern": 32}[kind]
    config = peft.LoraConfig(
        r=2, lora_alpha=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", **{kind: {key: value}}
    )
    base = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    theirs = peft.get_peft_model(base, config).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    theirs.save_pretrained(tmp_path / "adapter")
    for policy in ("decoder", "hf"):
        ours = open_model(tmp_path / "adapter", tiny_model, policy=policy).policy()
        torch.testing.assert_close(our_logprobs(ours), their_logprobs(theirs), atol=TOLERANCE, rtol=0)
        assert ours.adapter is not None
        changed = {
            name.removeprefix("model.").removesuffix(".weight")
            for name, pair in ours.adapter.pairs.items()
            if (len(pair.a) == 3 if kind == "rank_pattern" else pair.scale == 16)
        }
        assert changed == matched


def untied(folder: Path, output: Path) -> Path:
    """The same model with an output matrix of its own, as the guide says."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.lm_head.weight = torch.nn.Parameter(model.model.embed_tokens.weight.detach().clone())
    model.config.tie_word_embeddings = False
    model.save_pretrained(output)
    return output


@pytest.mark.parametrize("target", ["embed_tokens", "lm_head"])
def test_an_adapter_on_a_tied_matrix_is_merged_rightly_once_the_two_are_apart(
    tiny_model: Path, tmp_path: Path, target: str
) -> None:
    """PEFT 0.21: merged as it is, the change goes to both matrices, and with ensure_weight_tying twice."""
    import peft

    def merged(base: Path, ensure: bool = False) -> tuple[Tensor, Tensor, Any]:
        """Logits before merging, the change of the matrix, and the merged model."""
        module = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        config = peft.LoraConfig(
            r=2, lora_alpha=4, target_modules=[target], ensure_weight_tying=ensure, task_type="CAUSAL_LM"
        )
        model = peft.get_peft_model(module, config).eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
            before = model(TOKENS[None]).logits[0]
            layers = (module.model.embed_tokens, module.lm_head)
            change = next(layer for layer in layers if hasattr(layer, "get_delta_weight")).get_delta_weight("default")
            if not ensure:
                model.save_pretrained(tmp_path / "adapter")
            return before, change, model.merge_and_unload()

    start = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32).lm_head.weight
    before, change, once = merged(tiny_model)
    for matrix in (once.model.embed_tokens.weight, once.lm_head.weight):
        torch.testing.assert_close(matrix - start, change, atol=1e-5, rtol=0)
    assert (once(TOKENS[None]).logits[0] - before).abs().max() > 0.1, "the trap is gone: take the warning out"
    _, change, twice = merged(tiny_model, ensure=True)
    torch.testing.assert_close(twice.lm_head.weight - start, 2 * change, atol=1e-5, rtol=0)
    with pytest.raises(ModelError, match=r"not supported; merge it with PEFT.*tie_word_embeddings.*give it two first"):
        open_model(tmp_path / "adapter", tiny_model).policy()

    before, _, whole = merged(untied(tiny_model, tmp_path / "untied"))
    whole.save_pretrained(tmp_path / "merged")
    for kind in ("decoder", "hf"):
        policy = open_model(tmp_path / "merged", policy=kind).policy()
        torch.testing.assert_close(policy.logits(TOKENS), before, atol=1e-4, rtol=0)

"""HFPolicy on tiny random models of many architectures: against plain passes of transformers, one sequence each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM

from assay.batching import pack
from assay.errors import ConfigError, ContextLengthError, ModelError
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.policies.hf import HFPolicy
from assay.policies.rows import MAX_LENGTH_RATIO, padded_rows
from assay.policies.tiny import write_tiny_causal_lm
from assay.policies.value import ValueModel
from assay.types import Batch, Sample

GQA = {"intermediate_size": 64, "num_key_value_heads": 2}
GEMMA2 = {
    **GQA,
    "head_dim": 8,
    "sliding_window": 4,
    "final_logit_softcapping": 2.0,
    "attn_logit_softcapping": 3.0,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {},  # learned absolute positions
    "gpt_neox": {"intermediate_size": 64},
    "phi": {"intermediate_size": 64},  # a bias after the output matrix
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 16, "max_position_embeddings": 64},  # positions begin at 2
    "bloom": {},  # ALiBi
    "falcon": {},
    "gemma2": GEMMA2,  # softcaps, windows
    "cohere": {"intermediate_size": 64, "logit_scale": 0.3},
    "granite": {"intermediate_size": 64, "logits_scaling": 3.0},
    "mixtral": {**GQA, "num_local_experts": 4},  # stored under other names than computed with
    "mamba": {"state_size": 4},
    "llama": GQA,
}
PLAIN_HEADS = {"gpt2", "gpt_neox", "opt", "bloom", "falcon", "mixtral", "mamba", "llama"}

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Folders of tiny models, each written once."""
    made: dict[str, Path] = {}

    def write(family: str) -> Path:
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            made[family] = write_tiny_causal_lm(folder, family, **FAMILIES[family])
        return made[family]

    return write


def samples() -> list[Sample]:
    """Two prompts of 7 and 3 tokens after an opening of 16 that both have; one answer of a single token, one with a gap
    that is not trained on."""
    generator = torch.Generator().manual_seed(1)

    def tokens(count: int) -> Tensor:
        return torch.randint(0, 250, (count,), generator=generator)

    opening = tokens(16)
    prompts = [torch.cat((opening, tokens(7))), torch.cat((opening, tokens(3)))]
    found = []
    for index, (prompt, length) in enumerate([(0, 5), (0, 1), (0, 9), (1, 6), (1, 12)]):
        token_ids = torch.cat((prompts[prompt], tokens(length)))
        mask = torch.arange(len(token_ids)) >= len(prompts[prompt])
        if length == 9:
            mask[26:28] = False
        zeros = torch.zeros(len(token_ids))
        found.append(
            Sample(group_id=prompt, member=index, token_ids=token_ids, loss_mask=mask, sampling_logprobs=zeros)
        )
    return found


def packed(share_prompts: bool = True) -> Batch:
    return pack(samples(), 1000, share_prompts=share_prompts)[0][0]


def plain(module: Any, temperature: float) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies of every trained-on token, one unpadded pass a sample."""
    logprobs, entropies = [], []
    for sample in samples():
        logits = module(input_ids=sample.token_ids[None], use_cache=False).logits[0].float() / temperature
        positions = sample.loss_mask.nonzero().squeeze(1)
        distribution = torch.distributions.Categorical(logits=logits[positions - 1])
        logprobs.append(distribution.log_prob(sample.token_ids[positions]))
        entropies.append(distribution.entropy())
    return torch.cat(logprobs), torch.cat(entropies)


def gradients(parameters: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in parameters if p.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-5 * largest, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("share_prompts", [True, False])
def test_equals_plain_passes_of_transformers(make: Make, family: str, share_prompts: bool) -> None:
    policy, batch = open_model(make(family), policy="hf").policy(), packed(share_prompts)
    assert policy.plain_head == (family in PLAIN_HEADS)
    output = policy.forward(batch, temperature=0.7, entropy_gradient=True)
    reference = AutoModelForCausalLM.from_pretrained(make(family), dtype=torch.float32).eval()
    logprobs, entropies = plain(reference, 0.7)
    torch.testing.assert_close(output.logprobs, logprobs, rtol=0, atol=1e-4)
    torch.testing.assert_close(output.entropy, entropies, rtol=0, atol=1e-4)
    upstream = torch.linspace(-1, 1, len(logprobs))
    (output.logprobs @ upstream + output.entropy.sum()).backward()
    (logprobs @ upstream + entropies.sum()).backward()
    assert_close(gradients(policy.named_parameters()), gradients(reference.named_parameters()))


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "mixtral"])
def test_what_is_saved_is_what_is_loaded(make: Make, family: str, tmp_path: Path) -> None:
    policy = open_model(make(family), policy="hf").policy()
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.01)
    policy.save(tmp_path / "saved")
    saved = open_model(tmp_path / "saved", policy="hf")
    again, read = saved.policy(), saved.weights()
    for (name, ours), (_, theirs) in zip(policy.weights(), again.weights(), strict=True):
        assert torch.equal(ours, theirs), name
        assert torch.equal(ours, read[name]), name
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / "saved" / name).read_bytes() == (make(family) / name).read_bytes()
    policy.save(tmp_path / "narrow", dtype=torch.bfloat16)
    assert json.loads((tmp_path / "narrow" / "config.json").read_text())["dtype"] == "bfloat16"
    assert {t.dtype for t in load_file(tmp_path / "narrow" / "model.safetensors").values()} == {torch.bfloat16}


def test_dropout_is_off(tmp_path: Path) -> None:
    folder = write_tiny_causal_lm(tmp_path, "gpt2", resid_pdrop=0.5, embd_pdrop=0.5, attn_pdrop=0.5)
    for checkpointing in (False, True):
        policy = open_model(folder, policy="hf").policy(gradient_checkpointing=checkpointing)
        first, second = policy.forward(packed()), policy.forward(packed())
        assert torch.equal(first.logprobs, second.logprobs)


def test_in_bf16_parameters_and_gradients_stay_fp32(make: Make) -> None:
    model = open_model(make("gpt2"), policy="hf")
    exact, rounded = model.policy(), model.policy(compute_dtype=torch.bfloat16)
    outputs = [policy.forward(packed()) for policy in (exact, rounded)]
    assert not torch.equal(outputs[0].logprobs, outputs[1].logprobs)
    torch.testing.assert_close(outputs[0].logprobs, outputs[1].logprobs, rtol=0, atol=0.1)
    outputs[1].logprobs.sum().backward()
    assert {p.grad.dtype for p in rounded.parameters() if p.grad is not None} == {torch.float32}


def kept_bytes(policy: DecoderPolicy | HFPolicy, batch: Batch) -> tuple[int, dict[str, Tensor]]:
    """Bytes kept for the backward pass, each storage once and parameters left out; and the gradients."""
    parameters = {p.untyped_storage().data_ptr() for p in policy.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        logprobs = policy.forward(batch).logprobs
    total = sum(kept.values())
    logprobs.sum().backward()
    return total, gradients(policy.named_parameters())


@pytest.mark.parametrize("kind", ["decoder", "hf"])
def test_gradient_checkpointing_gives_the_same_gradients_for_less_memory(tiny_model: Path, kind: Any) -> None:
    whole, grad = kept_bytes(open_model(tiny_model, policy=kind).policy(), packed())
    less, grad_again = kept_bytes(open_model(tiny_model, policy=kind).policy(gradient_checkpointing=True), packed())
    assert less < 0.5 * whole
    assert_close(grad_again, grad)


def test_checkpointing_works_where_the_head_is_computed_again(make: Make) -> None:
    model = open_model(make("gemma2"), policy="hf")
    exact, again = model.policy(), model.policy(gradient_checkpointing=True)
    for policy in (exact, again):
        policy.forward(packed()).logprobs.sum().backward()
    assert_close(gradients(again.named_parameters()), gradients(exact.named_parameters()))


def test_checkpointing_of_what_has_no_layers_to_checkpoint_is_refused(make: Make) -> None:
    module = open_model(make("gpt2"), policy="hf").policy().module
    module.transformer.h = torch.nn.ModuleList()
    with pytest.raises(ConfigError, match="gradient_checkpointing has no effect on GPT2LMHeadModel"):
        HFPolicy(module, gradient_checkpointing=True)


def test_rows_hold_every_prediction_once_and_little_padding() -> None:
    batch = packed()
    chunks = padded_rows(batch)
    assert sorted(torch.cat([rows.predictions for rows in chunks]).tolist()) == list(range(batch.num_predictions))
    by_hand = {tuple(sample.token_ids[:-1].tolist()) for sample in samples()}
    for rows in chunks:
        lengths = [int(rows.columns[rows.rows == row].max()) + 1 for row in range(len(rows.token_ids))]
        assert max(lengths) <= MAX_LENGTH_RATIO * min(lengths)
        for row, length in enumerate(lengths):
            assert tuple(rows.token_ids[row, :length].tolist()) in by_hand


def test_auto_is_the_decoder_where_it_reads_the_model(tiny_model: Path, make: Make) -> None:
    assert isinstance(open_model(tiny_model).policy(), DecoderPolicy)
    assert isinstance(open_model(tiny_model, policy="hf").policy(), HFPolicy)
    assert isinstance(open_model(make("gpt2")).policy(), HFPolicy)
    with pytest.raises(ModelError, match=r"'gpt2' is not supported.*model\.policy='hf'"):
        open_model(make("gpt2"), policy="decoder").policy()
    with pytest.raises(ConfigError, match="'vllm' is unknown"):
        open_model(tiny_model, policy="vllm")


def test_both_policies_compute_the_same(tiny_model: Path) -> None:
    ours, theirs = (open_model(tiny_model, policy=kind).policy().forward(packed()) for kind in ("decoder", "hf"))
    torch.testing.assert_close(ours.logprobs, theirs.logprobs, rtol=0, atol=1e-4)
    torch.testing.assert_close(ours.entropy, theirs.entropy, rtol=0, atol=1e-4)


def test_the_critic_has_a_trunk_of_either_kind(tiny_model: Path) -> None:
    values = []
    for kind in ("decoder", "hf"):
        model = ValueModel(open_model(tiny_model, policy=kind).policy())
        with torch.no_grad():
            model.value_head.fill_(0.1)
        values.append(model(packed()))
        values[-1].sum().backward()
        assert all(name.startswith("trunk.") or name == "value_head" for name, _ in model.named_parameters())
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-4)


def test_a_sequence_longer_than_the_context_is_refused(tmp_path: Path) -> None:
    policy = open_model(write_tiny_causal_lm(tmp_path, "gpt2", n_positions=12), policy="hf").policy()
    with pytest.raises(ContextLengthError, match="31 tokens does not fit the context of 12"):
        policy.forward(packed())


def test_scaled_positions_are_used_up_to_the_context_before_scaling(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0, "original_max_position_embeddings": 32}
    folder = write_tiny_causal_lm(tmp_path, "llama", **GQA, max_position_embeddings=128, rope_parameters=rope)
    assert open_model(folder, policy="hf").policy().max_context == 32


@pytest.fixture
def gpt2(make: Make, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(make("gpt2"), tmp_path / "gpt2"))


def change_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt9"}, "transformers has no model_type 'gpt9'; update transformers"),
        (
            {"model_type": "mine", "auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}},
            "code that comes with the model.*never run: trust_remote_code is not set",
        ),
        ({"model_type": "t5"}, "t5 is an encoder-decoder"),
        ({"model_type": "vit"}, "no causal language model for vit"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantised"),
        ({"n_embd": "many"}, "does not describe a gpt2 model"),
    ],
)
def test_models_that_cannot_be_trained_are_named(gpt2: Path, changes: dict[str, Any], message: str) -> None:
    change_config(gpt2, **changes)
    with pytest.raises(ModelError, match=f"(?s){message}"):
        open_model(gpt2).policy()


def test_an_encoder_is_no_causal_model(tmp_path: Path) -> None:
    folder = write_tiny_causal_lm(tmp_path, "bert", intermediate_size=64)
    with pytest.raises(ModelError, match=r"depends on tokens that come later.*no causal language model"):
        open_model(folder).policy()


def test_folders_without_what_is_needed_are_named(gpt2: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"no config\.json"):
        open_model(tmp_path / "empty")
    weights = load_file(gpt2 / "model.safetensors")
    save_file({n: t for n, t in weights.items() if "ln_f" not in n}, gpt2 / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"missing: transformer\.ln_f\.bias, transformer\.ln_f\.weight"):
        open_model(gpt2).policy()
    change_config(gpt2, n_inner=7)
    with pytest.raises(ModelError, match="cannot be read"):
        open_model(gpt2).policy()
    (gpt2 / "model.safetensors").rename(gpt2 / "pytorch_model.bin")
    with pytest.raises(ModelError, match="only safetensors are read, as a pickle can run code"):
        open_model(gpt2).policy()


def test_weights_that_do_not_fit_are_refused(make: Make) -> None:
    policy = open_model(make("gpt2"), policy="hf").policy()
    weights = dict(policy.weights())
    with pytest.raises(ModelError, match=r"1 tensors are missing, among them transformer\.ln_f\.bias"):
        policy.load_weights([(n, t) for n, t in weights.items() if n != "transformer.ln_f.bias"])
    with pytest.raises(ModelError, match="'other' is no tensor of GPT2LMHeadModel"):
        policy.load_weights([("other", torch.zeros(1))])
    with pytest.raises(ModelError, match=r"has shape \[1\], not \[32\]"):
        policy.load_weights([("transformer.ln_f.bias", torch.zeros(1))])

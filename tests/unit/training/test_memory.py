from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest
import torch

from assay.config import validate
from assay.errors import ConfigError
from assay.launch import build_run
from assay.models import open_model
from assay.policies import DecoderConfig
from assay.policies.shape import ModelShape
from assay.policies.tiny import write_tiny_causal_lm
from assay.recipe import RunConfig
from assay.training import check_memory, device_memory_bytes, memory_estimate

SMOLLM2 = {
    "model_type": "llama",
    "vocab_size": 49152,
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
}


def rows(dtype: torch.dtype, train: bool = True) -> dict[str, int]:
    config = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        config, compute_dtype=dtype, tokens_per_microbatch=1000, num_slots=10, slot_tokens=100, train=train
    )
    return {row.name: row.num_bytes for row in estimate.rows}


def test_by_hand_in_bf16():
    # Embedding 49152 x 576. A layer: 576 x (576 + 192 + 192 + 576) + 3 x 576 x 1536 + 2 x 576. The last norm: 576.
    num_parameters = 28_311_552 + 30 * (884_736 + 2_654_208 + 1_152) + 576
    assert num_parameters == 134_515_008
    # Bytes a token and layer: norms 2 (4 + 2 x 2) 576; attention 2 x 576, and in fp32 2 x 4 (576 + 192);
    # MLP 4 x 2 x 1536.
    activations = 1000 * (30 * (9_216 + 7_296 + 12_288) + 2 * 576)
    assert rows(torch.bfloat16) == {
        "weights": 4 * num_parameters,
        "serving view": 2 * num_parameters,
        "key-value cache": 10 * 100 * 30 * 2 * 3 * 64 * 2,
        "gradients": 4 * num_parameters,
        "optimizer": 8 * num_parameters,
        "cast weights": 2 * num_parameters,
        "activations": activations,
        "logits": 1000 * 49_152 * 2 + 3 * 128 * 49_152 * 4,
        "process": 520_000_000,
        # The gradient of the embedding in bf16 and twice in fp32; 12 % of what all layers keep; freed blocks.
        "temporaries": 10 * 49_152 * 576 + int(0.12 * 1000 * 30 * (9_216 + 7_296 + 12_288)) + 300_000_000,
    }


@pytest.mark.parametrize(
    ("kind", "dtype", "checkpointing", "num_tokens", "peak"),
    [
        ("decoder", torch.float32, False, 506, 4.38e9),
        ("decoder", torch.float32, False, 1011, 4.96e9),
        ("hf", torch.bfloat16, False, 4064, 10.30e9),
        ("hf", torch.bfloat16, True, 4064, 5.84e9),
        ("hf", torch.bfloat16, True, 1016, 3.84e9),
    ],
)
def test_measured_peaks_of_a_process_are_within_the_estimate(kind, dtype, checkpointing, num_tokens, peak):
    # The table of docs/guides/03-your-model.md.
    shape = dataclasses.replace(ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2)), kind=kind)
    estimate = memory_estimate(
        shape,
        compute_dtype=dtype,
        tokens_per_microbatch=num_tokens,
        num_slots=0,
        slot_tokens=0,
        gradient_checkpointing=checkpointing,
    )
    assert peak <= estimate.total_bytes <= 1.2 * peak


@pytest.mark.parametrize(("num_tokens", "peak"), [(384, 3.68e9), (3072, 6.84e9)])
def test_a_fit_of_a_reward_model_has_no_engine_and_no_logits(num_tokens, peak):
    """Peaks of updates on 16 pairs of 64 + 64 + 64 tokens, two pairs or all at once, fp32, AVX2."""
    estimate = memory_estimate(
        ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2)),
        compute_dtype=torch.float32,
        tokens_per_microbatch=num_tokens,
        num_slots=32,
        slot_tokens=256,
        samples=False,
        has_logits=False,
    )
    assert {row.name for row in estimate.rows}.isdisjoint({"serving view", "key-value cache", "logits"})
    assert peak <= estimate.total_bytes <= 1.1 * peak


def test_a_gpu_holds_no_interpreter():
    shape = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        shape, compute_dtype=torch.bfloat16, tokens_per_microbatch=1000, num_slots=1, slot_tokens=1, device="cuda"
    )
    assert "process" not in {row.name for row in estimate.rows}


def test_fp32_doubles_what_is_computed_in():
    narrow, wide = rows(torch.bfloat16), rows(torch.float32)
    for name in ("serving view", "key-value cache"):
        assert wide[name] == 2 * narrow[name]
    # Queries, keys and values, and gate and up: the others are used as they are.
    assert wide["cast weights"] == 4 * 30 * 576 * (576 + 2 * 192 + 2 * 1536)
    assert wide["optimizer"] == narrow["optimizer"]


@pytest.mark.parametrize("keeps", [False, True])
def test_sampling_and_updating_take_turns_unless_groups_stay_under_way(keeps):
    shape = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        shape,
        compute_dtype=torch.bfloat16,
        tokens_per_microbatch=100,
        num_slots=1000,
        slot_tokens=1000,
        num_kept=10,
        keeps_cache=keeps,
    )
    of_cache = 1000 * 1000 * 23_040 + 10 * 1000 * 23_040
    assert estimate.total_bytes > of_cache
    assert (sum(row.num_bytes for row in estimate.rows) == estimate.total_bytes) == keeps


def test_evaluation_needs_no_gradients():
    assert set(rows(torch.bfloat16, train=False)) == {"weights", "serving view", "key-value cache"}


def test_the_table_ends_with_the_total():
    config = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        config, compute_dtype=torch.bfloat16, tokens_per_microbatch=1000, num_slots=10, slot_tokens=100
    )
    of_engine = sum(row.num_bytes for row in estimate.rows if row.name in ("key-value cache", "serving view"))
    assert estimate.total_bytes == sum(row.num_bytes for row in estimate.rows) - of_engine, "gone in an update"
    assert len(estimate.rows) == 10
    lines = estimate.lines()
    assert len(lines) == 11
    assert lines[-1].startswith("total")
    assert f"{estimate.total_bytes / 1e6:,.1f} MB" in lines[-1]


@pytest.mark.parametrize("limit", [1, 10])
def test_kept_probabilities_are_bounded(limit):
    config = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    sizes = {
        row.name: row.num_bytes
        for row in memory_estimate(
            config, compute_dtype=torch.bfloat16, tokens_per_microbatch=limit * 10_000, num_slots=1, slot_tokens=1
        ).rows
    }
    assert sizes["logits"] == 2**27 * 2 + 3 * 128 * 49_152 * 4


def test_checkpointing_keeps_layer_inputs_and_one_layer():
    shape = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    sizes = {
        row.name: row.num_bytes
        for row in memory_estimate(
            shape,
            compute_dtype=torch.bfloat16,
            tokens_per_microbatch=1000,
            num_slots=1,
            slot_tokens=1,
            gradient_checkpointing=True,
        ).rows
    }
    assert sizes["activations"] == 1000 * (30 * 4 * 576 + (9_216 + 7_296 + 12_288) + 2 * 576)


def test_adapters_have_few_gradients():
    shape = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        shape,
        compute_dtype=torch.float32,
        tokens_per_microbatch=1,
        num_slots=1,
        slot_tokens=1,
        num_trainable=1000,
    )
    sizes = {row.name: row.num_bytes for row in estimate.rows}
    assert (sizes["gradients"], sizes["optimizer"]) == (4000, 8000)
    # Base and, while sampling, the serving view, which is more than gradients; the adapter itself and two moments.
    assert estimate.certain_bytes == 2 * 4 * shape.num_parameters + 12_000


def test_more_than_the_device_has_is_refused_with_numbers_and_remedies():
    shape = dataclasses.replace(
        ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2)), num_parameters=10_000_000_000_000
    )
    estimate = memory_estimate(shape, compute_dtype=torch.bfloat16, tokens_per_microbatch=1, num_slots=1, slot_tokens=1)
    with pytest.raises(ConfigError, match=r"at least 160,000\.0 GB \(weights 40,000\.0 GB.*LoRA.*checkpointing"):
        check_memory(estimate, "cpu")


def test_a_container_limits_memory(tmp_path):
    installed = device_memory_bytes("cpu", tmp_path)
    (tmp_path / "memory.max").write_text("max\n")
    assert device_memory_bytes("cpu", tmp_path) == installed
    (tmp_path / "memory.max").write_text("1000000\n")
    assert device_memory_bytes("cpu", tmp_path) == 1_000_000
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("2000\n")
    assert device_memory_bytes("cpu", tmp_path) == 2000


def test_a_run_that_cannot_fit_is_refused_before_its_folder_is_made(tiny_model, tmp_path, monkeypatch):
    config = validate(RunConfig, {"model": {"source": str(tiny_model), "device": "cpu", "compute_dtype": "fp32"}})
    monkeypatch.setattr("assay.training.memory.device_memory_bytes", lambda device: 1000)
    with pytest.raises(ConfigError, match=r"cpu has 0\.0 GB"):
        build_run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("family", "overrides", "expected"),
    [
        ("gpt2", {}, {"intermediate_size": 128, "num_kv_heads": 4, "max_context": 1024}),
        (
            "mixtral",
            {"num_key_value_heads": 2, "intermediate_size": 48, "num_local_experts": 4},
            {"intermediate_size": 96},
        ),
        ("mamba", {"state_size": 4}, {"num_query_heads": 4}),
    ],
)
def test_shapes_of_other_architectures(tmp_path, family, overrides, expected):
    folder = write_tiny_causal_lm(tmp_path, family, **overrides)
    shape = open_model(folder).shape
    assert shape.kind == "hf"
    assert shape.num_parameters == sum(p.numel() for p in open_model(folder).policy().parameters())
    assert (shape.num_layers, shape.hidden_size) == (2, 32)
    for name, value in expected.items():
        assert getattr(shape, name) == value, name


@pytest.mark.skipif(sys.platform != "linux", reason="needs glibc and /proc")
def test_freed_memory_is_given_back_where_more_is_held_than_needed():
    code = """
import torch
from assay.training import keep_freed_memory, tidy_memory
assert keep_freed_memory()
before = tidy_memory(0, "cpu")
blocks = [torch.ones(2**18 + 64 * i) for i in range(400)]
kept = blocks[::40]
del blocks
held = tidy_memory(0, "cpu")
assert held > before + 300e6, "nothing is given back where nothing is expected"
assert tidy_memory(held, "cpu") > before + 300e6
assert tidy_memory(held // 2, "cpu") > before + 300e6, "what was held before"
assert tidy_memory(0, "cpu") < before + 100e6
assert all(bool((block == 1).all()) for block in kept)
"""
    subprocess.run([sys.executable, "-c", code], check=True)

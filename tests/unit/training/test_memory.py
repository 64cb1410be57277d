from __future__ import annotations

import pytest
import torch

from assay.policies import DecoderConfig
from assay.policies.shape import ModelShape
from assay.training import memory_estimate

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
    # Bytes a token and layer: norms 2 (4 + 2 x 2) 576; attention 5 x 2 x 576; MLP 4 x 2 x 1536.
    activations = 1000 * (30 * (9_216 + 5_760 + 12_288) + 2 * 576)
    assert rows(torch.bfloat16) == {
        "weights": 4 * num_parameters,
        "serving view": 2 * num_parameters,
        "key-value cache": 10 * 100 * 30 * 2 * 3 * 64 * 2,
        "gradients": 4 * num_parameters,
        "optimizer": 8 * num_parameters,
        "cast weights": 2 * num_parameters,
        "activations": activations,
        "logits": 1000 * 49_152 * 2 + 3 * 128 * 49_152 * 4,
    }


def test_fp32_doubles_what_is_computed_in():
    narrow, wide = rows(torch.bfloat16), rows(torch.float32)
    for name in ("serving view", "key-value cache", "cast weights"):
        assert wide[name] == 2 * narrow[name]
    assert wide["optimizer"] == narrow["optimizer"]


def test_evaluation_needs_no_gradients():
    assert set(rows(torch.bfloat16, train=False)) == {"weights", "serving view", "key-value cache"}


def test_the_table_ends_with_the_total():
    config = ModelShape.of_decoder(DecoderConfig.from_dict(SMOLLM2))
    estimate = memory_estimate(
        config, compute_dtype=torch.bfloat16, tokens_per_microbatch=1000, num_slots=10, slot_tokens=100
    )
    assert estimate.total_bytes == sum(row.num_bytes for row in estimate.rows)
    lines = estimate.lines()
    assert len(lines) == 9
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

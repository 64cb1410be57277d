from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.errors import ModelError
from assay.policies.config import DecoderConfig

RAW = {
    "model_type": "llama",
    "vocab_size": 10,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
}


def read(**changes: Any) -> DecoderConfig:
    return DecoderConfig.from_dict({**RAW, **changes})


def test_absent_keys_take_the_defaults_of_the_family() -> None:
    assert (read().num_kv_heads, read().head_size, read().max_context, read().rope.theta) == (4, 8, 2048, 10_000.0)
    smollm3 = read(model_type="smollm3")
    assert (smollm3.num_kv_heads, smollm3.tie_embeddings, smollm3.rope.theta) == (4, True, 2_000_000.0)
    assert smollm3.rope_layers == (True, True, True, False)
    qwen3 = read(model_type="qwen3", num_key_value_heads=2)
    assert (qwen3.head_size, qwen3.qk_norm, qwen3.attention_bias) == (128, True, False)
    assert read(model_type="mistral", num_key_value_heads=None).windows == (4096,) * 4


def test_biases_are_where_each_family_has_them() -> None:
    def biases(**changes: Any) -> tuple[bool, bool, bool]:
        config = read(**changes, num_key_value_heads=4)
        return config.attention_bias, config.output_bias, config.mlp_bias

    assert biases() == (False, False, False)
    assert biases(attention_bias=True, mlp_bias=True) == (True, True, True)
    assert biases(model_type="qwen2") == (True, False, False)
    assert biases(model_type="qwen3", attention_bias=True) == (True, True, False)
    assert biases(model_type="mistral") == (False, False, False)


def test_windows_follow_layer_types_or_the_first_window_layer() -> None:
    qwen = {"model_type": "qwen2", "num_key_value_heads": 4, "sliding_window": 9}
    assert read(**qwen).windows == (None,) * 4, "a window is without effect unless use_sliding_window says so"
    assert read(**qwen, use_sliding_window=True, max_window_layers=2).windows == (None, None, 9, 9)
    types = ["sliding_attention", "full_attention"] * 2
    assert read(**qwen, use_sliding_window=True, layer_types=types).windows == (9, None, 9, None)


def test_both_spellings_of_rope_are_the_same() -> None:
    old = read(rope_theta=5e5, rope_scaling={"type": "linear", "factor": 2})
    new = read(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 5e5})
    assert old.rope == new.rope
    assert (new.rope.rope_type, new.rope.theta, new.rope.factor) == ("linear", 5e5, 2.0)


def test_yarn_extends_the_context() -> None:
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1000}
    assert read(max_position_embeddings=1000, rope_scaling=yarn).max_context == 4000
    assert read(max_position_embeddings=4096, rope_scaling=yarn).max_context == 4096


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "gpt2"}, r"model_type 'gpt2' is not supported.*llama, smollm3, qwen2, qwen3, mistral"),
        ({"model_type": None}, "model_type None is not supported"),
        ({"rope_scaling": {"rope_type": "longrope"}}, r"rope type 'longrope' is not supported.*llama3, yarn"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "needs low_freq_factor, high_freq_factor"),
        ({"rope_parameters": {"full_attention": {"rope_type": "default"}}}, "one set of rope parameters"),
        ({"partial_rotary_factor": 0.5}, "rotates whole heads"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ({"quantization_config": {"quant_method": "awq"}}, "quantised"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be a positive whole number, got 0"),
        ({"vocab_size": "many"}, "vocab_size must be a positive whole number, got 'many'"),
        ({"hidden_size": None}, "hidden_size must be"),
        ({"num_key_value_heads": 3}, "4 query heads cannot share 3 key-value heads"),
        (
            {"model_type": "qwen3", "num_key_value_heads": 4, "use_sliding_window": True, "layer_types": ["chunked"]},
            "layer_types",
        ),
        ({"model_type": "smollm3", "no_rope_layers": [1]}, "no_rope_layers has 1 entries for 4 layers"),
    ],
)
def test_what_the_decoder_does_not_compute_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read(**changes)


def test_folders_without_a_readable_config_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json in"):
        DecoderConfig.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        DecoderConfig.from_folder(tmp_path)
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="not a JSON object"):
        DecoderConfig.from_folder(tmp_path)

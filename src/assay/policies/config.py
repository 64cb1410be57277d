"""The shape of a decoder, read from the config.json of a Hugging Face checkpoint.

Each family's defaults are those of its transformers configuration class, because a config.json may leave a key out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assay.errors import ModelError

_DEFAULTS: dict[str, dict[str, Any]] = {
    "llama": {"num_key_value_heads": None, "max_position_embeddings": 2048},
    "smollm3": {
        "num_key_value_heads": 4,
        "max_position_embeddings": 32768,
        "rope_theta": 2_000_000.0,
        "tie_word_embeddings": True,
    },
    "qwen2": {"num_key_value_heads": 32, "max_position_embeddings": 32768, "sliding_window": 4096},
    "qwen3": {"num_key_value_heads": 32, "max_position_embeddings": 32768, "sliding_window": 4096, "head_dim": 128},
    "mistral": {"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096},
}
_ROPE_TYPES: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "yarn": ("factor",),
}
"""Supported rope types, each with the settings it cannot do without."""

SUPPORTED_MODEL_TYPES = tuple(_DEFAULTS)
SUPPORTED_ROPE_TYPES = tuple(_ROPE_TYPES)


@dataclass(frozen=True)
class RopeConfig:
    """Rotary position embedding, from `rope_parameters` or the older `rope_theta` and `rope_scaling`."""

    rope_type: str
    """Name of the rope type, one of SUPPORTED_ROPE_TYPES."""
    theta: float
    """Base of the wavelengths."""
    factor: float = 1.0
    """Ratio of the scaled context length to the original one."""
    original_context: int = 0
    """Tokens of the context before scaling."""
    low_frequency_factor: float = 1.0
    """llama3: wavelengths above original_context / this are divided by `factor`."""
    high_frequency_factor: float = 4.0
    """llama3: wavelengths below original_context / this stay."""
    beta_fast: float = 32.0
    """yarn: dimensions that turn at least this often within the original context stay."""
    beta_slow: float = 1.0
    """yarn: dimensions that turn at most this often are interpolated."""
    truncate: bool = True
    """yarn: whether the bounds of the ramp between the two are rounded outward."""
    attention_factor: float | None = None
    """yarn: scale of cos and sin; None: derived from `factor` and the mscales."""
    mscale: float | None = None
    mscale_all_dim: float | None = None


@dataclass(frozen=True)
class DecoderConfig:
    """The shape of a decoder of the Llama family."""

    model_type: str
    """"llama" (SmolLM2 as well), "smollm3", "qwen2", "qwen3" or "mistral"."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_query_heads: int
    num_kv_heads: int
    head_size: int
    """Size of a head; may differ from hidden_size / num_query_heads."""
    norm_epsilon: float
    max_context: int
    """Tokens of the longest sequence that the checkpoint states."""
    tie_embeddings: bool
    """The output matrix is the embedding matrix."""
    attention_bias: bool
    """True where the query, key and value products have biases."""
    output_bias: bool
    """True where the attention's output product has a bias."""
    mlp_bias: bool
    qk_norm: bool
    """True where each query and key head is normed (Qwen3)."""
    windows: tuple[int | None, ...]
    """[num_layers] a token sees itself and the window - 1 tokens before it; None: all before it."""
    rope_layers: tuple[bool, ...]
    """[num_layers] whether positions are embedded; False in SmolLM3's NoPE layers."""
    rope: RopeConfig
    initializer_range: float
    """Standard deviation of random initial weights."""
    raw: dict[str, Any]
    """The config.json."""

    def untied(self) -> DecoderConfig:
        """The same with an output matrix of its own."""
        return replace(self, tie_embeddings=False, raw={**self.raw, "tie_word_embeddings": False})

    @classmethod
    def from_folder(cls, folder: Path) -> DecoderConfig:
        """Reads `folder`/config.json.

        Raises:
            ModelError: there is none, it is not JSON, or it describes what this decoder is not.
        """
        return cls.from_dict(read_raw_config(folder), name=str(Path(folder) / "config.json"))

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], name: str = "config.json") -> DecoderConfig:
        """Reads the contents of a config.json; `name` says in errors where they come from.

        Raises:
            ModelError: a key is missing, or the model is not one this decoder computes.
        """
        model_type = raw.get("model_type")
        if model_type not in _DEFAULTS:
            raise ModelError(
                f"{name}: model_type {model_type!r} is not supported; the decoder reads "
                f"{', '.join(SUPPORTED_MODEL_TYPES)}"
            )
        settings = {**_DEFAULTS[model_type], **raw}
        _reject_unsupported(settings, name)

        def count(key: str, default: int | None = None) -> int:
            value = settings.get(key)
            value = default if value is None else value
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ModelError(f"{name}: {key} must be a positive whole number, got {value!r}")
            return value

        num_layers, hidden_size = count("num_hidden_layers"), count("hidden_size")
        num_query_heads = count("num_attention_heads")
        num_kv_heads = count("num_key_value_heads", default=num_query_heads)
        head_size = count("head_dim", default=hidden_size // num_query_heads)
        if num_query_heads % num_kv_heads or head_size % 2:
            raise ModelError(
                f"{name}: {num_query_heads} query heads cannot share {num_kv_heads} key-value heads, or the head size "
                f"{head_size} is odd"
            )
        bias = bool(settings.get("attention_bias", False)) and model_type != "mistral"
        max_context = count("max_position_embeddings")
        rope = _rope(settings, max_context, name)
        if rope.rope_type == "yarn":
            max_context = max(max_context, int(rope.factor * rope.original_context))
        return cls(
            model_type=model_type,
            vocab_size=count("vocab_size"),
            hidden_size=hidden_size,
            intermediate_size=count("intermediate_size"),
            num_layers=num_layers,
            num_query_heads=num_query_heads,
            num_kv_heads=num_kv_heads,
            head_size=head_size,
            norm_epsilon=float(settings.get("rms_norm_eps", 1e-6)),
            max_context=max_context,
            tie_embeddings=bool(settings.get("tie_word_embeddings", False)),
            attention_bias=bias or model_type == "qwen2",
            output_bias=bias and model_type != "qwen2",
            mlp_bias=bool(settings.get("mlp_bias", False)) and model_type in ("llama", "smollm3"),
            qk_norm=model_type == "qwen3",
            windows=_windows(settings, num_layers, name),
            rope_layers=_rope_layers(settings, num_layers, name),
            rope=rope,
            initializer_range=float(settings.get("initializer_range", 0.02)),
            raw=dict(raw),
        )


def read_raw_config(folder: Path) -> dict[str, Any]:
    """Return `folder`/config.json as a dictionary.

    Raises:
        ModelError: there is none, or it is not a JSON object.
    """
    path = Path(folder) / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"no config.json in {folder}; a model is a Hugging Face folder, a hub id, or `default`"
        ) from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ModelError(f"{path} is not a JSON object")
    return raw


def _reject_unsupported(settings: Mapping[str, Any], name: str) -> None:
    """Refuse what the tensors' names would not show: another activation, quantised weights, half-rotated heads."""
    activation = settings.get("hidden_act", "silu")
    if activation not in ("silu", "swish"):
        raise ModelError(f"{name}: hidden_act {activation!r} is not supported; the decoder computes silu")
    if settings.get("quantization_config"):
        raise ModelError(f"{name}: the weights are quantised; only fp32, bf16 and fp16 weights can be trained")


def _rope(settings: Mapping[str, Any], max_context: int, name: str) -> RopeConfig:
    nested = settings.get("rope_scaling") or settings.get("rope_parameters") or {}
    if not isinstance(nested, dict) or any(isinstance(value, dict) for value in nested.values()):
        raise ModelError(f"{name}: one set of rope parameters for all layers is supported, got {nested!r}")
    rope_type = nested.get("rope_type") or nested.get("type") or "default"
    if rope_type not in _ROPE_TYPES:
        raise ModelError(
            f"{name}: rope type {rope_type!r} is not supported; the decoder computes {', '.join(SUPPORTED_ROPE_TYPES)}"
        )
    if missing := [key for key in _ROPE_TYPES[rope_type] if nested.get(key) is None]:
        raise ModelError(f"{name}: rope type {rope_type!r} needs {', '.join(missing)}")
    partial = nested.get("partial_rotary_factor", settings.get("partial_rotary_factor"))
    if partial is not None and partial != 1.0:
        raise ModelError(f"{name}: partial_rotary_factor {partial} is not supported; the decoder rotates whole heads")
    optional = {
        ours: float(nested[theirs])
        for ours, theirs in (
            ("factor", "factor"),
            ("low_frequency_factor", "low_freq_factor"),
            ("high_frequency_factor", "high_freq_factor"),
            ("beta_fast", "beta_fast"),
            ("beta_slow", "beta_slow"),
            ("attention_factor", "attention_factor"),
            ("mscale", "mscale"),
            ("mscale_all_dim", "mscale_all_dim"),
        )
        if nested.get(theirs) is not None
    }
    # transformers lets the key outside the rope parameters win, and ignores both for the other types.
    key = "original_max_position_embeddings"
    original = (settings.get(key) or nested.get(key)) if rope_type in ("llama3", "yarn") else None
    return RopeConfig(
        rope_type=rope_type,
        theta=float(nested.get("rope_theta") or settings.get("rope_theta") or 10_000.0),
        original_context=int(original or max_context),
        truncate=bool(nested.get("truncate", True)),
        **optional,
    )


def _windows(settings: Mapping[str, Any], num_layers: int, name: str) -> tuple[int | None, ...]:
    """The sliding window of each layer. Mistral has one everywhere; the others where their layer types say so."""
    model_type, window = settings["model_type"], settings.get("sliding_window")
    if model_type == "mistral":
        return (window,) * num_layers
    if model_type == "llama" or window is None or not settings.get("use_sliding_window", False):
        return (None,) * num_layers
    layer_types = settings.get("layer_types")
    if layer_types is None and model_type == "smollm3":
        rotated = _rope_layers(settings, num_layers, name)
        layer_types = ["full_attention" if has_rope else "sliding_attention" for has_rope in rotated]
    elif layer_types is None:
        first = settings.get("max_window_layers", 28)
        layer_types = ["sliding_attention" if layer >= first else "full_attention" for layer in range(num_layers)]
    unknown = set(layer_types) - {"full_attention", "sliding_attention"}
    if unknown or len(layer_types) != num_layers:
        raise ModelError(
            f"{name}: layer_types must name full_attention or sliding_attention for each of {num_layers} layers, "
            f"got {layer_types!r}"
        )
    return tuple(window if layer_type == "sliding_attention" else None for layer_type in layer_types)


def _rope_layers(settings: Mapping[str, Any], num_layers: int, name: str) -> tuple[bool, ...]:
    """Return, for each layer, whether it rotates. In SmolLM3 1 means that a layer does, whatever the key's name
    suggests."""
    if settings["model_type"] != "smollm3":
        return (True,) * num_layers
    rotated = settings.get("no_rope_layers")
    if rotated is None:
        interval = settings.get("no_rope_layer_interval", 4)
        rotated = [(layer + 1) % interval != 0 for layer in range(num_layers)]
    if len(rotated) < num_layers:
        raise ModelError(f"{name}: no_rope_layers has {len(rotated)} entries for {num_layers} layers")
    return tuple(map(bool, rotated[:num_layers]))

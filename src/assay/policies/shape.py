"""The sizes of a model, read from config.json and the headers of its weight files: nothing is loaded."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from assay.errors import ModelError
from assay.policies.causal_lm import context_limit
from assay.policies.config import DecoderConfig
from assay.policies.folder import weight_files
from assay.policies.layers import HEAD, weight_shapes

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a model that its memory depends on."""

    kind: str
    """Name of the family that computes it."""
    num_parameters: int
    num_layers: int
    hidden_size: int
    intermediate_size: int
    """Intermediate size of the MLP; of a mixture of experts, the sizes that one token goes through together."""
    vocab_size: int
    num_query_heads: int
    num_kv_heads: int
    head_size: int
    max_context: int

    @classmethod
    def of_decoder(cls, config: DecoderConfig) -> ModelShape:
        return cls(
            kind="decoder",
            num_parameters=sum(math.prod(shape) for shape in weight_shapes(config).values()),
            num_layers=config.num_layers,
            hidden_size=config.hidden_size,
            intermediate_size=config.intermediate_size,
            vocab_size=config.vocab_size,
            num_query_heads=config.num_query_heads,
            num_kv_heads=config.num_kv_heads,
            head_size=config.head_size,
            max_context=config.max_context,
        )

    @classmethod
    def of_transformers(cls, config: PretrainedConfig, num_parameters: int) -> ModelShape:
        """Read the shape from a configuration of transformers, whose names for sizes differ between architectures.

        Args:
            num_parameters: counted in the files of the weights.
        """
        text = config.get_text_config(decoder=True)

        def size(*names: str, default: int) -> int:
            found = (getattr(text, name, None) for name in names)
            return next((value for value in found if isinstance(value, int) and value > 0), default)

        # State-space models have no heads; they keep a state, and one head of the hidden size stands for it.
        hidden = size("hidden_size", "n_embd", "d_model", default=1)
        heads = size("num_attention_heads", "n_heads", default=1)
        return cls(
            kind="hf",
            num_parameters=num_parameters,
            num_layers=size("num_hidden_layers", "n_layers", "num_layers", default=1),
            hidden_size=hidden,
            intermediate_size=_intermediate_size(text, hidden),
            vocab_size=size("vocab_size", default=1),
            num_query_heads=heads,
            num_kv_heads=size("num_key_value_heads", "num_kv_heads", default=heads),
            head_size=size("head_dim", default=max(1, hidden // heads)),
            max_context=context_limit(config),
        )


def count_parameters(folder: Path, *, tied: bool) -> int:
    """Numbers in the weight files of a folder, by their headers; an output matrix that is tied is not counted again.

    Raises:
        ModelError: no weights, or a file that cannot be read.
    """
    count = 0
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="pt") as file:
                names = [name for name in file.keys() if not (tied and name == HEAD)]  # noqa: SIM118
                count += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
        except (SafetensorError, OSError) as error:
            raise ModelError(f"{path} cannot be read ({error}); fetch the model again") from None
    return count


def _intermediate_size(text: PretrainedConfig, hidden: int) -> int:
    def size(*names: str) -> int:
        found = (getattr(text, name, None) for name in names)
        return next((value for value in found if isinstance(value, int) and value > 0), 0)

    dense = size("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size") or 4 * hidden
    if experts := size("num_experts_per_tok"):
        return experts * (size("moe_intermediate_size") or dense) + size("shared_expert_intermediate_size")
    return dense

"""The engine that samples with 8-bit weights: `engine = "int8"` in a recipe. See docs/concepts/int8.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.engines.engine import Engine, EngineSettings
from assay.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from assay.policies.policy import Policy

CALIBRATION_TEXT = (
    "The committee met on Tuesday to discuss the budget, and agreed that 37 of 120 items could wait until spring.\n"
    "def mean(values):\n    return sum(values) / len(values)\n"
    "What is 27 + 86? 27 + 86 = 113. If x = 4 and y = 9, then x * y - 12 = 24.\n"
    "user: Can you give me a recipe for soup?\nassistant: Of course! First, chop two onions and a carrot.\n"
)
"""Text that shows which columns of a model's inputs are loud."""
MAX_CALIBRATION_TOKENS = 128


class Int8(EngineSettings):
    """Sampling in training with 8-bit weights, and activations quantised row by row, on a CPU: faster where integer
    products are faster than the compute dtype's, and from slightly other probabilities than those that are trained, so
    that it asks for a correction. Evaluations of the run sample with it too; `assay eval` does not."""

    name: Literal["int8"] = "int8"
    loud_columns: int | None = pydantic.Field(default=None, ge=1, le=4096)
    """Columns of each layer's inputs, the loudest, that are multiplied in the compute dtype; None for 32, or 64 where
    the processor's products leave weights 7 bits."""

    needs_correction: ClassVar[bool] = True

    def cautions(self, dtype: torch.dtype) -> tuple[str, ...]:
        """See `EngineSettings.cautions`: integer products that are not faster here have nothing to give."""
        from assay.engines.local.int8 import times_as_fast

        times = times_as_fast(dtype)
        if times >= 1:
            return ()
        return (
            f"the 8-bit products of engine 'int8' are {times:.2g} times as fast as {str(dtype).removeprefix('torch.')} "
            "ones on this machine: it samples slower, leave the engine out",
        )

    def open(
        self,
        policy: Policy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> Engine:
        """An engine that samples with a policy's weights, quantised at each publish.

        Raises:
            ConfigError: a model of transformers, a GPU, or sizes that 8-bit products do not fit.
        """
        from assay.engines.local import LocalEngine
        from assay.policies import DecoderPolicy

        if not isinstance(policy, DecoderPolicy):
            raise ConfigError(
                "engine 'int8' is for the decoder of our own, and this model is computed by transformers: leave the "
                "engine out, or use a model of the Llama family with model.policy='decoder'"
            )
        if policy.device.type != "cpu":
            raise ConfigError(f"engine 'int8' samples on a CPU, and the model is on {policy.device}: leave it out")
        return LocalEngine(
            policy.config,
            policy.weights(),
            stop_token_ids=stop_token_ids,
            decode=decode,
            dtype=dtype,
            num_slots=num_slots,
            version=version,
            fp32_head=policy.fp32_head,
            int8=(calibration_tokens(policy.tokenizer_files, policy.config.vocab_size), self.loud_columns),
        )


def calibration_tokens(tokenizer_files: Mapping[str, bytes], vocab_size: int) -> list[int]:
    """Token ids of the text by a model's tokenizer, or where its files hold none that is read here, words from all over
    the vocabulary."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(tokenizer_files["tokenizer.json"].decode())
        found = tokenizer.encode(CALIBRATION_TEXT, add_special_tokens=False).ids
    except Exception:  # tokenizers raises plain exceptions
        found = range(0, vocab_size, max(1, vocab_size // MAX_CALIBRATION_TOKENS))
    return [token for token in found if token < vocab_size][:MAX_CALIBRATION_TOKENS]

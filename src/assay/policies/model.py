"""The policy that is trained: a decoder over packed batches, fp32 parameters under their Hugging Face names.

Shape letters: T packed tokens, N predictions, H hidden size, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from assay.errors import ContextLengthError, ModelError
from assay.policies.attention import PackedAttention
from assay.policies.config import DecoderConfig
from assay.policies.decoder import decoder_layer, rms_norm
from assay.policies.folder import read_tokenizer_files, read_weights, write_folder
from assay.policies.head import logits_of, predict
from assay.policies.layers import EMBEDDING, FINAL_NORM, head_name, layer_weights, weight_names
from assay.policies.policy import PolicyOutput
from assay.policies.rope import Rotary
from assay.types import Batch


class DecoderPolicy(nn.Module):
    """A decoder of the Llama family to train; implements `Policy`.

    Parameters are fp32 and named as in Hugging Face checkpoints. A forward pass casts them to the compute dtype, so
    their gradients arrive in fp32.
    """

    shares_prompts = True
    """A prompt that several samples share is computed once."""

    def __init__(
        self,
        config: DecoderConfig,
        weights: Mapping[str, Tensor],
        *,
        compute_dtype: torch.dtype = torch.float32,
        tokenizer_files: Mapping[str, bytes] | None = None,
        gradient_checkpointing: bool = False,
    ) -> None:
        """Takes over `weights`: fp32 tensors under the names of `weight_names(config)`.

        Args:
            compute_dtype: of products and activations; norms, softmax and log-probabilities are fp32 in any case.
            tokenizer_files: name and contents of what `save` writes beside the weights; kept in memory, because the
                folder they came from may be a checkpoint that is deleted meanwhile.
            gradient_checkpointing: keep only each layer's input for the backward pass, and compute the layer again.
        """
        super().__init__()
        self.config = config
        self.compute_dtype = compute_dtype
        self.tokenizer_files = dict(tokenizer_files or {})
        self.gradient_checkpointing = gradient_checkpointing
        for name in weight_names(config):
            _register(self, name, nn.Parameter(weights[name]))
        self._rotary = Rotary(config, self.device)

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def max_context(self) -> int:
        """Longest sequence in tokens."""
        return self.config.max_context

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    def forward(self, batch: Batch, *, temperature: float = 1.0, entropy_gradient: bool = False) -> PolicyOutput:
        """Log-probability and entropy of every predicted token of a packed batch.

        Raises:
            ContextLengthError: a sequence is longer than `max_context`.
        """
        hidden = self.hidden_states(batch)
        head = self.get_parameter(head_name(self.config)).to(self.compute_dtype)
        logprobs, entropy = predict(hidden, head, batch.target_ids, temperature, entropy_gradient=entropy_gradient)
        return PolicyOutput(logprobs, entropy)

    def hidden_states(self, batch: Batch) -> Tensor:
        """[N, H] in the compute dtype, after the last norm: what each predicted token is predicted from.

        Raises:
            ContextLengthError: a sequence is longer than `max_context`.
        """
        if batch.num_tokens and int(batch.position_ids.max()) >= self.max_context:
            length = int(batch.position_ids.max()) + 1
            raise ContextLengthError(f"a sequence of {length} tokens does not fit the context of {self.max_context}")
        parameters = dict(self.named_parameters())
        attention = PackedAttention(batch.segment_ids, batch.prefix_segments, batch.position_ids)
        hidden = self._hidden(parameters, batch.token_ids, batch.position_ids, attention)
        # Normed after selection: only predicting rows need it.
        return self._normed(parameters, hidden[batch.predict_from])

    @torch.no_grad()
    def logits(self, token_ids: Tensor) -> Tensor:
        """[T] int64 token ids of one sequence to [T, V] fp32 logits, for inspection and tests."""
        parameters = dict(self.named_parameters())
        positions = torch.arange(len(token_ids), device=token_ids.device)
        one = torch.zeros_like(token_ids)
        hidden = self._hidden(parameters, token_ids, positions, PackedAttention(one, one[:1], positions))
        head = parameters[head_name(self.config)].to(self.compute_dtype)
        return logits_of(self._normed(parameters, hidden), head)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """(Hugging Face name, fp32 tensor) of every weight; detached, not copied."""
        for name, parameter in self.named_parameters():
            yield name, parameter.detach()

    def read_weights(self, folder: Path) -> dict[str, Tensor]:
        """What `weights` would give of the same model in a Hugging Face folder, in fp32 on the CPU.

        Raises:
            ModelError: the folder holds no such model.
        """
        return read_weights(Path(folder), self.config)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Copies values into the parameters, in place, as when a checkpoint is resumed.

        Raises:
            ModelError: names are missing or unknown.
        """
        parameters = dict(self.named_parameters())
        given = dict(weights)
        if given.keys() != parameters.keys():
            raise ModelError(f"weights do not fit the model: {sorted(given.keys() ^ parameters.keys())[:5]}")
        with torch.no_grad():
            for name, parameter in parameters.items():
                parameter.copy_(given[name])

    def save(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Writes a Hugging Face folder that transformers opens, with the tokenizer's files of the loaded one."""
        write_folder(Path(folder), self.config, self.weights(), dtype=dtype, tokenizer_files=self.tokenizer_files)

    def _hidden(
        self, parameters: Mapping[str, Tensor], token_ids: Tensor, position_ids: Tensor, attention: PackedAttention
    ) -> Tensor:
        """[T, H] after the last layer, before the last norm."""
        config, dtype = self.config, self.compute_dtype

        def get(name: str) -> Tensor:
            return parameters[name].to(dtype)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return attention(queries, keys, values, config.windows[layer])

        cos, sin = self._rotary(position_ids)
        rotary = cos.to(dtype), sin.to(dtype)
        # Looked up in the fp32 master: a frequent token's gradient is a sum of many, which bf16 would round each time.
        # Rounded then, as the engine's copy is, so that both compute the same.
        hidden = F.embedding(token_ids, parameters[EMBEDDING]).to(dtype)
        hidden = hidden if dtype == torch.float64 else hidden.float()

        def compute(layer: int, hidden: Tensor) -> Tensor:
            return decoder_layer(
                hidden,
                layer_weights(config, get, layer),
                layer,
                config.head_size,
                config.norm_epsilon,
                rotary if config.rope_layers[layer] else None,
                attend,
            )

        for layer in range(config.num_layers):
            if self.gradient_checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(compute, layer, hidden, use_reentrant=False)  # pyright: ignore[reportAssignmentType]
            else:
                hidden = compute(layer, hidden)
        return hidden

    def _normed(self, parameters: Mapping[str, Tensor], hidden: Tensor) -> Tensor:
        return rms_norm(hidden, parameters[FINAL_NORM].to(self.compute_dtype), self.config.norm_epsilon)


def load_decoder(
    folder: Path | str,
    *,
    device: torch.device | str = "cpu",
    compute_dtype: torch.dtype = torch.float32,
    gradient_checkpointing: bool = False,
) -> DecoderPolicy:
    """The policy of a Hugging Face folder.

    Raises:
        ModelError: the folder is not a model that the decoder computes, or tensors are missing or do not fit.
    """
    folder = Path(folder)
    config = DecoderConfig.from_folder(folder)
    weights = read_weights(folder, config)
    weights = {name: tensor.to(device) for name, tensor in weights.items()}
    files = read_tokenizer_files(folder)
    return DecoderPolicy(
        config,
        weights,
        compute_dtype=compute_dtype,
        tokenizer_files=files,
        gradient_checkpointing=gradient_checkpointing,
    )


def _register(root: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Registers under a dotted name by way of nested empty modules, as `named_parameters` spells it."""
    *path, last = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.register_parameter(last, parameter)

"""The policy that is trained: a decoder over packed batches, fp32 parameters under their Hugging Face names.

Shape letters: T packed tokens, N predictions, H hidden size, Q query heads, K key-value heads, D head size.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from assay.errors import ContextLengthError, ModelError
from assay.kernels import attention_works
from assay.policies.attention import PackedAttention
from assay.policies.config import DecoderConfig
from assay.policies.decoder import decoder_layer
from assay.policies.elementwise import COMPILED, PLAIN, compiles
from assay.policies.folder import write_folder
from assay.policies.head import logits_of, predict
from assay.policies.layers import EMBEDDING, FINAL_NORM, head_name, layer_weights, weight_names
from assay.policies.lora import Adapter
from assay.policies.lora.folder import write_adapter
from assay.policies.policy import Policy, PolicyOutput, teacher_kl
from assay.policies.rope import Rotary
from assay.policies.shards import copy_into, whole
from assay.types import Batch


class DecoderPolicy(nn.Module):
    """A decoder of the Llama family to train; implements `Policy`.

    Parameters are fp32 and named as in Hugging Face checkpoints. A forward pass casts them to the compute dtype, so
    their gradients arrive in fp32.

    With an adapter the weights are frozen and its factors are trained, under PEFT's names. Each changed weight is made
    whole before it is used, in fp32 and then cast, so that training computes exactly what the engine samples from.
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
        adapter: Adapter | None = None,
    ) -> None:
        """Takes over `weights`: fp32 tensors under the names of `weight_names(config)`.

        Args:
            adapter: what is trained in place of the weights, on their device; None to train them all.
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
        self.fp32_head = False
        """True where the product with the output matrix is in fp32, whatever the compute dtype; the engine's is too."""
        self.adapter = adapter
        for name in weight_names(config):
            _register(self, name, nn.Parameter(weights[name], requires_grad=adapter is None))
        for name, parameter in adapter.named_parameters() if adapter is not None else ():
            _register(self, name, parameter)
        self._rotary = Rotary(config, self.device)
        self._compiles = compiles(config, compute_dtype, self.device)
        self._elementwise = COMPILED if self._compiles else PLAIN

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def max_context(self) -> int:
        """Longest sequence in tokens."""
        return self.config.max_context

    @property
    def vocab_size(self) -> int:
        return self.config.vocab_size

    @property
    def hidden_size(self) -> int:
        return self.config.hidden_size

    def forward(
        self,
        batch: Batch,
        *,
        temperature: float = 1.0,
        entropy_gradient: bool = False,
        teacher: Policy | None = None,
    ) -> PolicyOutput:
        """Log-probability and entropy of every predicted token of a packed batch.

        Args:
            teacher: a model to be compared with over the whole vocabulary.

        Raises:
            ContextLengthError: a sequence is longer than `max_context`.
        """
        hidden, head = self.last_layer(batch)
        logprobs, entropy = predict(hidden, head, batch.target_ids, temperature, entropy_gradient=entropy_gradient)
        return PolicyOutput(logprobs, entropy, teacher_kl(hidden, head, teacher, batch, temperature))

    def last_layer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """[N, H] and the [V, H] output matrix, in the compute dtype, or in fp32 with `fp32_head`."""
        hidden, head = self.hidden_states(batch), self.get_parameter(head_name(self.config))
        return (hidden.float(), head.float()) if self.fp32_head else (hidden, head.to(self.compute_dtype))

    def hidden_states(self, batch: Batch) -> Tensor:
        """[N, H] in the compute dtype, after the last norm: what each predicted token is predicted from.

        Raises:
            ContextLengthError: a sequence is longer than `max_context`.
        """
        if batch.num_tokens and int(batch.position_ids.max()) >= self.max_context:
            length = int(batch.position_ids.max()) + 1
            raise ContextLengthError(f"a sequence of {length} tokens does not fit the context of {self.max_context}")
        attention = PackedAttention(
            batch.segment_ids,
            batch.prefix_segments,
            batch.position_ids,
            compiled=self._compiles and attention_works(self.config.head_size, self.compute_dtype),
        )
        hidden = self._hidden(batch.token_ids, batch.position_ids, attention)
        # Normed after selection: only predicting rows need it.
        return self._normed(hidden[batch.predict_from])

    @torch.no_grad()
    def logits(self, token_ids: Tensor) -> Tensor:
        """[T] int64 token ids of one sequence to [T, V] fp32 logits, for inspection and tests."""
        positions = torch.arange(len(token_ids), device=token_ids.device)
        one = torch.zeros_like(token_ids)
        hidden = self._hidden(token_ids, positions, PackedAttention(one, one[:1], positions))
        head, normed = self.get_parameter(head_name(self.config)), self._normed(hidden)
        return logits_of(normed.float(), head) if self.fp32_head else logits_of(normed, head.to(self.compute_dtype))

    @torch.no_grad()
    def last_hidden(self, texts: Sequence[Sequence[int]]) -> Tensor:
        """Token ids of N texts to the hidden state of each one's last token after the last norm, [N, H] in the compute
        dtype. What they all begin with is computed once.

        Raises:
            ContextLengthError: one is longer than `max_context`.
        """
        longest = max(map(len, texts))
        if longest > self.max_context:
            raise ContextLengthError(f"a text of {longest} tokens does not fit the context of {self.max_context}")
        # Each keeps a token of its own, whose hidden state is asked for.
        alike = itertools.takewhile(lambda column: len(set(column)) == 1, zip(*texts, strict=False))
        shared = min(sum(1 for _ in alike), min(map(len, texts)) - 1)
        segments = [list(texts[0][:shared]), *(list(text[shared:]) for text in texts)]
        lengths = torch.tensor([len(segment) for segment in segments], device=self.device)
        segment_ids = torch.repeat_interleave(torch.arange(len(segments), device=self.device), lengths)
        starts = [0, *([shared] * len(texts))]
        positions = torch.cat(
            [torch.arange(start, start + len(segment)) for start, segment in zip(starts, segments, strict=True)]
        ).to(self.device)
        # Without a shared beginning segment 0 is empty, and each goes on from nothing.
        prefixes = torch.zeros(len(segments), dtype=torch.int64, device=self.device)
        tokens = torch.tensor([token for segment in segments for token in segment], device=self.device)
        hidden = self._hidden(tokens, positions, PackedAttention(segment_ids, prefixes, positions))
        return self._normed(hidden[lengths.cumsum(0)[1:] - 1])

    @torch.no_grad()
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """(Hugging Face name, fp32 tensor) of every weight, the adapter merged; detached, copied only where merged or
        gathered. Of a sharded policy each tensor is gathered from all ranks, so that all must ask together."""

        def get(name: str) -> Tensor:
            return whole(self.get_parameter(name).detach())

        for name in weight_names(self.config):
            yield name, get(name) if self.adapter is None else self.adapter.merged(name, get(name), get)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Copies values into what is trained (all weights, or the adapter's factors), in place.

        Raises:
            ModelError: names are missing or unknown.
        """
        if self.adapter is not None:
            self.adapter.load(weights)
            return
        parameters = dict(self.named_parameters())
        given = dict(weights)
        if given.keys() != parameters.keys():
            raise ModelError(f"weights do not fit the model: {sorted(given.keys() ^ parameters.keys())[:5]}")
        with torch.no_grad():
            for name, parameter in parameters.items():
                copy_into(parameter, given[name])

    def layer_units(self) -> list[nn.Module]:
        """The modules, in the order of the model, that can be sharded each for itself."""
        return list(self.get_submodule("model.layers").children())

    def sharded(self) -> None:
        """Takes over the parameters that sharding has put in place of the first ones."""
        if self.adapter is not None:
            self.adapter.load_parameters(dict(self.named_parameters()))

    def save(
        self, folder: Path, dtype: torch.dtype = torch.float32, *, trained: Mapping[str, Tensor] | None = None
    ) -> None:
        """Writes what is trained, with the tokenizer's files of the loaded folder: a Hugging Face folder that
        transformers opens, or with an adapter one that PEFT opens (in fp32, whatever the dtype).

        Args:
            trained: the values to write, by parameter name; None for the policy's own, which must not be sharded.
        """
        if self.adapter is None:
            weights = self.weights() if trained is None else trained.items()
            write_folder(Path(folder), self.config, weights, dtype=dtype, tokenizer_files=self.tokenizer_files)
        else:
            adapter = self.adapter if trained is None else self.adapter.holding(trained)
            write_adapter(Path(folder), adapter, self.tokenizer_files)

    def save_merged(self, folder: Path, dtype: torch.dtype = torch.float32) -> None:
        """Writes a Hugging Face folder of the whole model, an adapter merged into its weights."""
        write_folder(Path(folder), self.config, self.weights(), dtype=dtype, tokenizer_files=self.tokenizer_files)

    def sharing_base(self, *, trainable: bool) -> DecoderPolicy:
        """A policy that computes what this one does now, over the same tensors: only the adapter is its own.

        For a reference or a critic's trunk, which then cost next to no memory.

        Args:
            trainable: whether its adapter is to be trained.
        """
        assert self.adapter is not None, "weights that are trained cannot be shared"
        adapter = None if self.adapter.is_zero and not trainable else self.adapter.copy()
        weights = {name: self.get_parameter(name).detach() for name in weight_names(self.config)}
        shared = DecoderPolicy(
            self.config,
            weights,
            compute_dtype=self.compute_dtype,
            gradient_checkpointing=self.gradient_checkpointing,
            adapter=adapter,
        )
        shared.fp32_head = self.fp32_head
        return shared if trainable else shared.requires_grad_(False)

    def _hidden(self, token_ids: Tensor, position_ids: Tensor, attention: PackedAttention) -> Tensor:
        """[T, H] after the last layer, before the last norm."""
        config, dtype = self.config, self.compute_dtype
        layers: Any = self.get_submodule("model.layers")

        def get(name: str) -> Tensor:
            # Looked up when it is used: a sharded layer is whole only while it computes.
            weight = self.get_parameter(name)
            merged = weight if self.adapter is None else self.adapter.merged(name, weight, self.get_parameter)
            return merged.to(dtype)

        def attend(layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
            return attention(queries, keys, values, config.windows[layer])

        cos, sin = self._rotary(position_ids)
        rotary = cos.to(dtype), sin.to(dtype)
        # Looked up in the fp32 master: a frequent token's gradient is a sum of many, which bf16 would round each time.
        # Rounded then, as the engine's copy is, so that both compute the same.
        hidden = F.embedding(token_ids, self.get_parameter(EMBEDDING)).to(dtype)
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
                self._elementwise,
            )

        def compute_again(layer: int, hidden: Tensor) -> Any:
            return checkpoint(compute, layer, hidden, use_reentrant=False)

        run = compute_again if self.gradient_checkpointing and torch.is_grad_enabled() else compute
        for layer in range(config.num_layers):
            hidden = layers.get_submodule(str(layer))(run, layer, hidden)
        return hidden

    def _normed(self, hidden: Tensor) -> Tensor:
        weight = self.get_parameter(FINAL_NORM).to(self.compute_dtype)
        return self._elementwise.rms_norm(hidden, weight, self.config.norm_epsilon)


class _Part(nn.Module):
    """A module that holds parameters under their names, and computes what it is given: sharding gathers the parameters
    of a layer when the layer is called."""

    def forward(self, compute: Callable[[int, Tensor], Tensor], layer: int, hidden: Tensor) -> Tensor:
        return compute(layer, hidden)


def _register(root: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Registers under a dotted name by way of nested modules, as `named_parameters` spells it."""
    *path, last = name.split(".")
    for part in path:
        if part not in root._modules:
            root.add_module(part, _Part())
        root = root.get_submodule(part)
    root.register_parameter(last, parameter)

"""HFPolicy: any causal language model of transformers, trained by the same loop as our own decoder.

Slower than `DecoderPolicy`, which packs without padding and computes a shared prompt once, and open to everything.

Shape letters: B rows, L tokens of a row, N predictions, n those of one chunk, U columns of a chunk that predict,
H hidden size, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from assay.errors import ConfigError, ContextLengthError, ModelError
from assay.policies.causal_lm import context_limit, empty_like, probe_tokens, quiet, relative_gap, takes, vocab_size
from assay.policies.folder import set_stored_dtype
from assay.policies.head import CHUNK_ROWS, predict
from assay.policies.lora import Adapter
from assay.policies.lora.folder import write_adapter
from assay.policies.lora.injected import base_name, inject
from assay.policies.policy import Policy, PolicyOutput, teacher_kl
from assay.policies.rows import PaddedRows, padded_rows
from assay.policies.shards import copy_into, whole
from assay.types import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class HFPolicy(nn.Module):
    """A model of transformers to train; implements `Policy`.

    Parameters are fp32 under the names that transformers gives them. In bf16 they are cast by autocast, so gradients
    arrive in fp32. Dropout is off: the sampler has none, and the ratio of two dropout masks is no policy ratio.

    With an adapter the weights are frozen and its factors are trained, in layers of PEFT's under PEFT's names.
    """

    shares_prompts = False
    """A prompt that several samples share is computed for each of them."""

    def __init__(
        self,
        module: PreTrainedModel,
        *,
        compute_dtype: torch.dtype = torch.float32,
        tokenizer_files: Mapping[str, bytes] | None = None,
        gradient_checkpointing: bool = False,
        adapter: Adapter | None = None,
    ) -> None:
        """Takes over `module`, an fp32 model in evaluation mode.

        Args:
            adapter: what is trained in place of the weights, on their device; None to train them all.
            compute_dtype: of products; norms, softmax and log-probabilities are fp32 in any case.
            tokenizer_files: name and contents of what `save` writes beside the weights.
            gradient_checkpointing: keep only each layer's input for the backward pass, and compute the layer again.

        Raises:
            ConfigError: gradient checkpointing of a model without layers that transformers can checkpoint.
        """
        super().__init__()
        if adapter is not None:
            inject(module, adapter)
        self.adapter = adapter
        self.module = module
        self.compute_dtype = compute_dtype
        self.tokenizer_files = dict(tokenizer_files or {})
        self.config = module.config
        self.max_context = context_limit(module.config)
        self._rows_together = False
        if gradient_checkpointing:
            _checkpoint_layers(module)
        self.plain_head = self._has_plain_head()
        """True where logits are the last hidden states times the output matrix and nothing else: then they are computed
        in chunks. A bias, a scale or a softcap needs the model's own code, whose pass is then computed again for the
        backward pass rather than keeping [N, V] logits."""

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def vocab_size(self) -> int:
        return vocab_size(self.module)

    @property
    def hidden_size(self) -> int:
        return self.config.get_text_config(decoder=True).hidden_size

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters under the names of transformers, a tied matrix once; those of an adapter under the names of
        PEFT."""
        for name, parameter in self.module.named_parameters(prefix, recurse, remove_duplicate):
            if (whole := base_name(name)) is not None:
                yield whole, parameter
        if self.adapter is not None:
            yield from self.adapter.named_parameters()

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
            ModelError: a teacher, and logits that are more than a product with the output matrix.
            ValueError: the temperature is not positive.
        """
        if self.plain_head or teacher is not None:
            hidden, weight = self.last_layer(batch)
            return PolicyOutput(
                *predict(hidden, weight, batch.target_ids, temperature, entropy_gradient=entropy_gradient),
                teacher_kl(hidden, weight, teacher, batch, temperature),
            )
        if not temperature > 0:
            raise ValueError(f"temperature must be positive to train with, got {temperature}")

        def whole(rows: PaddedRows) -> tuple[Tensor, Tensor]:
            return self._predict_rows(rows, batch.target_ids[rows.predictions], temperature)

        def computed_again(rows: PaddedRows) -> tuple[Tensor, Tensor]:
            if not torch.is_grad_enabled():
                return whole(rows)
            return checkpoint(whole, rows, use_reentrant=False)  # pyright: ignore[reportReturnType]

        logprobs, entropy = self._of_all_rows(batch, computed_again)
        return PolicyOutput(logprobs, entropy if entropy_gradient else entropy.detach())

    def last_layer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """[N, H] and the [V, H] output matrix, in the compute dtype.

        Raises:
            ModelError: its logits are more than the product of the two.
        """
        if not self.plain_head:
            raise ModelError(
                f"{type(self.module).__name__} scales its logits or adds to them: it cannot be compared with another "
                "model over the whole vocabulary"
            )
        head: Any = self.module.get_output_embeddings()
        return self.hidden_states(batch), head.weight.to(self.compute_dtype)

    def hidden_states(self, batch: Batch) -> Tensor:
        """[N, H] in the compute dtype, after the last norm: what each predicted token is predicted from.

        Raises:
            ContextLengthError: a sequence is longer than `max_context`.
        """

        def hidden(rows: PaddedRows) -> tuple[Tensor]:
            with self._precision():
                states = self.module.base_model(input_ids=rows.token_ids, use_cache=False)[0]
            return (states[rows.rows, rows.columns].to(self.compute_dtype),)

        return self._of_all_rows(batch, hidden)[0]

    @torch.no_grad()
    def logits(self, token_ids: Tensor) -> Tensor:
        """[T] int64 token ids of one sequence to [T, V] fp32 logits, for inspection and tests."""
        with self._precision():
            return self.module(input_ids=token_ids[None], use_cache=False).logits[0].float()

    @torch.no_grad()
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """(name, tensor) of every weight in fp32, an adapter merged, and of every buffer that is saved.

        Detached, and copied only where merged.
        """
        for name, parameter in self.module.named_parameters():
            if (called := base_name(name)) is not None:
                weight = whole(parameter.detach())
                yield called, weight if self.adapter is None else self.adapter.merged(called, weight)
        yield from saved_buffers(self.module)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Copies values into what is trained, in place: all parameters and saved buffers, or the adapter's factors.

        Raises:
            ModelError: names are missing or unknown.
        """
        if self.adapter is None:
            copy_weights(self.module, weights)
        else:
            self.adapter.load(weights)

    def serving_module(self, dtype: torch.dtype) -> PreTrainedModel:
        """A module of the same shape for an engine, in another dtype; it holds no weights yet."""
        return empty_like(self.module, dtype)

    def layer_units(self) -> list[nn.Module]:
        """The modules, in the order of the model, that can be sharded each for itself: those that transformers names as
        what a device map must not split."""
        names = set(getattr(self.module, "_no_split_modules", None) or ())
        return [module for module in self.module.base_model.modules() if type(module).__name__ in names]

    def sharded(self) -> None:
        """Takes over the parameters that sharding has put in place of the first ones: every rank makes one pass a
        batch.

        Raises:
            ConfigError: it has an adapter, whose factors sit in layers of PEFT's.
        """
        if self.adapter is not None:
            raise ConfigError(
                "an adapter on a model of transformers cannot be sharded: use our decoder (model.policy='decoder') "
                "where it reads the model, or cluster.learner=1"
            )
        self._rows_together = True

    def save(
        self, folder: Path, dtype: torch.dtype = torch.float32, *, trained: Mapping[str, Tensor] | None = None
    ) -> None:
        """Writes what is trained, with the tokenizer's files of the loaded folder: a Hugging Face folder, or with an
        adapter one that PEFT opens (in fp32, whatever the dtype).

        Args:
            trained: the values to write, by parameter name; None for the policy's own, which must not be sharded.
        """
        if self.adapter is None:
            self.save_merged(folder, dtype, trained=trained)
        else:
            write_adapter(Path(folder), self.adapter, self.tokenizer_files)

    def save_merged(
        self, folder: Path, dtype: torch.dtype = torch.float32, *, trained: Mapping[str, Tensor] | None = None
    ) -> None:
        """Writes a Hugging Face folder of the whole model, an adapter merged into its weights."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        module = self.module
        if self.adapter is not None:
            # Without PEFT's layers, whose weights have other names.
            module = self.serving_module(torch.float32)
            copy_weights(module, self.weights())
        tensors: dict[str, Tensor] = module.state_dict()
        if trained is not None:
            # A tied matrix is in the state under both of its names.
            names = {id(parameter): name for name, parameter in module.named_parameters()}
            every = module.named_parameters(remove_duplicate=False)
            tensors |= {name: trained[names[id(parameter)]] for name, parameter in every}
        state = {name: tensor.detach().to("cpu", _stored(tensor, dtype)) for name, tensor in tensors.items()}
        with quiet():
            module.save_pretrained(folder, state_dict=state)
        set_stored_dtype(folder, dtype)
        for name, contents in self.tokenizer_files.items():
            (folder / name).write_bytes(contents)

    def _of_all_rows(self, batch: Batch, compute: Callable[[PaddedRows], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Each result of `compute`, [n, ...] of a chunk of rows, as [N, ...] in the order of the batch."""
        self._check_lengths(batch)
        chunks = padded_rows(batch, together=self._rows_together)
        results = [compute(rows) for rows in chunks]
        back = torch.cat([rows.predictions for rows in chunks]).argsort()
        return tuple(torch.cat(parts)[back] for parts in zip(*results, strict=True))

    def _predict_rows(self, rows: PaddedRows, target_ids: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """[n] log-probabilities and entropies from the model's own logits."""
        columns, column_ids = rows.columns.unique(return_inverse=True)
        options: dict[str, Any] = {"logits_to_keep": columns} if takes(self.module, "logits_to_keep") else {}
        with self._precision():
            logits = self.module(input_ids=rows.token_ids, use_cache=False, **options).logits
        picked = logits[rows.rows, column_ids if options else rows.columns]
        logprobs, entropies = [], []
        for logits_CV, targets_C in zip(picked.split(CHUNK_ROWS), target_ids.split(CHUNK_ROWS), strict=True):
            log_probabilities = (logits_CV.float() / temperature).log_softmax(-1)
            logprobs.append(log_probabilities.gather(-1, targets_C[:, None]).squeeze(-1))
            entropies.append(-(log_probabilities.exp() * log_probabilities).sum(-1))
        return torch.cat(logprobs), torch.cat(entropies)

    def _precision(self) -> torch.autocast:
        lower = self.compute_dtype != torch.float32
        return torch.autocast(self.device.type, dtype=self.compute_dtype if lower else None, enabled=lower)

    @torch.no_grad()
    def _has_plain_head(self) -> bool:
        """Return whether logits are a plain product. Found by trying: what architectures do after their output matrix
        is nowhere declared."""
        head, base = self.module.get_output_embeddings(), self.module.base_model
        if type(head) is not nn.Linear or head.bias is not None or base is self.module:
            return False
        tokens = probe_tokens(self.module, 5)
        expected = self.module(input_ids=tokens, use_cache=False).logits
        try:
            found = head(base(input_ids=tokens, use_cache=False)[0])
        except (RuntimeError, TypeError, ValueError, AttributeError):
            return False
        return found.shape == expected.shape and relative_gap(found, expected) < 1e-5

    def _check_lengths(self, batch: Batch) -> None:
        if batch.num_tokens and int(batch.position_ids.max()) >= self.max_context:
            length = int(batch.position_ids.max()) + 1
            raise ContextLengthError(f"a sequence of {length} tokens does not fit the context of {self.max_context}")


def saved_buffers(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of every buffer that belongs to the weights (a router's correction bias, say)."""
    saved = module.state_dict().keys()
    yield from ((name, buffer) for name, buffer in module.named_buffers() if name in saved)


@torch.no_grad()
def copy_weights(module: nn.Module, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Copies values into a module's parameters and saved buffers, each as it comes.

    Raises:
        ModelError: a tensor is missing, unknown, or of another shape.
    """
    destinations = {**dict(module.named_parameters()), **dict(saved_buffers(module))}
    missing = set(destinations)
    for name, tensor in weights:
        destination = destinations.get(name)
        if destination is None:
            raise ModelError(f"weights: {name!r} is no tensor of {type(module).__name__}")
        if destination.shape != tensor.shape:
            raise ModelError(f"weights: {name} has shape {list(tensor.shape)}, not {list(destination.shape)}")
        copy_into(destination, tensor.detach())
        missing.discard(name)
    if missing:
        raise ModelError(f"weights: {len(missing)} tensors are missing, among them {min(missing)}")


def _checkpoint_layers(module: PreTrainedModel) -> None:
    """Make each layer keep only its input for the backward pass (gradient checkpointing).

    Not `gradient_checkpointing_enable`, which works in training mode only, where dropout would be on.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [layer for layer in module.modules() if isinstance(layer, GradientCheckpointingLayer)]
    if not layers:
        raise ConfigError(
            f"model.gradient_checkpointing has no effect on {type(module).__name__}, which has no layers that "
            "transformers can checkpoint: leave it out, and lower tokens_per_microbatch"
        )
    for layer in layers:
        layer.forward = _checkpointed(layer.forward)


def _checkpointed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def checkpointed(*arguments: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*arguments, **options)
        return checkpoint(forward, *arguments, use_reentrant=False, **options)

    return checkpointed


def _stored(tensor: Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if tensor.is_floating_point() else tensor.dtype

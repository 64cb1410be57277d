"""A model as a value: everything that follows from what a user called it, found once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor

from assay.errors import ModelError
from assay.models.family import AUTO, Family, read_family
from assay.models.source import TOKENIZERS, base_of, resolve_source
from assay.policies.lora.adapter import num_adapter_parameters
from assay.policies.lora.document import is_adapter, read_adapter_config
from assay.policies.lora.folder import num_stored_parameters

if TYPE_CHECKING:
    from assay.engines import BatchingEngine
    from assay.policies import AnyPolicy
    from assay.policies.lora import LoraSettings
    from assay.policies.shape import ModelShape
    from assay.render import ChatRenderer
    from assay.render.chat import ToolOptions

_ADAPTER_SCALE = ("r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern")
"""Settings of an adapter that change what it computes, beside its tensors."""


@dataclass(frozen=True, eq=False)
class Model:
    """A model on this machine: a whole one, or an adapter with the whole model that it is put on. Nothing is loaded
    until a policy, an engine or the weights are asked for. Made by `open_model`.
    """

    folder: Path
    """Folder of the whole model, or of the adapter; links are resolved."""
    base: Path
    """Folder of the whole model: `folder` itself, or that of the model which the adapter is put on."""
    family: Family
    """The family that reads and computes the model."""
    configuration: Any
    """Configuration of the whole model, as its family reads config.json: a `DecoderConfig`, or a configuration of
    transformers."""
    adapter: Mapping[str, Any] | None
    """Content of adapter_config.json; None of a whole model."""

    @property
    def kind(self) -> str:
        """Name of its family: "decoder", "hf", or one that was registered."""
        return self.family.name

    @property
    def model_type(self) -> str:
        """The architecture as config.json names it: "llama", "gpt2" and so on."""
        return self.configuration.model_type

    @property
    def tokenizer(self) -> Path:
        """The folder that has the tokenizer's files: its own, or that of the base where an adapter came without any.

        Raises:
            ModelError: neither has them.
        """
        for place in (self.folder, self.base):
            if any((place / name).is_file() for name in TOKENIZERS):
                return place
        raise ModelError(f"{self.base} has no tokenizer: copy tokenizer.json and tokenizer_config.json there")

    @cached_property
    def shape(self) -> ModelShape:
        """The sizes of the whole model, from config.json and the headers of its weight files.

        Raises:
            ModelError: there are no weights, or they cannot be read.
        """
        return self.family.shape(self)

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings about the model's files, a sentence each."""
        return self.family.cautions(self)

    @property
    def memory(self) -> int:
        """Bytes of all its weights in fp32, an adapter's factors included: what a policy of it holds untrained."""
        factors = 0 if self.adapter is None else num_stored_parameters(self.folder)
        return 4 * (self.shape.num_parameters + factors)

    @cached_property
    def identity(self) -> str:
        """Hex SHA-256 over the files of the weights, and over the scale of an adapter: a model that was trained on
        under the same name is another model. Where its files lie does not count."""
        digest = hashlib.sha256()
        if self.adapter is not None:
            digest.update(json.dumps([self.adapter.get(key) for key in _ADAPTER_SCALE], sort_keys=True).encode())
        folders = [self.folder] if self.adapter is None else [self.folder, self.base]
        for path in (path for each in folders for path in sorted(each.glob("*.safetensors"))):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def num_trained(self, lora: LoraSettings | None = None) -> int | None:
        """Parameters of the adapter that would be trained; None where all weights would be.

        Args:
            lora: settings of a new adapter.

        Raises:
            ModelError: the folder cannot be used.
            ConfigError: settings that this model cannot have.
        """
        if self.adapter is not None:
            return num_stored_parameters(self.folder)
        if lora is None:
            return None
        return num_adapter_parameters(lora, self.family.linear_shapes(self), self.model_type)

    def weights(self) -> Mapping[str, Tensor]:
        """Every weight and saved buffer by name, in fp32 on the CPU, an adapter merged: what an engine takes.

        Raises:
            ModelError: weights that are missing or do not fit, or an adapter of another base.
        """
        return self.family.weights(self)

    def policy(
        self,
        *,
        lora: LoraSettings | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
        compute_dtype: torch.dtype = torch.float32,
        gradient_checkpointing: bool = False,
    ) -> AnyPolicy:
        """The model as what is trained, with fp32 parameters: all of them, unless it is or gets an adapter.

        Args:
            lora: settings of a new adapter for a whole model.
            seed: of the run; a new adapter is drawn from it.
            compute_dtype: of products and activations; norms, softmax and log-probabilities are fp32 in any case.
            gradient_checkpointing: keep only each layer's input for the backward pass: less memory, a third more work.

        Raises:
            ModelError: tensors are missing or do not fit, or the adapter is of another model.
            ConfigError: gradient checkpointing of a model that transformers cannot checkpoint, or settings of a new
                adapter that this model cannot have, or that has one already.
        """
        return self.family.policy(
            self,
            lora=lora,
            seed=seed,
            device=device,
            compute_dtype=compute_dtype,
            gradient_checkpointing=gradient_checkpointing,
        )

    def engine(
        self,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        device: torch.device | str = "cpu",
        num_slots: int = 64,
    ) -> BatchingEngine:
        """Make an engine that samples from the model as it is, without a policy beside it.

        Args:
            stop_token_ids, decode: of its renderer.
            dtype: to sample in.
            num_slots: completions that are sampled at once.

        Raises:
            ModelError: weights that are missing or do not fit.
        """
        return self.family.engine(
            self, stop_token_ids=stop_token_ids, decode=decode, dtype=dtype, device=device, num_slots=num_slots
        )

    def engine_for(
        self,
        policy: AnyPolicy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int = 64,
        version: int = 0,
    ) -> BatchingEngine:
        """Make an engine that samples from a policy of this model: with a copy of its weights, on its device, in
        `dtype`.

        Args:
            version: of the policy's weights.
        """
        return self.family.engine_for(
            policy, stop_token_ids=stop_token_ids, decode=decode, dtype=dtype, num_slots=num_slots, version=version
        )

    def renderer(self, chat_template: str | None = None, **options: Unpack[ToolOptions]) -> ChatRenderer:
        """Make the renderer, from messages to the model's tokens and back.

        Args:
            chat_template: text of a template in place of the tokenizer's own; see `assay.render.read_chat_template`.
            options: how the model is told of its tools, and which forms of calls are read.

        Raises:
            ModelError: no readable tokenizer, no chat template, or no token that ends an answer.
        """
        from assay.render import load_renderer

        return load_renderer(self.tokenizer, chat_template, **options)

    def trained(self, folder: Path) -> Model:
        """The model in a folder that training wrote: a whole one, or an adapter on the same base as this one's.

        Raises:
            ModelError: the folder holds neither.
        """
        base = self.base if is_adapter(folder) else None
        return open_model(folder, base, policy=self.kind)


def open_model(source: str | Path, base: str | Path | None = None, *, policy: str = AUTO) -> Model:
    """Resolve what a user calls a model into one frozen value that makes policies, engines and renderers.

    The files are found (fetched from the hub where need be), the configuration is read and checked, and the family that
    computes the model is chosen. No weight is read yet.

    Args:
        source: "default" (SmolLM2-135M-Instruct); a Hugging Face folder; the folder of an adapter in PEFT's format;
            a run (its folder, its name, or "latest"), which means the model that it made; one of its checkpoints; or
            a hub id such as "HuggingFaceTB/SmolLM2-135M-Instruct".
        base: the whole model that an adapter is put on, called in any of these ways, where adapter_config.json names
            none or one that lies elsewhere now.
        policy: name of the family that computes it: "decoder" (ours, for the Llama family), "hf" (any causal
            language model of transformers), one that was registered, or "auto", the first of them that reads it.

    Returns:
        The model. It does not change when a link in its path is turned to another folder.

    Raises:
        ModelError: there is no such model, it cannot be fetched, nothing here computes it, or its base is missing,
            is an adapter itself, or was named for a whole model. The message says what to do.
        ConfigError: a model at an endpoint, or a family that does not exist.
        RunFolderError: "latest" where there is no run.

    Example:
        >>> model = open_model("default")
        >>> model.kind, model.shape.num_layers
        ('decoder', 30)
        >>> renderer, policy = model.renderer(), model.policy()
    """
    folder = resolve_source(source).resolve()
    whole = base_of(folder, None if base is None else resolve_source(base)).resolve()
    family, configuration = read_family(whole, policy)
    adapter = read_adapter_config(folder) if whole != folder else None
    return Model(folder, whole, family, configuration, adapter)

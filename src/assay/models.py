"""The models of a run: the one that is trained, with its renderer and its engine, and those beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from assay.engines import BatchingEngine, engine_for_policy
from assay.errors import ModelError
from assay.policies import DecoderPolicy, load_policy
from assay.policies.hf import HFPolicy
from assay.policies.registry import resolve_model, tokenizer_folder
from assay.policies.value import ValueModel
from assay.recipe import RunConfig
from assay.render import ChatRenderer, load_renderer


class RunModels:
    """Loads what a recipe asks for.

    Args:
        folder: of the model that training begins with: a whole one, or an adapter on the one in `base`.
        chat_template: in place of the tokenizer's own.

    Raises:
        ModelError: a model that cannot be had or trained.
        ConfigError: options that this model has no use for.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        base: Path | None,
        *,
        device: str,
        compute_dtype: torch.dtype,
        chat_template: str | None,
    ) -> None:
        self._config = config
        self._folder, self._base = folder, base
        self._chat_template = chat_template
        self._compute_dtype = compute_dtype
        self._loading: dict[str, Any] = {
            "device": device,
            "compute_dtype": compute_dtype,
            "policy": config.model.policy,
        }
        self._trained: dict[str, Any] = {
            **self._loading,
            "gradient_checkpointing": config.model.gradient_checkpointing,
            "lora": config.model.lora,
            "seed": config.seed,
        }
        self.renderer: ChatRenderer = load_renderer(tokenizer_folder(folder, base), chat_template)
        self.policy: DecoderPolicy | HFPolicy = load_policy(folder, base=base, **self._trained)
        if chat_template is not None:
            # Checkpoints are shown conversations as the model was.
            self.policy.tokenizer_files["chat_template.jinja"] = self.renderer.chat_template.encode()

    def engine(self, version: int) -> BatchingEngine:
        """Samples with the policy's weights, which are of this version."""
        return engine_for_policy(
            self.policy,
            stop_token_ids=self.renderer.stop_token_ids,
            decode=self.renderer.decode,
            dtype=self._compute_dtype,
            num_slots=self._config.num_slots,
            version=version,
        )

    def beside(self) -> dict[str, Any]:
        """The models that the algorithm needs beside the policy, as the trainer names them.

        Raises:
            ModelError: a teacher with another vocabulary.
        """
        needs, models = self._config.algorithm.needs, {}
        if needs.values:
            models["critic"] = ValueModel(self._another(self._trained, trainable=True))
        if needs.reference:
            models["reference"] = self._another(self._loading, trainable=False)
        if needs.teacher:
            models["teacher"] = self._teacher(needs.teacher)
        return models

    def _another(self, loading: dict[str, Any], *, trainable: bool) -> DecoderPolicy | HFPolicy:
        """The model that training begins with, once more."""
        if isinstance(self.policy, DecoderPolicy) and self.policy.adapter is not None:
            # The base does not change, so that other models can be on it too.
            return self.policy.sharing_base(trainable=trainable)
        return load_policy(self._folder, base=self._base, **loading)

    def _teacher(self, source: str) -> DecoderPolicy | HFPolicy:
        folder = resolve_model(source)
        if not load_renderer(tokenizer_folder(folder), self._chat_template).has_the_vocabulary_of(self.renderer):
            raise ModelError(
                f"the teacher {folder} has another vocabulary than {self._folder}: its probabilities are of other "
                "tokens; choose a teacher with the same tokenizer"
            )
        return load_policy(folder, **{**self._loading, "policy": "auto"})

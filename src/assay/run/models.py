"""The models of a run: the one that is trained, with its renderer and its engine, and those beside it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch

from assay.batching.proven import open_proven
from assay.engines import Engine, FarSettings
from assay.engines.idle import IdleEngine
from assay.errors import ConfigError, ModelError
from assay.models import Model, open_model
from assay.policies import AnyPolicy, DecoderPolicy
from assay.policies.reward import RewardModel
from assay.policies.value import ValueModel
from assay.recipe import RunConfig
from assay.render import ChatRenderer
from assay.training import Trainer
from assay.training.ranks import Ranks


class RunModels:
    """Loads what a recipe asks for.

    Args:
        model: that training begins with.
        chat_template: in place of the tokenizer's own.

    Raises:
        ModelError: a model that cannot be had or trained.
        ConfigError: options that this model has no use for.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Model,
        *,
        device: str,
        compute_dtype: torch.dtype,
        chat_template: str | None,
    ) -> None:
        self._config = config
        self._model = model
        self._chat_template = chat_template
        self._compute_dtype = compute_dtype
        self._loading: dict[str, Any] = {"device": device, "compute_dtype": compute_dtype}
        self._trained: dict[str, Any] = {
            **self._loading,
            "gradient_checkpointing": config.model.gradient_checkpointing,
            "lora": config.model.lora,
            "seed": config.seed,
        }
        told = config.model
        self.renderer: ChatRenderer = model.renderer(chat_template, tools=told.tools, call_forms=told.call_forms)
        self.max_context: int = model.shape.max_context
        """Longest sequence in tokens."""

    @cached_property
    def policy(self) -> AnyPolicy | RewardModel:
        """The model that is trained; loaded when it is first asked for."""
        policy: AnyPolicy | RewardModel = self._in_precision(self._model.policy(**self._trained))
        if self._config.algorithm.needs.rewards:
            policy = RewardModel(policy, seed=self._config.seed)
        if self._chat_template is not None:
            # Checkpoints are shown conversations as the model was.
            policy.tokenizer_files["chat_template.jinja"] = self.renderer.chat_template.encode()
        return policy

    def engine(self, version: int, *, proven: bool = False) -> Engine:
        """Samples with the policy's weights, which are of this version.

        Args:
            proven: True for one that proves what is published, where it is in another process.
        """
        if self._config.algorithm.needs.pairs:
            return IdleEngine(version)
        policy, chosen = self.policy, self._config.engine
        assert not isinstance(policy, RewardModel), "a reward model is fitted on given responses, and samples nothing"
        options: dict[str, Any] = {
            "stop_token_ids": self.renderer.stop_token_ids,
            "decode": self.renderer.decode,
            "dtype": self._compute_dtype,
            "num_slots": self._config.num_slots,
            "version": version,
        }
        if proven and isinstance(chosen, FarSettings):
            return open_proven(chosen, policy, **options, temperature=self._config.sampling.temperature)
        return (self._model.engine_for if chosen is None else chosen.open)(policy, **options)

    def trainer(self, beside: Mapping[str, Any] | None = None, ranks: Ranks | None = None) -> Trainer:
        """The trainer of the policy.

        Args:
            beside: what `beside` made; None to make it here.
            ranks: the ranks over which the models are sharded; None in one process.
        """
        config = self._config
        return Trainer(
            self.policy,
            config.trainer,
            temperature=config.sampling.temperature,
            tokens_per_microbatch=config.tokens_per_microbatch,
            minibatches_per_step=config.minibatches_per_step,
            num_steps=config.num_steps,
            ranks=ranks,
            **(self.beside() if beside is None else beside),
        )

    def beside(self) -> dict[str, Any]:
        """The models that the algorithm needs beside the policy, as the trainer names them.

        Raises:
            ModelError: a teacher with another vocabulary.
        """
        needs, models = self._config.algorithm.needs, {}
        if needs.values:
            models["critic"] = ValueModel(self._another(self._trained, trainable=True))
        if needs.reference_model:
            models["reference"] = self.original()
        if needs.teacher:
            models["teacher"] = self._teacher(needs.teacher)
        return models

    def original(self) -> AnyPolicy:
        """Load the model that training begins with once more, not to be trained."""
        return self._another(self._loading, trainable=False)

    def _another(self, loading: dict[str, Any], *, trainable: bool) -> AnyPolicy:
        """The model that training begins with, once more."""
        if isinstance(self.policy, DecoderPolicy) and self.policy.adapter is not None:
            # The base does not change, so that other models can be on it too.
            return self.policy.sharing_base(trainable=trainable)
        return self._in_precision(self._model.policy(**loading))

    def _in_precision(self, policy: AnyPolicy) -> AnyPolicy:
        """Return the policy with its logits in fp32 where the recipe wants them so."""
        if self._config.model.fp32_head:
            if not isinstance(policy, DecoderPolicy):
                raise ConfigError(
                    "model.fp32_head has no effect with a model of transformers, whose own code computes the logits "
                    "that are sampled from: leave it out, or compute in fp32"
                )
            policy.fp32_head = True
        return policy

    def _teacher(self, source: str) -> AnyPolicy:
        teacher = open_model(source)
        if not teacher.renderer(self._chat_template).has_the_vocabulary_of(self.renderer):
            raise ModelError(
                f"the teacher {teacher.folder} has another vocabulary than {self._model.folder}: its probabilities are "
                "of other tokens; choose a teacher with the same tokenizer"
            )
        return teacher.policy(**self._loading)

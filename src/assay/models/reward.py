"""Reward models from folders: our own decoder where it reads them, transformers for every other architecture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from assay.errors import ModelError
from assay.models.family import read_family
from assay.models.source import resolve_source
from assay.policies.config import DecoderConfig
from assay.policies.folder import read_tokenizer_files
from assay.policies.reward import is_reward_model, read_reward_model
from assay.render import ChatRenderer, load_renderer


class RewardScorer(Protocol):
    """A model that gives a text a reward."""

    @property
    def max_context(self) -> int:
        """Longest text in tokens."""
        ...

    def rewards(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Return the reward of each text of token ids."""
        ...


class TransformersScorer:
    """A model of sequence classification with one label, by transformers' own code.

    Args:
        module: in evaluation mode.
        max_context: in tokens.
    """

    def __init__(self, module: Any, max_context: int) -> None:
        self._module = module
        self.max_context = max_context

    @torch.no_grad()
    def rewards(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Return the reward of each text of token ids."""
        return [float(self._module(input_ids=torch.tensor([text])).logits[0, 0]) for text in texts]


def open_reward_model(source: str | Path) -> tuple[RewardScorer, ChatRenderer]:
    """Return a reward model and the renderer of its own tokens, in fp32 on the CPU.

    Args:
        source: a folder, a run, or a hub id, of transformers' AutoModelForSequenceClassification with one label.

    Raises:
        ModelError: there is no such model, it is no reward model, or it has no tokenizer or chat template.
    """
    folder = resolve_source(source).resolve()
    try:
        raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder} is no model folder: config.json cannot be read ({error})") from None
    if not is_reward_model(raw):
        raise ModelError(
            f"{folder} is no reward model: its architecture is {raw.get('architectures')}, and a "
            "...ForSequenceClassification with num_labels=1 is needed; fit one by recipes/preferences/reward_model.toml"
        )
    renderer = load_renderer(folder)
    try:
        _, configuration = read_family(folder, "auto")
    except ModelError:
        return _by_transformers(folder), renderer
    if isinstance(configuration, DecoderConfig):
        return read_reward_model(folder, configuration, read_tokenizer_files(folder)), renderer
    return _by_transformers(folder), renderer


def _by_transformers(folder: Path) -> TransformersScorer:
    from transformers import AutoModelForSequenceClassification

    from assay.policies.causal_lm import context_limit

    module = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    return TransformersScorer(module, context_limit(module.config))

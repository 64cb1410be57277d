"""The reward model: a language model's body with a head that says, in place of the next token, how good a text is.

Shape letters: N scored texts of a packed batch, T tokens, H hidden size.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from assay.errors import ConfigError, ModelError
from assay.policies.config import DecoderConfig
from assay.policies.folder import some_names, weight_files, write_folder
from assay.policies.layers import weight_names
from assay.policies.lora.adapter import Adapter
from assay.policies.lora.folder import write_adapter
from assay.policies.model import DecoderPolicy
from assay.policies.policy import Policy, PolicyOutput
from assay.seeds import derive_seed
from assay.types import Batch

if TYPE_CHECKING:
    from assay.policies.hf import HFPolicy

SCORE = "score.weight"
"""Name of the head in transformers' models of sequence classification."""
SUFFIX = "ForSequenceClassification"
ADAPTER = "adapter"
"""Folder of the adapter of a reward model, in the folder of the model that it is merged into."""


class RewardModel(nn.Module):
    """A decoder of our own and a linear head on the hidden state of a text's last token; implements `Policy`.

    Where a policy gives the log-probability of a predicted token, this gives the reward of the text up to the token
    before it. Saved, it is transformers' model of sequence classification with one label.

    Args:
        trunk: the body, trained whole, or by its adapter, which is merged where the model is saved; its output matrix
            is not trained, nor saved.
        head: [1, H] fp32. None draws it, with standard deviation 1 / sqrt(H + 1) as Stiennon et al. 2020,
            https://arxiv.org/abs/2009.01325: zeros would give the body no gradient until the head has grown.
        seed: of a head that is drawn.

    Raises:
        ConfigError: the body is a model of transformers' own code.
    """

    shares_prompts = True

    def __init__(self, trunk: DecoderPolicy | HFPolicy, head: Tensor | None = None, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(trunk, DecoderPolicy):
            raise ConfigError(
                "a reward model is fitted on our own decoder, which reads the Llama family (Llama, SmolLM2 and 3, "
                "Qwen2 and 3, Mistral), and this model is none of it: choose another model.source"
            )
        self.trunk = trunk
        self._body = set(body_names(trunk.config))
        self._factors = set(dict(trunk.adapter.named_parameters())) if trunk.adapter is not None else set[str]()
        for name, parameter in trunk.named_parameters():
            parameter.requires_grad_(name in (self._factors or self._body))
        if head is None:
            generator = torch.Generator().manual_seed(derive_seed(seed, "reward head") % (1 << 63))
            head = torch.randn(1, trunk.hidden_size, generator=generator) / math.sqrt(trunk.hidden_size + 1)
        self.head = nn.Parameter(head.to(trunk.device, torch.float32))

    @property
    def adapter(self) -> Adapter | None:
        """What is trained in place of the body; None where the body is."""
        return self.trunk.adapter

    @property
    def device(self) -> torch.device:
        return self.trunk.device

    @property
    def vocab_size(self) -> int:
        return self.trunk.vocab_size

    @property
    def max_context(self) -> int:
        """Longest text in tokens."""
        return self.trunk.max_context

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.trunk.compute_dtype

    @property
    def tokenizer_files(self) -> dict[str, bytes]:
        """Name and contents of what `save` writes beside the weights."""
        return self.trunk.tokenizer_files

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters under the names of transformers' sequence classification, an adapter's under those of PEFT."""
        for name, parameter in self.trunk.named_parameters(prefix, recurse, remove_duplicate):
            if name in self._body or name in self._factors:
                yield name, parameter
        yield SCORE, self.head

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def forward(
        self,
        batch: Batch,
        *,
        temperature: float = 1.0,
        entropy_gradient: bool = False,
        teacher: Policy | None = None,
    ) -> PolicyOutput:
        """Rewards, [N] float32, where a policy has log-probabilities; no entropy. Each text has one prediction, whose
        target is no part of it."""
        rewards = self.trunk.hidden_states(batch).float() @ self.head[0]
        return PolicyOutput(rewards, rewards.new_zeros(0))

    def last_layer(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Refuse: there are no logits.

        Raises:
            ModelError: always.
        """
        raise ModelError("a reward model has no logits over a vocabulary")

    @torch.no_grad()
    def rewards(self, texts: Sequence[Sequence[int]]) -> list[float]:
        """Return the reward of each text of token ids; what they all begin with is computed once."""
        return (self.trunk.last_hidden(texts).float() @ self.head[0]).tolist()

    @torch.no_grad()
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """(name, fp32 tensor) of every weight, the adapter merged; detached."""
        yield from ((name, weight) for name, weight in self.trunk.weights() if name in self._body)
        yield SCORE, self.head.detach()

    def layer_units(self) -> list[nn.Module]:
        """The modules, in the order of the model, that can be sharded each for itself."""
        return self.trunk.layer_units()

    def sharded(self) -> None:
        """Refuse: a reward model is small beside what is trained with it.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("a reward model is fitted in one process: leave the settings of the cluster out")

    def save(
        self, folder: Path, dtype: torch.dtype = torch.float32, *, trained: Mapping[str, Tensor] | None = None
    ) -> None:
        """Writes a folder that transformers opens with AutoModelForSequenceClassification; an adapter is merged, and
        stands beside it in a folder of its own, `ADAPTER`, from which training goes on.

        Its padding token is one that ends no text: transformers scores the last token that is no padding.
        """
        folder, raw = Path(folder), self.trunk.config.raw
        files, pad_token_id = _with_padding(self.tokenizer_files, raw)
        base = str((raw.get("architectures") or ["LlamaForCausalLM"])[0]).split("For")[0]
        changed = {
            **raw,
            "architectures": [f"{base}{SUFFIX}"],
            "num_labels": 1,
            "id2label": {"0": "reward"},
            "label2id": {"reward": 0},
            "pad_token_id": pad_token_id,
        }
        config = dataclasses.replace(self.trunk.config, raw=changed)
        write_folder(
            folder, config, self.weights() if trained is None else trained.items(), dtype=dtype, tokenizer_files=files
        )
        if self.adapter is not None:
            write_adapter(folder / ADAPTER, self.adapter, {})


def read_reward_model(folder: Path, config: DecoderConfig, tokenizer_files: Mapping[str, bytes]) -> RewardModel:
    """Return the reward model in a folder of transformers' sequence classification, on our decoder.

    Raises:
        ModelError: tensors are missing, or there is no head of one label.
    """
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for path in weight_files(folder):
        tensors |= load_file(path)
    # Without an output matrix there is nothing that could be tied or not.
    config = dataclasses.replace(config, tie_embeddings=True)
    head = tensors.get(SCORE)
    if head is None or head.shape != (1, config.hidden_size):
        found = "none" if head is None else list(head.shape)
        raise ModelError(
            f"{folder} has no head for one reward: {SCORE} should be [1, {config.hidden_size}], is {found}"
        )
    if missing := sorted(set(weight_names(config)) - tensors.keys()):
        raise ModelError(f"{folder} lacks {some_names(missing)}")
    weights = {name: tensors[name].float() for name in weight_names(config)}
    return RewardModel(DecoderPolicy(config, weights, tokenizer_files=tokenizer_files), head.float())


def body_names(config: DecoderConfig) -> list[str]:
    """Return the names of a decoder's weights without its output matrix."""
    return list(weight_names(dataclasses.replace(config, tie_embeddings=True)))


def is_reward_model(raw: Mapping[str, Any]) -> bool:
    """Return whether config.json is of a sequence classification with one label."""
    names = raw.get("architectures")
    labels = raw.get("num_labels", len(raw["id2label"]) if isinstance(raw.get("id2label"), dict) else 2)
    return isinstance(names, list) and any(str(name).endswith(SUFFIX) for name in names) and labels == 1


def _with_padding(files: Mapping[str, bytes], raw: Mapping[str, Any]) -> tuple[dict[str, bytes], int | None]:
    """The tokenizer's files with a padding token that ends no text, and its id; None where there is no such token.

    A padding token that is also the end of an answer, as many chat models have, would make transformers score the token
    before the end.
    """
    settings = json.loads(files.get("tokenizer_config.json", b"{}"))
    whole = json.loads(files.get("tokenizer.json", b"{}"))
    special = {token["content"]: token["id"] for token in whole.get("added_tokens", []) if token.get("special")}
    stated = raw.get("eos_token_id")
    end_ids = set(stated if isinstance(stated, list) else [stated])
    ends = {_text(settings.get("eos_token")), *(text for text, number in special.items() if number in end_ids)}
    wanted = [_text(settings.get(name)) for name in ("pad_token", "unk_token", "bos_token")]
    ends |= {text for text in special if "end" in text and "endoftext" not in text}
    chosen = next((text for text in [*wanted, *special] if text in special and text not in ends), None)
    if chosen is None:
        return dict(files), None
    changed = {**files, "tokenizer_config.json": json.dumps({**settings, "pad_token": chosen}, indent=2).encode()}
    if "special_tokens_map.json" in files:
        mapped = {**json.loads(files["special_tokens_map.json"]), "pad_token": chosen}
        changed["special_tokens_map.json"] = json.dumps(mapped, indent=2).encode()
    return changed, special[chosen]


def _text(token: object) -> str:
    return str(token.get("content", "")) if isinstance(token, dict) else str(token or "")

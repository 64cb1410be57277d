"""A tiny random model with a byte-level tokenizer, for tests and dry runs: real files and code paths, in no time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from assay.policies.config import DecoderConfig
from assay.policies.folder import write_folder
from assay.policies.layers import weight_shapes

IM_START, IM_END = "<|im_start|>", "<|im_end|>"
CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def write_tiny_model(folder: Path, *, seed: int = 0, **overrides: Any) -> Path:
    """Writes a random Llama with a byte tokenizer as a Hugging Face folder, and returns the folder.

    Args:
        seed: of the weights.
        overrides: keys of config.json, such as `num_hidden_layers=1` or `model_type="qwen3"`.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = write_byte_tokenizer(folder)
    raw = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        # Ten times the usual, so that 32 dimensions give probabilities that are visibly not uniform.
        "initializer_range": 0.2,
        "bos_token_id": vocab[IM_START],
        "eos_token_id": vocab[IM_END],
        "pad_token_id": vocab[IM_END],
        **overrides,
    }
    config = DecoderConfig.from_dict(raw, name="tiny model")
    write_folder(folder, config, random_weights(config, seed).items())
    return folder


def write_tiny_causal_lm(folder: Path, model_type: str = "gpt2", *, seed: int = 0, **overrides: Any) -> Path:
    """Writes a random model of any architecture that transformers has, with the byte tokenizer; returns the folder.

    Args:
        model_type: of config.json, such as "gpt2" or "gemma2".
        seed: of the weights.
        overrides: attributes of the architecture's configuration; its sizes are set small by the names most of them
            have, others must be given.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    from assay.policies.causal_lm import quiet

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocab = write_byte_tokenizer(folder)
    sizes = {
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "bos_token_id": vocab[IM_START],
        "eos_token_id": vocab[IM_END],
        "pad_token_id": None,
        **overrides,
    }
    config = AutoConfig.for_model(model_type, **sizes)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            # Wider than an untrained model's, so that probabilities are visibly not uniform, biases included.
            parameter.add_(torch.randn_like(parameter) * 0.1)
    torch.random.set_rng_state(state)
    with quiet():
        model.save_pretrained(folder)
    return folder


def random_weights(config: DecoderConfig, seed: int) -> dict[str, torch.Tensor]:
    """Normal matrices, norms of 1, biases of 0, each under its Hugging Face name."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in weight_shapes(config).items():
        if name.endswith(".bias"):
            weights[name] = torch.zeros(shape)
        elif len(shape) == 1:
            weights[name] = torch.ones(shape)
        else:
            weights[name] = torch.randn(shape, generator=generator) * config.initializer_range
    return weights


def write_byte_tokenizer(folder: Path) -> dict[str, int]:
    """Writes a tokenizer of the 256 bytes and the two ChatML tokens; returns its vocabulary."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    vocab = {letter: index for index, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in (IM_START, IM_END)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": IM_START,
        "eos_token": IM_END,
        "pad_token": IM_END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "chat_template": CHATML,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    return tokenizer.get_vocab()

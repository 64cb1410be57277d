#!/usr/bin/env bash
# transformers 5.23.0 (torch 2.13.0): a model whose config.json says tie_word_embeddings=true and whose file holds an
# output matrix that differs from the embedding (such files come out of fine-tuning that untied the two, or of merges).
#
# Behaviour: `from_pretrained` warns and does not tie, so both matrices are used; but config.tie_word_embeddings stays
# True. A model made from that configuration takes the state dict with "All keys matched successfully" and computes
# something else: its two names are one matrix, which holds the output matrix, and the embedding is gone. The same
# happens to the model itself by `tie_weights()`, and by `resize_token_embeddings` to the size that it has.
#
# Output seen:
#   loaded: tied False, config.tie_word_embeddings True
#   a copy by state dict: <All keys matched successfully>, its embedding is the output matrix: True, logits differ by 29.40
#   after resize_token_embeddings(64): logits differ by 13.84
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0
WORK=$work "$work/venv/bin/python" - <<'PYTHON'
import copy
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
torch.manual_seed(0)
folder = Path(os.environ["WORK"]) / "model"
config = LlamaConfig(
    vocab_size=64,
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    tie_word_embeddings=True,
)
LlamaForCausalLM(config).save_pretrained(folder)
weights = load_file(folder / "model.safetensors")
weights["lm_head.weight"] = torch.randn(64, 16)
save_file(weights, folder / "model.safetensors", {"format": "pt"})

model = LlamaForCausalLM.from_pretrained(folder).eval()
tied = model.lm_head.weight is model.model.embed_tokens.weight
print(f"loaded: tied {tied}, config.tie_word_embeddings {model.config.tie_word_embeddings}")
assert not tied
assert model.config.tie_word_embeddings is True, "the configuration now says what was loaded"

tokens = torch.arange(10)[None]
with torch.no_grad():
    expected = model(tokens).logits
    second = LlamaForCausalLM(model.config).eval()
    answer = second.load_state_dict(model.state_dict())
    gap = float((second(tokens).logits - expected).abs().max())
    lost = torch.equal(second.model.embed_tokens.weight, model.lm_head.weight)
    print(f"a copy by state dict: {answer}, its embedding is the output matrix: {lost}, logits differ by {gap:.2f}")
    assert not answer.missing_keys
    assert not answer.unexpected_keys
    assert lost
    assert gap > 1

    resized = copy.deepcopy(model)
    resized.resize_token_embeddings(64)
    gap = float((resized(tokens).logits - expected).abs().max())
    print(f"after resize_token_embeddings(64): logits differ by {gap:.2f}")
    assert gap > 1
PYTHON

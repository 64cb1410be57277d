#!/usr/bin/env bash
# PEFT 0.21.2 (transformers 5.23.0, torch 2.13.0): LoRA on the embedding, or on the output matrix, of a model whose two
# matrices are tied (tie_word_embeddings=True, as in most small models).
#
# Behaviour: in training only the targeted layer has the change; `merge_and_unload` adds it to the shared matrix, so that
# the merged model computes other logits than the adapter did. With ensure_weight_tying=True, meant for this case, both
# layers have the change in training, and merging adds it to the shared matrix twice. With two matrices from the start
# the merge is exact.
#
# Output seen (largest difference of logits, and the change of the matrix in multiples of the adapter's):
#   tied                       embed_tokens  gap 1.124  change 1.00
#   tied, ensure_weight_tying  embed_tokens  gap 1.136  change 2.00
#   two matrices               embed_tokens  gap 0.000  change 1.00
#   tied                       lm_head       gap 1.053  change 1.00
#   tied, ensure_weight_tying  lm_head       gap 1.136  change 2.00
#   two matrices               lm_head       gap 0.000  change 1.00
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 transformers==5.23.0 peft==0.21.2
"$work/venv/bin/python" - <<'PYTHON'
import warnings

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

warnings.filterwarnings("ignore")
TOKENS = torch.arange(10)[None]


def merged(target: str, *, ensure: bool = False, apart: bool = False) -> tuple[float, float]:
    """Largest difference of logits that merging makes, and the matrix's change in multiples of the adapter's."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
    base = LlamaForCausalLM(config).eval()
    if apart:
        base.lm_head.weight = torch.nn.Parameter(base.model.embed_tokens.weight.detach().clone())
        base.config.tie_word_embeddings = False
    layers = {"embed_tokens": base.model.embed_tokens, "lm_head": base.lm_head}
    start = layers[target].weight.detach().clone()
    settings = LoraConfig(r=2, lora_alpha=4, target_modules=[target], ensure_weight_tying=ensure, task_type="CAUSAL_LM")
    model = get_peft_model(base, settings).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        before = model(TOKENS).logits
        adapted = [base.model.embed_tokens, base.lm_head]
        change = next(layer for layer in adapted if hasattr(layer, "get_delta_weight")).get_delta_weight("default")
        whole = model.merge_and_unload()
        gap = float((whole(TOKENS).logits - before).abs().max())
        matrix = {"embed_tokens": whole.model.embed_tokens, "lm_head": whole.lm_head}[target].weight - start
    return gap, float((matrix * change).sum() / (change * change).sum())


for target in ("embed_tokens", "lm_head"):
    found = {
        "tied": merged(target),
        "tied, ensure_weight_tying": merged(target, ensure=True),
        "two matrices": merged(target, apart=True),
    }
    for label, (gap, multiple) in found.items():
        print(f"{label:26} {target:13} gap {gap:.3f}  change {multiple:.2f}")
    assert found["tied"][0] > 0.1, "merging no longer moves the other matrix"
    assert abs(found["tied, ensure_weight_tying"][1] - 2) < 1e-3, "the change is no longer added twice"
    assert found["tied, ensure_weight_tying"][0] > 0.1
    assert found["two matrices"][0] < 1e-5
PYTHON

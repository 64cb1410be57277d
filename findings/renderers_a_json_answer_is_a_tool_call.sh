#!/usr/bin/env bash
# renderers 0.1.12: its parser for Llama 3 takes a plain JSON answer with a field "name" for a tool call, with status OK
# and no content left, where no tool was offered and no such tool exists. A model that is asked for a person as JSON and
# answers {"name": "Ann", "age": 3} called the tool "Ann" without arguments, and a verifier that reads the content sees
# an empty answer. Other JSON answers stay content.
# Seen: {"name": "Ann", "age": 3} -> content '', call Ann({}); {"person": "Ann", "age": 3} -> content as it was, no call.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install renderers==0.1.12 httpx==0.28.1 openai==3.57.0 openai-harmony==0.0.8 prime-pydantic-config==0.4.3 \
    tiktoken==0.14.0 numpy==2.4.6 jinja2==3.1.6
"$folder/venv/bin/python" - <<'PYTHON'
from renderers.parsing import parse_llama_3


class Letters:
    """A tokenizer whose tokens are code points, and which has Llama 3's header token."""

    def convert_tokens_to_ids(self, token):
        return 1_200_000 if token == "<|end_header_id|>" else None

    def decode(self, ids, skip_special_tokens=False):
        return "".join(map(chr, ids))


def parse(text):
    parsed = parse_llama_3(Letters(), list(map(ord, text)), stop_ids={1_200_001})
    return parsed.content, [(call.name, call.arguments, call.status.name) for call in parsed.tool_calls]


for text in ('{"name": "Ann", "age": 3}', '{"person": "Ann", "age": 3}'):
    print(text, "->", parse(text))
assert parse('{"name": "Ann", "age": 3}') == ("", [("Ann", {}, "OK")])
assert parse('{"person": "Ann", "age": 3}') == ('{"person": "Ann", "age": 3}', [])
PYTHON

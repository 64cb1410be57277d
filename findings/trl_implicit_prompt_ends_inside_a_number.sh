#!/usr/bin/env bash
# TRL 1.16.0: the prompt that two responses have in common.
#
# Behaviour: a comparison without a prompt of its own, whose two texts begin alike, is cut at the first character at which
# they differ, wherever that is: inside a number here. The shared part becomes the prompt, so the responses that are
# compared are single digits, and the tens digit of both is part of the question. Two words that begin alike are cut in
# the same way.
#
# Output seen (prompt, chosen, rejected):
#   'What is 7 + 5? The answer is 1' '2' '5'
#   'Is it true? It is un' 'likely' 'true'
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet torch==2.13.0 trl==1.16.0 transformers==5.24.0 datasets==5.2.0
"$work/venv/bin/python" - <<'PYTHON'
from trl import extract_prompt

found = [
    extract_prompt({"chosen": f"{question}{chosen}", "rejected": f"{question}{rejected}"})
    for question, chosen, rejected in (
        ("What is 7 + 5? The answer is ", "12", "15"),
        ("Is it true? It is ", "unlikely", "untrue"),
    )
]
for row in found:
    print(repr(row["prompt"]), repr(row["chosen"]), repr(row["rejected"]))
assert found == [
    {"prompt": "What is 7 + 5? The answer is 1", "chosen": "2", "rejected": "5"},
    {"prompt": "Is it true? It is un", "chosen": "likely", "rejected": "true"},
]
PYTHON

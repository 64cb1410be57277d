#!/usr/bin/env bash
# datasets 5.2.0 (pandas 3.1.1, pyarrow 26.0.1): a column of numbers in JSON lines in which one row holds text.
#
# Behaviour: the column becomes Json(), which re-encodes its numbers with ten decimals: 1e-12 is
# read as 0.0, pi as 3.1415926536, without a word. The same numbers without the row of text keep every digit.
#
# Output seen (number written, read without the text, read with it):
#   3.141592653589793      3.141592653589793      3.1415926536
#   0.3333333333333333     0.3333333333333333     0.33333333330000003
#   1e-12                  1e-12                  0.0
#   2.7182818284590452e-05  2.7182818284590452e-05  2.71828e-05
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet datasets==5.2.0 pandas==3.1.1 pyarrow==26.0.1
cd "$work"
HF_HOME="$work/home" "$work/venv/bin/python" - <<'PYTHON'
import json
import math

import datasets

datasets.disable_progress_bars()
NUMBERS = [math.pi, 1 / 3, 1e-12, math.e * 1e-5]


def read(name: str, values: list) -> list:
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps({"x": value}) + "\n" for value in values)
    return datasets.load_dataset("json", data_files=f"{name}.jsonl", split="train")["x"][: len(NUMBERS)]


alone, beside_text = read("alone", NUMBERS), read("mixed", [*NUMBERS, "none"])
for row in zip(NUMBERS, alone, beside_text):
    print("  ".join(f"{value!r:<21}" for value in row).rstrip())
assert alone == NUMBERS
assert all(read != written for read, written in zip(beside_text, NUMBERS))
assert beside_text[2] == 0.0
PYTHON

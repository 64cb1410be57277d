"""Text that nobody would write on purpose, through the verifiers that read it in this process."""

from __future__ import annotations

import asyncio
import time
import tracemalloc

import pytest

from assay.types import Message, Task
from assay.verifiers import as_rollout, make_verifier, score_rollout

LARGE = 10_000_000
MOST_SECONDS = 6.0
"""For a response of ten megabytes, on a busy machine; the slowest takes a fifth of it."""
MOST_BYTES = 6 * LARGE
"""Beside the response: one copy of it, at up to four bytes a character, and what is made of the end that is read."""
GOLD = {"exact": "82", "numeric": "82", "choice": "B", "format": ""}
VERIFIERS = [
    ("exact", {}),
    ("exact", {"after": "="}),
    ("numeric", {}),
    ("numeric", {"reading": "any"}),
    ("choice", {}),
    ("format", {}),
    ("format", {"shape": "reasoning"}),
]
PARTS = {
    "digit": "7",
    "space": " ",
    "control": "\x00\x1b[2J\x07\b\r",
    "right to left": "\u202e\u2067\u200f\u061c",
    "surrogate": "\ud800\udfff",
    "combining": "e\u0301\u0338",
    "arabic digit": "\u0663",
    "box": "\\boxed{",
    "boxes": "\\boxed{1} ",
    "brace": "{",
    "parenthesis": "(1",
    "fraction": "1/",
    "comma": "1,",
    "power": "10^",
    "frac": "\\frac{1}{",
    "stated": "answer is (((",
    "text": "\\boxed{\\text{",
    "reasoning": "<think>",
    "end of reasoning": "</think>",
    "astral": "\U0001d7ff ",
}


@pytest.mark.parametrize("length", [9_999, LARGE], ids=["read whole", "ten megabytes"])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("name", "options"), VERIFIERS, ids=lambda value: str(value))
def test_endless_text_fails_in_bounded_time_and_memory(
    name: str, options: dict[str, str], part: str, length: int
) -> None:
    text = ("</think>" + PARTS[part] * (length // len(PARTS[part]) + 1))[:length]
    task = Task("hostile", (Message("user", "?"),), GOLD[name])
    rollout, verifier = as_rollout(text, task), make_verifier(name, options)
    tracemalloc.start()
    try:
        began = time.process_time()
        score = asyncio.run(score_rollout(verifier, rollout, task))
        seconds = time.process_time() - began
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert score.verdict.value == "failed"
    assert score.value == 0.0
    assert seconds < MOST_SECONDS
    assert peak < MOST_BYTES


@pytest.mark.parametrize(
    ("name", "response", "reason"),
    [
        ("exact", "\u202e82\u202c\u200f", ""),
        ("exact", "\x0082", "wrong"),
        ("exact", "82\ud800", "wrong"),
        ("numeric", "\u2067It is 82\u2069", ""),
        ("numeric", "\x1b[1m\b\x00 82 \x07", ""),
        ("numeric", "\ud800 82 \udfff", ""),
        ("numeric", "\u202e28\u202c", "wrong"),
        ("choice", "\u202eB\u202c", ""),
        ("choice", "B\x00", "no answer"),
        ("choice", "\\boxed{\udfffB}", "no answer"),
        ("format", "\\boxed{\u202e\x00\ud800}", ""),
        ("format", "\\boxed\x00{82}", "shape"),
    ],
)
def test_what_cannot_be_seen_changes_no_answer_but_is_none_either(name: str, response: str, reason: str) -> None:
    task = Task("hostile", (Message("user", "?"),), GOLD[name])
    score = asyncio.run(score_rollout(make_verifier(name), as_rollout(response, task), task))
    assert (score.verdict.value, score.reason) == ("failed" if reason else "solved", reason)

"""Steps on comparisons: the pairs that all sides learn from, and the processes of the sides."""

from __future__ import annotations

import json
import random
import re
import sys
from pathlib import Path
from typing import Any

from peers import python_of

HERE = Path(__file__).parent
TEXT = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "you were her all she there would their we him been has when who will more no if out so said what up its about "
    "into than them can only other new some could time these two may then do first any my now such like our over man"
)
WORDS = re.findall(r"\w+", TEXT)
"""Each with a space before it is one token of the default model's vocabulary."""
PAIRS, PROMPT, RESPONSE = 16, 64, 64
"""Pairs of a step, and the words of a prompt and of a response."""
HH_RLHF = (
    (17, 22, 33, 62, 85, 111, 137, 170, 226, 351),
    (6, 10, 14, 19, 24, 30, 39, 52, 72, 117),
    (6, 12, 17, 23, 31, 40, 51, 65, 87, 141),
)
"""Tokens of a prompt, a chosen and a rejected response of HH-RLHF's test pairs (harmless-base, 2,312), by the default
model's tokenizer: their quantiles at 5 %, 15 % and so on to 95 %."""
TRL_SIDES: dict[str, dict[str, Any]] = {
    "trl": {},
    "trl_once": {"precompute_ref_log_probs": True},
    **{f"trl_by_{micro}": {"precompute_ref_log_probs": True, "micro_batch": micro} for micro in (1, 4)},
}
"""TRL as it comes, its reference asked in every step; with its log-probabilities computed before; and that with so many
pairs at once, which pads less where lengths differ."""


def rows(repeat: int, count: int = PAIRS, people: bool = False) -> list[dict[str, str]]:
    """Pairs of a prompt, a chosen and a rejected response, of words by chance; other ones in each repeat.

    Args:
        people: lengths are drawn from those of `HH_RLHF`, the same ones for each `PAIRS` pairs and in each repeat.
    """
    rng, lengths = random.Random(f"pairs {repeat}"), random.Random("lengths")
    sizes = [
        [lengths.choice(lengths_of) for lengths_of in HH_RLHF] if people else [PROMPT, RESPONSE, RESPONSE]
        for _ in range(PAIRS)
    ]

    def text(length: int) -> str:
        return "".join(f" {rng.choice(WORDS)}" for _ in range(length))

    return [
        dict(zip(("prompt", "chosen", "rejected"), map(text, sizes[number % PAIRS]), strict=True))
        for number in range(count)
    ]


def command(name: str, kind: str, people: bool, model: Path, folder: Path, dtype: str) -> list[str]:
    """The process of a side; master weights are fp32 in all, and products are of this dtype."""
    if name not in TRL_SIDES:
        return [sys.executable, str(HERE / "side_pairs.py"), str(model), dtype]
    path = folder / f"pairs-{kind}{'-people' * people}" / "pairs.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(0, 4 * PAIRS, people)))
    options = {"pairs_per_step": PAIRS, "bf16": dtype == "bf16", **TRL_SIDES[name]}
    if kind == "reward":
        options.pop("precompute_ref_log_probs", None)
    script, settings = str(HERE / "side_trl_pairs.py"), json.dumps(options)
    return [str(python_of("trl", folder)), script, str(model), str(path), kind, settings]

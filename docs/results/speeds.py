"""What speed.md is recomputed from: speed.json, speed_avx2.json, drafting.json, and for the studio studio.json and
studio_browser.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from verify import Numbers

RESULTS = Path(__file__).parent
Rows = dict[tuple[str, str], Sequence[str | None]]


def median_with_range(values: Sequence[float], digits: int = 1) -> str:
    """Not in brackets, which are for intervals."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


WORKS = {
    "rollouts": ("sample: 64 distinct", 2, True),
    "rollouts_grouped": ("sample: 8 prompts", 2, True),
    "rollouts_long_prompts": ("sample: 4 prompts", 2, True),
    "update": ("update: 32", 2, False),
    "update_shared": ("update: 2", 2, False),
}
"""Work to how its row begins, digits, and whether vLLM was beside."""
UPDATES_AND_STEPS = {
    "step": "a whole GRPO step",
    "dpo_step": "an update of DPO",
    "reward_step": "an update of a reward model",
}
SHOWN = {"start_seconds": 2, "cpu_seconds": 2, "request_seconds": 2, "megabytes": 0}
"""What is shown of the studio and its peers, and digits."""
IN_BROWSER = {
    "curve": "the page of curves, the reward's drawn",
    "list": "the page of rollouts, 50 drawn",
    "row": "the next row",
    "page": "the next 50",
    "filter": "those of one outcome, counted",
    "text": "a text that none has, looked for in all",
    "rollout": "one of them opened",
}
SIDES = {
    "studio": "`assay studio`",
    "tensorboard": "TensorBoard",
    "mlflow_lean": "MLflow, one worker, no jobs",
    "mlflow": "MLflow by default",
}


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def ratios_of(work: Mapping[str, Any], peer: str) -> list[float]:
    """How many times a peer's seconds for a unit of work are ours, repeat by repeat."""
    ours, theirs = (
        [took / count for took, count in zip(work["seconds"][side], work["tokens"][side], strict=True)]
        for side in ("assay", peer)
    )
    return [slow / fast for fast, slow in zip(ours, theirs, strict=True)]


def floor_share(work: Mapping[str, Any]) -> str:
    return f"{100 * work['floor_seconds'] / statistics.median(work['seconds']['assay']):.0f} %"


def speed() -> Numbers:
    works = read("speed.json")["works"]

    def ratios(name: str, peer: str) -> list[float]:
        return ratios_of(works[name], peer)

    rows: Rows = {}
    for name, (label, digits, vllm) in WORKS.items():
        beside_vllm = median_with_range(ratios(name, "vllm"), digits) if vllm else ""
        rows["", label] = [
            median_with_range(ratios(name, "transformers"), digits),
            beside_vllm,
            floor_share(works[name]),
            None,
        ]
    for name, label in (("step", "answers end as they end"), ("step_forced", "every answer of 48 tokens")):
        (ratio,) = ratios(name, "trl")
        ours, theirs = (works[name]["seconds"][side][0] for side in ("assay", "trl"))
        rows["", label] = [f"{ratio:.1f} ({ours:.1f} s beside {theirs:.0f} s)", None]
    for name, label, digits in (("math_numbers", "plain numbers", 0), ("math_expressions", "expressions", 1)):
        rows["", f"`math` verifier, {label}"] = [f"{median_with_range(ratios(name, 'math-verify'), digits)} times"]
    return Numbers({**rows, **avx2(), **drafting(), **studio()})


def avx2() -> Rows:
    """One counted job a side: a ratio, no range."""
    rows: Rows = {}
    for name, work in read("speed_avx2.json")["works"].items():
        label = WORKS[name][0] if name in WORKS else UPDATES_AND_STEPS[name]
        trl = "trl_once" if "trl_once" in work["seconds"] else "trl"
        peers = [
            f"{ratios_of(work, peer)[0]:.2f}" if peer in work["seconds"] else ""
            for peer in ("transformers", "vllm", trl)
        ]
        memory = ", ".join(f"{work['peak_gigabytes'][side]:.1f}" for side in work["seconds"])
        rows["With AVX2 alone, in fp32", label] = [*peers, floor_share(work) if work["floor_seconds"] else "", memory]
    return rows


def drafting() -> Rows:
    """What drafting could gain at most, by guesses."""
    rows: Rows = {}
    for row in read("drafting.json")["runs"]:
        when = "always" if row["few"] is None else f"with {row['few']} sequences or fewer"
        rows["Drafting", f"{row['run']}, {row['drafts']} guesses, {when}"] = [
            f"{row['times']:.2f} ({row['low']:.2f} to {row['high']:.2f})",
            f"{100 * row['accepted']:.0f} %",
        ]
    return rows


def studio() -> Rows:
    """Each side as measured, and how many times the studio's what each peer took, by the pairs of one repeat."""
    repeats = read("studio.json")["repeats"]
    of = {side: {what: [each[what] for each in own] for what in own[0]} for side, own in repeats.items()}
    rows: Rows = {}
    for side, label in SIDES.items():
        measured = [median_with_range(of[side][what], digits) for what, digits in SHOWN.items()]
        rows["The studio", f"{label} |"] = measured
        if side != "studio":
            ratios = {
                what: [theirs / ours for theirs, ours in zip(of[side][what], of["studio"][what], strict=True)]
                for what in SHOWN
            }
            rows["The studio", f"{label} over the studio"] = [median_with_range(ratios[what], 2) for what in SHOWN]
    answers = read("studio_browser.json")["repeats"]
    for what, label in IN_BROWSER.items():
        rows["The studio", f"{label} |"] = [median_with_range([each[what] for each in answers], 2)]
    return rows

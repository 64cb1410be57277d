"""What speed.md is recomputed from: speed.json, and of the studio studio.json and studio_browser.json."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

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


def speed() -> Numbers:
    works = json.loads((RESULTS / "speed.json").read_text(encoding="utf-8"))["works"]

    def ratios(name: str, peer: str) -> list[float]:
        work = works[name]
        rates = {
            side: [took / count for took, count in zip(work["seconds"][side], work["tokens"][side], strict=True)]
            for side in ("assay", peer)
        }
        return [theirs / ours for ours, theirs in zip(rates["assay"], rates[peer], strict=True)]

    rows: Rows = {}
    for name, (label, digits, vllm) in WORKS.items():
        beside_vllm = median_with_range(ratios(name, "vllm"), digits) if vllm else ""
        floor = works[name]["floor_seconds"] / statistics.median(works[name]["seconds"]["assay"])
        rows["", label] = [
            median_with_range(ratios(name, "transformers"), digits),
            beside_vllm,
            f"{100 * floor:.0f} %",
            None,
        ]
    for name, label in (("step", "answers end as they end"), ("step_forced", "every answer of 48 tokens")):
        (ratio,) = ratios(name, "trl")
        ours, theirs = (works[name]["seconds"][side][0] for side in ("assay", "trl"))
        rows["", label] = [f"{ratio:.1f} ({ours:.1f} s beside {theirs:.0f} s)", None]
    for name, label, digits in (("math_numbers", "plain numbers", 0), ("math_expressions", "expressions", 1)):
        rows["", f"`math` verifier, {label}"] = [f"{median_with_range(ratios(name, 'math-verify'), digits)} times"]
    return Numbers({**rows, **studio()})


def studio() -> Rows:
    """Each side as measured, and how many times the studio's what each peer took, by the pairs of one repeat."""
    repeats = json.loads((RESULTS / "studio.json").read_text(encoding="utf-8"))["repeats"]
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
    answers = json.loads((RESULTS / "studio_browser.json").read_text(encoding="utf-8"))["repeats"]
    for what, label in IN_BROWSER.items():
        rows["The studio", f"{label} |"] = [median_with_range([each[what] for each in answers], 2)]
    return rows

"""What people.md is recomputed from: people/pairs.json, what a reward model said of comparisons that people made.

python docs/results/people.py RUN AGREEMENT.json    # keeps what the run's closing test and that file say
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from verify import Numbers

from assay.observe.folder import read_json, write_json
from assay.observe.store import RunStore
from assay.statistics import Interval, clustered_proportion, t_interval

BOUNDS = ("value", "low", "high")
KEPT = Path(__file__).parent / "people" / "pairs.json"


def keep(run: Path, agreement: Path) -> None:
    """Keep margins and lengths of the run's held-out comparisons, and how often it agrees on each file of others.

    Texts are left out: some of them are meant to do harm.
    """
    store = RunStore.open_readonly(run)
    rows = store.evaluation_rows(read_json(run / "summary.json")["num_steps"] - 1, "test", "pairs")
    parts = [row.get("scores", {}).get("strict", {}).get("parts") for row in rows]
    found = read_json(agreement)
    parts_of = {"all": found, **found["by_file"]}
    KEPT.parent.mkdir(exist_ok=True)
    write_json(
        KEPT,
        {
            "held_out": [[round(part["margin"], 4), round(part["length"], 4)] if part else None for part in parts],
            "others": {
                name: {key: part[key] for key in ("agreement", "num", "num_measured", "length_rule")}
                for name, part in parts_of.items()
            },
        },
    )


def people() -> Numbers:
    """The table of people.md."""
    kept = read_json(KEPT)
    measured: list[Sequence[float]] = [row for row in kept["held_out"] if row is not None]
    # Of each the response that people preferred, less the other.
    right, shorter = _share([row[0] for row in measured]), _share([-row[1] for row in measured])
    rows: dict[tuple[str, str], Sequence[str | None]] = {
        ("Held-out comparisons", "HH-RLHF"): _cells(len(measured), len(kept["held_out"]), right, shorter)
    }
    better = t_interval(
        [float(margin > 0) - (0.5 if length == 0 else float(length < 0)) for margin, length in measured]
    )
    phrases = [f"{100 * better.value:+.1f} points [{100 * better.low:+.1f}, {100 * better.high:+.1f}]"]
    for name, part in kept["others"].items():
        agreement, rule = (Interval(**{key: part[of][key] for key in BOUNDS}) for of in ("agreement", "length_rule"))
        if part["length_rule"]["rule"] == "longer":
            rule = Interval(1 - rule.value, 1 - rule.high, 1 - rule.low)
        if name == "all":
            where = f"where the shorter response is on {rule.as_percent()}"
            phrases.append(f"{agreement.as_percent()} of all {part['num']} pairs, {where}")
            continue
        label = f"LLMBar, {name.removesuffix('.json').removeprefix('llmbar_')}"
        rows["Held-out comparisons", label] = _cells(part["num_measured"], part["num"], agreement, rule)
    return Numbers(rows, phrases)


def _share(differences: Sequence[float]) -> Interval:
    """How often a difference is above 0; one that is 0 counts a half."""
    return clustered_proportion([0.5 if each == 0 else float(each > 0) for each in differences], len(differences))


def _cells(num: int, out_of: int, right: Interval, shorter: Interval) -> list[str]:
    return [f"{num} of {out_of}", right.as_percent(), shorter.as_percent()]


if __name__ == "__main__":
    keep(Path(sys.argv[1]), Path(sys.argv[2]))

"""What map.md is recomputed from: map/rows.jsonl.xz, a line for every episode, by the code of `assay map` itself.

python docs/results/maps.py FOLDER      # keeps the rows of a map, and draws its picture
"""

from __future__ import annotations

import functools
import json
import lzma
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from verify import Numbers

from assay.evaluation import EvalRow
from assay.evaluation.folder import read_rows
from assay.evaluation.map import Axis, MapCell, MapMeasurement, TaskLength, draw_map, map_result
from assay.evaluation.map.measure import number_in_cell
from assay.evaluation.map.measurement import PILOT_TASKS
from assay.evaluation.map.report import shown_horizon
from assay.statistics import Estimate
from assay.types import Score

FOLDER = Path(__file__).parent / "map"
ROWS, UNITS = "rows.jsonl.xz", "units.json"
BEFORE, AFTER = "cold-start", "grpo-1"
MODELS = (BEFORE, AFTER)
SECTIONS = {"chain": "Chain", "arithmetic": "Arithmetic", "units": "Units"}
Rows = dict[tuple[str, str], Sequence[str | None]]


def keep(source: Path) -> None:
    """Keep what is recomputed of a map's folder."""
    FOLDER.mkdir(exist_ok=True)
    rows = [
        _kept(model, label, row)
        for model in MODELS
        for label in SECTIONS
        for row in read_rows(source / model / label / "rows.jsonl")
    ]
    # The map was ended after the first half of its plan: what one model had begun beyond that has no pair.
    played = Counter((row["environment"], row["task"]) for row in rows)
    with lzma.open(FOLDER / ROWS, "wt", preset=9) as file:
        file.writelines(
            json.dumps(row) + "\n" for row in rows if played[row["environment"], row["task"]] == len(MODELS)
        )
    (FOLDER / UNITS).write_text((source / UNITS).read_text(encoding="utf-8"), encoding="utf-8")
    picture = FOLDER / "map.png"
    draw_map(recomputed.__wrapped__(), [picture])
    Image.open(picture).convert("RGB").quantize(48).save(picture, optimize=True)


def _kept(model: str, label: str, row: EvalRow) -> dict[str, Any]:
    """What is kept of an episode."""
    score = row.scores["strict"]
    return {
        "model": model,
        "environment": label,
        "complexity": row.complexity,
        "horizon": row.horizon,
        "task": row.task_id,
        "pilot": number_in_cell(row.task_index) < PILOT_TASKS,
        "solved": score.verdict.value == "solved" if score.measured else None,
        "tokens": row.num_tokens,
        "ending": row.ending,
    }


@functools.cache
def recomputed() -> dict[str, Any]:
    """The map, from its rows."""
    units = json.loads((FOLDER / UNITS).read_text(encoding="utf-8"))
    with lzma.open(FOLDER / ROWS, "rt") as file:
        rows = [json.loads(line) for line in file]
    places = list(dict.fromkeys((row["environment"], row["complexity"], row["horizon"]) for row in rows))
    places.sort(key=lambda place: (list(SECTIONS).index(place[0]), *place[1:]))
    cells = [MapCell(*place) for place in places]
    measured = MapMeasurement(cells, list(MODELS))
    for row in rows:
        place = places.index((row["environment"], row["complexity"], row["horizon"]))
        kept = measured.pilot if row["pilot"] else measured.rows
        kept.setdefault((row["model"], place), []).append(_row(row))
    return map_result(
        measured,
        [TaskLength(**units[cell.name]) for cell in cells],
        horizon_units={"chain": "updates", "arithmetic": "chained operations", "units": "steps"},
        axis=Axis.HORIZON,
        reading="strict",
        notes={},
    )


def _row(row: Mapping[str, Any]) -> EvalRow:
    solved = row["solved"]
    score = Score.solved() if solved else Score.failed("") if solved is not None else Score.not_measured("")
    return EvalRow(
        task_id=row["task"],
        task_index=0,
        sample=0,
        domain=row["environment"],
        level="",
        complexity=row["complexity"],
        horizon=row["horizon"],
        prompt="",
        answer="",
        response="",
        ending=row["ending"],
        num_tokens=row["tokens"],
        scores={"strict": score},
    )


def map_page() -> Numbers:
    """Every cell, difference and horizon of the page."""
    rows: Rows = {}
    phrases: list[str] = []
    for label, section in SECTIONS.items():
        found = recomputed()["environments"][label]
        (difference,) = found["differences"]
        for model, name in ((BEFORE, "before"), (AFTER, "after")):
            for cells in _by_complexity(found["models"][model]["cells"]):
                rows[section, f"c{cells[0]['complexity']:g} {name}"] = [share(cell) for cell in cells]
        gains = list(zip(found["models"][BEFORE]["cells"], difference["cells"], strict=True))
        for cells in _by_complexity([{**cell, "gain": gain} for cell, gain in gains]):
            rows[section, f"c{cells[0]['complexity']:g} difference"] = [points(cell["gain"]) for cell in cells]
        rows |= _horizons(section, found, difference)
        whole = difference["all"]
        if whole is not None:
            phrases.append(f"{whole['num_tasks']} pairs: {points(whole)} points, p = {whole['p_holm']:.2g}")
    return Numbers(rows, phrases)


def _horizons(section: str, found: Mapping[str, Any], difference: Mapping[str, Any]) -> Rows:
    """50 % and 80 % horizons of both models, and how many times as long the first is after."""
    sides = [found["models"][model] for model in MODELS]
    shifts = {shift["complexity"]: Estimate(**shift["times"]) for shift in difference["frontier"]}
    rows: Rows = {}
    for complexity in dict.fromkeys(cell["complexity"] for cell in sides[0]["cells"]):
        shown = [_reach(side, complexity, key) for key in ("p50", "p80") for side in sides]
        times = shifts.get(complexity)
        moved = "not known" if times is None or times.value is None else times.shown()
        rows[section, f"complexity {complexity:g}"] = [*shown, moved]
    return rows


def _reach(side: Mapping[str, Any], complexity: float, key: str) -> str:
    """A horizon of one model, or what is known of it."""
    frontier = side["frontier"]
    if frontier is None or frontier["note"] or complexity not in side["complexities"]:
        return "not known"
    found = frontier["horizons"][side["complexities"].index(complexity)][key]
    return shown_horizon(Estimate(**found), (side["shortest"], side["longest"]))


def _by_complexity(cells: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    return [
        [cell for cell in cells if cell["complexity"] == complexity]
        for complexity in dict.fromkeys(cell["complexity"] for cell in cells)
    ]


def share(cell: Mapping[str, Any]) -> str:
    """Share solved with its interval and count, in percent."""
    accuracy = cell["accuracy"]
    if accuracy is None:
        return "not measured"
    value, low, high = (round(100 * accuracy[key]) for key in ("value", "low", "high"))
    return f"{value} % [{low}, {high}], {cell['num_solved']} of {cell['num_tasks']}"


def points(gain: Mapping[str, Any] | None) -> str:
    """A difference in points with its interval."""
    if gain is None:
        return "-"
    text = f"{100 * gain['value']:+.0f} [{100 * gain['low']:+.0f}, {100 * gain['high']:+.0f}]"
    return f"**{text}**" if gain["p_holm"] < 0.05 else text


if __name__ == "__main__":
    keep(Path(sys.argv[1]))

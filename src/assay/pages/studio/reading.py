"""What the studio reads from run folders. Each answer opens the store anew and closes it: a run goes on, or is deleted,
while its page is open."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import RunFolderError
from assay.observe.curves import Curve, learns_from_given_pairs, level_curves, level_title, main_curves, reward_curve
from assay.observe.folder import CONFIG, read_json, run_status
from assay.observe.records import EventRecord
from assay.observe.store import BEFORE_TRAINING, STORE_NAME, RunStore

if TYPE_CHECKING:
    from assay.evaluation import Evaluation

ALARM = "alarm"
"""The kind of event that an alarm of the watch is."""
_RESULTS = ("map.json", "transfer.json", "audit.json", "table.json", "scores.json", "summary.json")
_MOST_RESULT_BYTES = 5_000_000


@dataclass(frozen=True)
class RunState:
    """How a run stands."""

    num_steps: int
    status: str
    stamp: tuple[float, ...]
    """Changes whenever something is written to the store."""


@contextmanager
def opened(folder: Path) -> Iterator[RunStore]:
    """The store of a run, for one answer.

    Raises:
        RunFolderError: the folder is gone, has no store yet, or one that cannot be read; says what to do.
    """
    if not folder.is_dir():
        raise RunFolderError(f"{folder} is gone: it was deleted or moved. Open another run, or stop this page")
    if not (folder / STORE_NAME).is_file():
        what = "has settings and no steps yet; wait for the first step" if (folder / CONFIG).is_file() else "is no run"
        raise RunFolderError(f"{folder} {what}")
    with RunStore.open_readonly(folder) as store:
        yield store


def state_of(folder: Path) -> RunState:
    """Return how a run stands, from few rows.

    Raises:
        RunFolderError: as `opened`.
    """
    with opened(folder) as store:
        num_steps = store.select("SELECT COALESCE(MAX(step) + 1, 0) AS num FROM rollouts")[0]["num"]
        num_steps = max(num_steps, store.select("SELECT COALESCE(MAX(step) + 1, 0) AS num FROM steps")[0]["num"])
    return RunState(num_steps, run_status(folder, num_steps), stamp_of(folder))


def stamp_of(folder: Path) -> tuple[float, ...]:
    """What changes when the store does, without a look into it; empty where the run is gone."""
    found = []
    for name in (STORE_NAME, f"{STORE_NAME}-wal"):
        try:
            about = (folder / name).stat()
        except OSError:
            continue
        found += [about.st_mtime, float(about.st_size)]
    return tuple(found)


def first_curve(folder: Path) -> Curve:
    """Return the curve of the reward, what is looked at first; without points where comparisons are given."""
    with opened(folder) as store:
        return Curve("reward", "Mean reward", "reward", ()) if learns_from_given_pairs(store) else reward_curve(store)


def other_curves(folder: Path) -> list[Curve]:
    """Return the curves beside the reward's."""
    with opened(folder) as store:
        return [curve for curve in main_curves(store, from_tokens=False) if curve.name != "reward"]


def by_level(folder: Path) -> tuple[str, dict[str, Curve]]:
    """Return the title and the curves by level; empty where there is one level only."""
    with opened(folder) as store:
        curves = level_curves(store)
    return (level_title(curves), curves) if len(curves) > 1 else ("", {})


def evaluation_curves(folder: Path) -> list[Curve]:
    """Return accuracies, or mean rewards, with their intervals, by split, decoding and reading, measured at two
    steps or more."""
    with opened(folder) as store:
        records = [each for each in store.evaluations() if each.level == "all" and each.measure[0] is not None]
    found: dict[tuple[str, str, str], list[Any]] = {}
    for each in records:
        found.setdefault((each.split, each.decoding, each.reading), []).append(each)
    curves = []
    for (split, decoding, reading), own in found.items():
        if len(own) > 1:
            points = tuple((each.step, float(each.measure[0])) for each in own)
            band = tuple((_end(each.measure[1], each), _end(each.measure[2], each)) for each in own)
            unit = "reward" if own[0].accuracy is None else "accuracy"
            curves.append(Curve(f"{split} {decoding} {reading}", f"{split}: {decoding}, {reading}", unit, points, band))
    return curves


def _end(end: float | None, record: Any) -> float:
    return float(record.measure[0]) if end is None else float(end)


def events_of(folder: Path, most: int = 200) -> tuple[list[EventRecord], list[EventRecord]]:
    """Return the alarms, and the last of the other events."""
    with opened(folder) as store:
        events = store.events()
    return [each for each in events if each.kind == ALARM], [each for each in events if each.kind != ALARM][-most:]


# ---- before and after, and runs beside each other ----


@dataclass(frozen=True)
class TwoSides:
    """One task of the closing test, before and after training. Texts are hostile until shown to be safe."""

    number: int
    num: int
    task_id: str
    level: str
    prompt: str
    answer: str
    before: str
    after: str
    before_verdicts: Mapping[str, str]
    after_verdicts: Mapping[str, str]


def last_test(store: RunStore) -> int | None:
    """Return the step of the closing test; None where the run has none yet."""
    rows = store.select(
        "SELECT MAX(step) AS step FROM evaluation_rows WHERE split = 'test' AND step > ?", [BEFORE_TRAINING]
    )
    return rows[0]["step"]


def two_sides(folder: Path, number: int, decoding: str = "greedy") -> TwoSides | None:
    """Return one task of the closing test on both sides; None where there is no closing test yet.

    Raises:
        RunFolderError: as `opened`.
    """
    with opened(folder) as store:
        step = last_test(store)
        if step is None:
            return None
        kinds = store.select("SELECT DISTINCT decoding FROM evaluation_rows WHERE split = 'test' AND step = ?", [step])
        decoding = decoding if {"decoding": decoding} in kinds else kinds[0]["decoding"]
        of_test = "FROM evaluation_rows WHERE step = ? AND split = 'test' AND decoding = ?"
        num = store.select(f"SELECT COUNT(*) AS num {of_test}", [step, decoding])[0]["num"]
        number = min(number, max(0, num - 1))
        sides = [
            store.select(f"SELECT row {of_test} AND position = ?", [at, decoding, number])
            for at in (BEFORE_TRAINING, step)
        ]
    if not all(sides):
        return None
    before, after = (json.loads(side[0]["row"]) for side in sides)
    return TwoSides(
        number,
        num,
        *(str(after.get(name, "")) for name in ("task_id", "level", "prompt", "answer")),
        *(str(side.get("response", "")) for side in (before, after)),
        before_verdicts=_verdicts(before),
        after_verdicts=_verdicts(after),
    )


def _verdicts(side: Mapping[str, Any]) -> dict[str, str]:
    """The verdict of a row of an evaluation under each reading."""
    return {name: str(score.get("verdict", "")) for name, score in side.get("scores", {}).items()}


def paired_differences(first: Path, second: Path) -> list[dict[str, str]]:
    """Return, by decoding and reading, the closing tests of two runs in pairs of tasks: scores, difference with its
    95 % interval, paired test. A row with `why` where they cannot be compared."""
    from assay.errors import AssayError
    from assay.evaluation import compare

    found = []
    tests = [_tests(folder) for folder in (first, second)]
    for decoding in tests[0]:
        if decoding not in tests[1]:
            continue
        one, other = tests[0][decoding], tests[1][decoding]
        for reading in [reading for reading in one.readings if reading in other.readings]:
            row = {
                "decoding": decoding,
                "reading": reading,
                "first": one.as_text(reading),
                "second": other.as_text(reading),
            }
            try:
                gain = compare(one, other, reading)
                row |= {
                    "difference": gain.as_text(),
                    "changes": f"{gain.num_improved}, {gain.num_worsened}",
                    "p": f"{gain.p_value:.2g}",
                }
            except AssayError as error:
                row["why"] = str(error)
            found.append(row)
    return found


def _tests(folder: Path) -> dict[str, Evaluation]:
    """The closing test of a run by decoding; empty where it has none yet."""
    from assay.evaluation import Evaluation
    from assay.evaluation.row import EvalRow

    with opened(folder) as store:
        step = last_test(store)
        if step is None:
            return {}
        kinds = store.select("SELECT DISTINCT decoding FROM evaluation_rows WHERE split = 'test' AND step = ?", [step])
        return {
            kind["decoding"]: Evaluation(
                tuple(EvalRow.from_dict(row) for row in store.evaluation_rows(step, "test", kind["decoding"]))
            )
            for kind in kinds
        }


# ---- results of other commands, and the doctor ----


@dataclass(frozen=True)
class ResultFile:
    """A file of results in a run folder."""

    name: str
    facts: Sequence[tuple[str, str]]
    """What it says, name and value."""
    text: str = ""
    """A report in markdown."""


def results_in(folder: Path) -> list[ResultFile]:
    """Return what maps, transfers, audits and summaries left in a folder, or in a folder within it."""
    found = []
    for path in sorted({*folder.glob("*.json"), *folder.glob("*/*.json")}):
        known = path.name in _RESULTS or path.name.startswith("audit")
        if known and path.stat().st_size <= _MOST_RESULT_BYTES:
            data = read_json(path)
            facts = [(name, _short(value)) for name, value in data.items() if name not in ("settings", "transcripts")]
            found.append(ResultFile(str(path.relative_to(folder)), facts[:60]))
    for path in sorted({*folder.glob("report.md"), *folder.glob("*/report.md")}):
        if path.stat().st_size <= _MOST_RESULT_BYTES:
            found.append(
                ResultFile(str(path.relative_to(folder)), (), path.read_text(encoding="utf-8", errors="replace"))
            )
    return found


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 600 else f"{text[:600]} ..."


def diagnosis(folder: Path) -> Mapping[str, Any]:
    """Return what the doctor says of a run, as plain data.

    Raises:
        RunFolderError: as `opened`.
    """
    from assay.doctor import examine_folder

    with opened(folder):
        pass
    return examine_folder(folder).to_dict()

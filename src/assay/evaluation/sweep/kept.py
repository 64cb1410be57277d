"""The files kept of a sweep beside its results page: every answer and every summary, each in one file.

rows.jsonl.xz     a line for each answer to a test task: cell, seed, side ("before" or "after"), decoding, task, prompt,
                  gold answer, horizon, response, ending, tokens, turns, the verdict of each reading, and where they say
                  more than that, the `reasons` and `values` of readings. Answers from before training that all seeds of
                  a cell share stand once, with seed null; those that all cells share, with cell null
summaries.json    what each run says of itself: what all runs have in common, and "CELL/seed-S" to what is its own
steps.csv.xz      every metric of every step: cell, seed, step, metric, value

`read_runs` gives them back as evaluations, so that every number that was published can be computed again.
"""

from __future__ import annotations

import csv
import json
import lzma
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from assay.errors import RunFolderError
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.observe.folder import read_json, write_json
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.types import Score, Verdict

ROWS, SUMMARIES, STEPS = "rows.jsonl.xz", "summaries.json", "steps.csv.xz"
_KEPT = ("task_id", "level", "horizon", "prompt", "answer", "response", "ending", "num_tokens", "num_turns")
_UNKNOWN = {"horizon": None, "num_tokens": None, "num_turns": None}
"""Value that a line which lacks a key stands for; an empty text where none is known."""
RunName = tuple[str, int]
"""Cell and seed."""
Block = tuple[str, str]
"""Side and decoding."""


@dataclass(frozen=True)
class KeptRun:
    """A run of a published sweep."""

    cell: str
    seed: int
    summary: Mapping[str, Any]
    answers: Mapping[Block, Evaluation] = field(default_factory=dict)

    @cached_property
    def test(self) -> BeforeAfter:
        """The closing test.

        Raises:
            RunFolderError: no answers from before and after are kept of this run.
        """
        sides = {
            side: {decoding: found for (of, decoding), found in self.answers.items() if of == side}
            for side in ("before", "after")
        }
        if not (sides["before"] and sides["after"]):
            raise RunFolderError(f"no answers before and after training are kept of {self.cell} seed {self.seed}")
        return BeforeAfter(sides["before"], sides["after"])


def short_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an evaluation's row that is kept."""
    scores = row["scores"]
    short = {key: row[key] for key in _KEPT if row.get(key) is not None}
    short |= {"domain": row["domain"]} if row.get("domain") else {}
    short |= {reading: score["verdict"] for reading, score in scores.items()}
    reasons = {reading: score["reason"] for reading, score in scores.items() if score.get("reason")}
    values = {
        reading: score["value"]
        for reading, score in scores.items()
        if score.get("value") not in (None, 0, 1) or score["verdict"] == "graded"
    }
    return short | ({"reasons": reasons} if reasons else {}) | ({"values": values} if values else {})


def closing_answers(store: RunStore) -> dict[Block, list[dict[str, Any]]]:
    """The short rows of a run's closing test; empty where there was none."""
    tests = sorted({(r.step, r.decoding) for r in store.evaluations() if r.split == "test"})
    return {
        ("before" if step == BEFORE_TRAINING else "after", decoding): [
            short_row(row) for row in store.evaluation_rows(step, "test", decoding)
        ]
        for step, decoding in tests
    }


def closing_test(answers: Mapping[Block, Sequence[Mapping[str, Any]]]) -> BeforeAfter | None:
    """The test whose short rows these are; None where a side is missing."""
    if {side for side, _ in answers} < {"before", "after"}:
        return None
    evaluations: dict[Block, Evaluation] = {}
    for block, rows in answers.items():
        read: list[EvalRow] = []
        for row in rows:
            read.append(_eval_row(dict(row), read))
        evaluations[block] = Evaluation(tuple(read))
    return KeptRun("", 0, {}, evaluations).test


def write_rows(path: Path, answers: Mapping[RunName, Mapping[Block, Sequence[Mapping[str, Any]]]]) -> None:
    """Writes the answers of runs, as short rows; what runs share once."""
    cells: dict[str, list[int]] = defaultdict(list)
    for cell, seed in answers:
        cells[cell].append(seed)
    blocks = list(dict.fromkeys(block for of_run in answers.values() for block in of_run))
    with lzma.open(path, "wt", encoding="utf-8", preset=9 | lzma.PRESET_EXTREME) as file:
        for side, decoding in blocks:
            found = {run: of_run[side, decoding] for run, of_run in answers.items() if (side, decoding) in of_run}
            for (cell, seed), rows in _shared(found, cells, len(answers)) if side == "before" else found.items():
                head = {"cell": cell, "seed": seed, "side": side, "decoding": decoding}
                for row in rows:
                    file.write(json.dumps({**head, **row}, ensure_ascii=False) + "\n")


def _shared(
    found: Mapping[RunName, Sequence[Mapping[str, Any]]], cells: Mapping[str, Sequence[int]], num_runs: int
) -> Iterator[tuple[tuple[str | None, int | None], Sequence[Mapping[str, Any]]]]:
    first = next(iter(found.values()))
    if len(found) == num_runs and all(rows == first for rows in found.values()):
        yield (None, None), first
        return
    for cell, seeds in cells.items():
        own = [found[cell, seed] for seed in seeds if (cell, seed) in found]
        if own and len(own) == len(seeds) and all(rows == own[0] for rows in own):
            yield (cell, None), own[0]
        else:
            yield from (((cell, seed), found[cell, seed]) for seed in seeds if (cell, seed) in found)


def write_steps(
    path: Path, metrics: Mapping[tuple[str, int], Mapping[str, Iterable[tuple[int, float | None]]]]
) -> None:
    """Writes the curves of runs, (cell, seed) to metric to (step, value)."""
    with lzma.open(path, "wt", encoding="utf-8", newline="", preset=9 | lzma.PRESET_EXTREME) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["cell", "seed", "step", "metric", "value"])
        for (cell, seed), curves in metrics.items():
            for metric, points in curves.items():
                for step, value in points:
                    writer.writerow([cell, seed, step, metric, "" if value is None else f"{value:.6g}"])


def write_summaries(path: Path, summaries: Mapping[RunName, Mapping[str, Any]]) -> None:
    """Writes what runs say of themselves, what they have in common once."""
    common = _common(list(summaries.values()))
    runs = {f"{cell}/seed-{seed}": _without(summary, common) for (cell, seed), summary in summaries.items()}
    write_json(path, {"common": common, "runs": runs})


def read_runs(folder: Path) -> list[KeptRun]:
    """The runs of a published sweep, in the order in which they were written.

    Raises:
        RunFolderError: the folder holds no published sweep, or a line of its rows is not one.
    """
    kept = read_json(folder / SUMMARIES)
    if not kept.get("runs"):
        raise RunFolderError(f"{folder} holds no published sweep: it has no {SUMMARIES} with runs")
    answers = read_rows(folder / ROWS) if (folder / ROWS).is_file() else {}
    blocks = list(dict.fromkeys(block for found in answers.values() for block in found))
    runs = []
    for name, own in kept["runs"].items():
        cell, _, number = name.rpartition("/seed-")
        places = ((cell, int(number)), (cell, None), (None, None))
        of_run = {
            block: next(answers[place][block] for place in places if block in answers.get(place, {}))
            for block in blocks
            if any(block in answers.get(place, {}) for place in places)
        }
        runs.append(KeptRun(cell, int(number), _together(kept["common"], own), of_run))
    return runs


def read_rows(path: Path) -> dict[tuple[str | None, int | None], dict[Block, Evaluation]]:
    """(cell, seed) to (side, decoding) to answers, as they stand in a file of rows: shared ones under None."""
    found: dict[tuple[str | None, int | None], dict[Block, list[EvalRow]]] = defaultdict(lambda: defaultdict(list))
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                place = (row.pop("cell", None), row.pop("seed", None))
                block = (row.pop("side"), row.pop("decoding"))
                found[place][block].append(_eval_row(row, found[place][block]))
            except (ValueError, KeyError, AttributeError, TypeError) as error:
                raise RunFolderError(f"line {number} of {path} is no kept answer: {error!r}") from None
    return {
        place: {block: Evaluation(tuple(rows)) for block, rows in blocks.items()} for place, blocks in found.items()
    }


def _eval_row(row: dict[str, Any], earlier: Sequence[EvalRow]) -> EvalRow:
    """The answer that a line holds; those of one task follow each other."""
    known = {key: row.pop(key, _UNKNOWN.get(key, "")) for key in _KEPT}
    domain, reasons, values = row.pop("domain", ""), row.pop("reasons", {}), row.pop("values", {})
    last = earlier[-1] if earlier else None
    again = last is not None and last.task_id == known["task_id"]
    return EvalRow(
        **known,
        task_index=0 if last is None else last.task_index + (not again),
        domain=domain,
        sample=last.sample + 1 if last is not None and again else 0,
        complexity=None,
        scores={name: _score(Verdict(row[name]), values.get(name), reasons.get(name, "")) for name in row},
    )


@cache
def _score(verdict: Verdict, value: float | None, reason: str) -> Score:
    if value is None:
        value = {Verdict.SOLVED: 1.0, Verdict.FAILED: 0.0}.get(verdict)
    return Score(verdict, value, reason=reason)


def _common(values: Sequence[Any]) -> Any:
    """Return the entries that all of some nested dictionaries have at the same places."""
    first = values[0]
    found = {}
    for key in first:
        if all(key in value for value in values):
            of_key = [value[key] for value in values]
            if all(value == of_key[0] for value in of_key):
                found[key] = of_key[0]
            elif all(isinstance(value, dict) for value in of_key) and (inner := _common(of_key)):
                found[key] = inner
    return found


def _without(value: Mapping[str, Any], common: Mapping[str, Any]) -> dict[str, Any]:
    own = {}
    for key, held in value.items():
        if key not in common:
            own[key] = held
        elif held != common[key]:
            own[key] = _without(held, common[key])
    return own


def _together(common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(common)
    for key, held in own.items():
        both = isinstance(held, dict) and isinstance(merged.get(key), dict)
        merged[key] = _together(merged[key], held) if both else held
    return merged

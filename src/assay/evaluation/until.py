"""Evaluation that stops when its question is decided, with an interval that allows for the looking."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from assay.errors import ConfigError, DataError
from assay.evaluation.evaluate import evaluate
from assay.evaluation.evaluation import Evaluation
from assay.seeds import derive_seed
from assay.statistics import ConfidenceSequence, Interval
from assay.types import Task

BATCH_TASKS = 32
"""Tasks between two looks: enough that an engine samples them together."""
_QUESTION = re.compile(r"(?:(?P<reading>[^<>±+=\s]+)\s*)?(?P<kind><|>|±|\+-)\s*(?P<points>\d+(?:\.\d+)?)\s*%?")


@dataclass(frozen=True)
class Until:
    """The question that an evaluation is to decide, and no more.

    Written ">30" or "<30": whether the accuracy is above or below 30 %, whichever it is; "±5" or "+-5": the accuracy to
    within 5 points. A reading may stand before it: "strict>30". Against an earlier evaluation of the same tasks the
    accuracy's place is taken by the gain over it, in points: ">0" asks whether the model is better or worse.
    """

    text: str
    reading: str
    threshold: float | None
    half_width: float | None
    base: Mapping[str, float] | None = None
    """Task id to its share solved in the evaluation that this one is against; None without one."""

    @classmethod
    def parse(cls, text: str, readings: Sequence[str], against: Evaluation | None = None) -> Until:
        """The question that a text asks.

        Raises:
            ConfigError: it asks none, or of a reading that there is not.
        """
        found = _QUESTION.fullmatch(text.strip())
        if found is None:
            raise ConfigError(
                f'--until {text!r} asks nothing; give ">30" (is the accuracy above or below 30 %?) or "±5" (to within '
                f'5 points?), with a reading before it where there are several: "{readings[0]}>30"'
            )
        reading, share = found["reading"] or readings[0], float(found["points"]) / 100
        if reading not in readings:
            raise ConfigError(f"--until {text!r}: there is no reading {reading!r}; there are {', '.join(readings)}")
        is_width = found["kind"] not in "<>"
        if share >= 1 or (is_width and share == 0):
            raise ConfigError(f"--until {text!r}: a share or width is below 100 %{' and above 0' if is_width else ''}")
        base = None
        if against is not None:
            if reading not in against.readings:
                raise ConfigError(
                    f"--against: that evaluation has no reading {reading!r}; it has {', '.join(against.readings)}"
                )
            base = {task: solved / n for task, (n, solved) in against.counts(reading).items() if n}
        elif share == 0:
            raise ConfigError(f"--until {text!r}: no accuracy is below 0; a gain over --against EVALUATION may be")
        return cls(text, reading, None if is_width else share, share if is_width else None, base)

    def batches(self, num_tasks: int, seed: int) -> Iterator[list[int]]:
        """Places of the tasks, a batch at a time, shuffled: the order must say nothing of how hard they are."""
        order = np.random.default_rng(derive_seed(seed, "until")).permutation(num_tasks).tolist()
        for start in range(0, num_tasks, BATCH_TASKS):
            yield order[start : start + BATCH_TASKS]

    def looked(self, evaluation: Evaluation) -> Look:
        """What the tasks so far say; they are taken in the order of the evaluation's rows.

        Raises:
            DataError: a task is not in the evaluation that this one is against.
        """
        sequence = ConfidenceSequence((0.0, 1.0) if self.base is None else (-1.0, 1.0))
        skipped = 0
        for task, (measured, solved) in evaluation.counts(self.reading).items():
            if self.base is not None and task not in self.base:
                raise DataError(
                    f"task {task} was not measured in the evaluation that --against names; give one of the same tasks"
                )
            if not measured:
                skipped += 1
                continue
            sequence.add(solved / measured - (0.0 if self.base is None else self.base[task]))
        return Look(self, sequence.interval, sequence.num_values, skipped)


@dataclass(frozen=True)
class Look:
    """One look at an evaluation that is under way."""

    until: Until
    interval: Interval
    """Valid at all looks together."""
    num_tasks: int
    num_not_measured: int

    @property
    def decided(self) -> bool:
        threshold, half_width = self.until.threshold, self.until.half_width
        if threshold is not None:
            return not self.interval.low <= threshold <= self.interval.high
        assert half_width is not None
        return self.interval.width / 2 <= half_width

    def told(self) -> str:
        """The answer as a sentence."""
        what = "accuracy" if self.until.base is None else "gain"
        points = f"{100 * self.interval.value:.1f} [{100 * self.interval.low:.1f}, {100 * self.interval.high:.1f}]"
        unit = "%" if self.until.base is None else "points"
        threshold = self.until.threshold
        if not self.decided:
            answer = "not decided by all of the tasks"
        elif threshold is None:
            answer = "narrow enough"
        else:
            answer = f"{'above' if self.interval.low > threshold else 'below'} {100 * threshold:g} {unit}"
        missing = f", {self.num_not_measured} tasks not measured" if self.num_not_measured else ""
        return (
            f"{self.until.text}: {what} {points} {unit}, {answer}, after {self.num_tasks} tasks{missing}; the interval "
            "holds at every look (a confidence sequence)"
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.until.text,
            "reading": self.until.reading,
            "decided": self.decided,
            "num_tasks": self.num_tasks,
            **self.interval.to_dict(),
        }


async def evaluate_until(until: Until | None, tasks: Sequence[Task], **options: Any) -> Evaluation:
    """Measure tasks as `evaluate` does, with its options; with a question in batches, until it is decided.

    Returns:
        Of the tasks that were measured, in the order in which they were; all of them without a question.
    """
    if until is None:
        return await evaluate(tasks, **options)
    positions = options.pop("positions", None) or range(len(tasks))
    done, seed = list(options.pop("done", ())), options["seed"]
    known = {task.task_id for task in tasks}
    if foreign := [row for row in done if row.task_id not in known]:
        raise DataError(f"a finished row (task {foreign[0].task_id}) is of another evaluation")
    result = Evaluation((), dict(options.get("settings") or {}))
    for batch in until.batches(len(tasks), seed):
        chosen = [tasks[place] for place in batch]
        ids = {task.task_id for task in chosen}
        part = await evaluate(
            chosen,
            positions=[positions[place] for place in batch],
            done=[row for row in done if row.task_id in ids],
            **options,
        )
        result = Evaluation(result.rows + part.rows, result.settings)
        if until.looked(result).decided:
            break
    return result

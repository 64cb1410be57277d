"""corrected_mean: the mean score that a judge gave, corrected by people's labels of a few of the responses."""

from __future__ import annotations

import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.row import EvalRow
from assay.statistics import Interval, clustered_proportion, prediction_powered_mean
from assay.types import Score, Task
from assay.verifiers import ResponseLabels, criteria_of
from assay.verifiers.criteria import conversation_text


@dataclass(frozen=True)
class CorrectedMean:
    """A mean score of people's, estimated from all of a judge's scores and a few labels."""

    interval: Interval
    num_labels: int
    """Labelled responses that count."""
    num_labelled_tasks: int
    num_tasks: int
    """Tasks with a score of the judge, the labelled ones included."""
    judge_mean: float
    """What the judge alone says."""
    judge_bias: float
    """Mean of the judge's score less people's, over the labelled tasks."""
    judge_weight: float
    """How much the judge's scores count, from 0 (labels alone) to 1."""

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "interval": self.interval.to_dict()}

    def told(self) -> str:
        """The estimate in a sentence."""
        return (
            f"{self.interval}, by {self.num_labels} labels of {self.num_labelled_tasks} of {self.num_tasks} tasks; the "
            f"judge alone says {self.judge_mean:.4g}, its bias is {self.judge_bias:+.3g}, its weight "
            f"{self.judge_weight:.2f}"
        )


def corrected_mean(result: Evaluation, reading: str, score_of: Callable[[EvalRow], Score | None]) -> CorrectedMean:
    """Return the mean over tasks of people's scores, with an interval that holds however bad the judge is.

    Labelled tasks must be a random part of all. Of a task with labels, its labelled samples count; of the others, all
    that the judge measured. With every task labelled, people's scores alone count.

    Args:
        score_of: people's score of a sample; None where nobody has labelled it.

    Raises:
        DataError: fewer than two tasks have a label, or a score of the judge or of people is outside [0, 1].
    """
    pairs: dict[str, list[tuple[float, float]]] = defaultdict(list)
    rest: dict[str, list[float]] = defaultdict(list)
    for row in result.rows:
        judged, people = row.scores[reading].value, score_of(row)
        if judged is not None and not 0 <= judged <= 1:
            raise DataError(f"the judge scored {judged:g} under {reading!r}; labels correct scores from 0 to 1 alone")
        if judged is not None and people is not None and people.value is not None:
            pairs[row.task_id].append((people.value, judged))
        elif judged is not None:
            rest[row.task_id].append(judged)
    if len(pairs) < 2:
        raise DataError(
            f"{len(pairs)} tasks of this evaluation have a label and a score under {reading!r}; two are the least, "
            "chosen at random: label the first rows of to_label.jsonl"
        )
    labels_n, judged_n = ([statistics.fmean(each[side] for each in some) for some in pairs.values()] for side in (0, 1))
    judged_N = [statistics.fmean(some) for task_id, some in rest.items() if task_id not in pairs]
    if len(judged_N) < 2:
        bias = statistics.fmean(judged_n) - statistics.fmean(labels_n)
        interval, weight = clustered_proportion(labels_n, sum(map(len, pairs.values()))), 0.0
    else:
        found = prediction_powered_mean(labels_n, judged_n, judged_N)
        interval, bias, weight = found.interval, found.judge_bias, found.judge_weight
    return CorrectedMean(
        interval,
        sum(map(len, pairs.values())),
        len(pairs),
        len(pairs) + len(judged_N),
        statistics.fmean([*judged_n, *judged_N]),
        bias,
        weight,
    )


def label_of(labels: ResponseLabels, tasks: Sequence[Task]) -> Callable[[EvalRow], Score | None]:
    """Return people's score of each sample, by the criteria of its task."""
    by_id = {task.task_id: task for task in tasks}
    return lambda row: labels.of(by_id[row.task_id], row.response) if row.task_id in by_id else None


def rows_to_label(result: Evaluation, tasks: Sequence[Task], seed: int = 0) -> Iterator[dict[str, Any]]:
    """The responses of an evaluation to be labelled, in random order, so that the first so many are a random part.

    What the judge said is left out: it would sway people.
    """
    by_id = {task.task_id: task for task in tasks}
    order = list(result.rows)
    random.Random(seed).shuffle(order)
    for row in order:
        task = by_id.get(row.task_id)
        if task is None:
            continue
        criteria = criteria_of(task)
        yield {
            "task_id": row.task_id,
            "prompt": conversation_text(task.prompt),
            "reference": task.answer,
            "criteria": [each.to_dict() for each in criteria],
            "response": row.response,
            "met": dict.fromkeys(each.name for each in criteria),
        }

"""People beside the judge of `assay eval`: responses to be labelled, and the judge's mean corrected by labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.evaluation import Evaluation, EvaluationFolder
    from assay.types import Task
    from assay.verifiers import ResponseLabels

TO_LABEL = "to_label.jsonl"


def read_labels(file: Path | None) -> ResponseLabels | None:
    """The labels of --labels, read before anything is sampled; None where there are none.

    Raises:
        DataError: the file or a row of it cannot be read.
    """
    from assay.verifiers import ResponseLabels

    return None if file is None else ResponseLabels(file.expanduser())


def judge_beside_people(
    result: Evaluation, tasks: Sequence[Task], kept: EvaluationFolder, labels: ResponseLabels | None, console: Console
) -> None:
    """Write the responses of tasks with criteria to be labelled; with labels, print and keep the corrected means.

    Raises:
        ConfigError: labels, and no response that was measured.
        DataError: a label that does not fit its task, or too few of them.
    """
    from assay.evaluation.corrected import corrected_mean, label_of, rows_to_label
    from assay.preferences.write import write_lines

    to_label = kept.folder / TO_LABEL
    if any("criteria" in (task.metadata.get("world") or {}) for task in tasks[:1]):
        if not to_label.exists():  # somebody may have begun to fill it in
            write_lines(to_label, rows_to_label(result, tasks))
        console.print(f"for people, to be labelled from the top: {to_label}", markup=False, soft_wrap=True)
    if labels is None:
        return
    readings = [name for name in result.readings if result.num_not_measured(name) < result.num_samples]
    if not readings:
        raise ConfigError("--labels has no effect: no response was measured, so that there is no mean to correct")
    score_of = label_of(labels, tasks)
    corrected = {reading: corrected_mean(result, reading, score_of) for reading in readings}
    for reading, found in corrected.items():
        console.print(f"corrected by people, {reading}: {found.told()}", markup=False, soft_wrap=True)
    kept.add_scores({"corrected": {reading: found.to_dict() for reading, found in corrected.items()}})

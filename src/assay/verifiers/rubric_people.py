"""A rubric judged by people: a file of labels, each of one response."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.config import FileText
from assay.errors import DataError
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.criteria import Criterion, criteria_of, rubric_score
from assay.verifiers.verifier import Verifier

_REMEDY = (
    'give {"task_id": ..., "response": ..., "met": {NAME OF CRITERION: true or false, ...}}, as in the to_label.jsonl '
    "that assay eval writes"
)


@dataclass(frozen=True)
class ResponseLabel:
    """What one person said of one response."""

    place: str
    """Where it stands, such as "people.jsonl, line 3"."""
    met: Mapping[str, float] | None
    """Criterion by name to how far it is met, 0 to 1; None where the response was scored as a whole."""
    score: float | None
    """The score of the whole, 0 to 1; None where criteria were labelled."""

    def values(self, criteria: Sequence[Criterion]) -> list[float]:
        """The values of criteria in their order.

        Raises:
            DataError: a criterion has none, or one is named that the task does not have.
        """
        met = self.met or {}
        names = [each.name for each in criteria]
        if unknown := next((name for name in met if name not in names), None):
            raise DataError(f"{self.place} labels {unknown!r}, which is no criterion of its task; it has {names}")
        if missing := next((name for name in names if name not in met), None):
            raise DataError(f"{self.place} says nothing of {missing!r}; label every criterion, or leave the row out")
        return [met[name] for name in names]


class ResponseLabels:
    """People's labels of responses, from a file of JSON lines.

    A row is of one response to one task: "task_id", "response", and either "met", an object from each criterion's name
    to true or false (or a number from 0 to 1), or "score", a number from 0 to 1. A row in which nothing is said yet, as
    `assay eval` writes them to be filled in, is no label. Several rows of one response are several people's, and count
    by their mean.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._labels: dict[tuple[str, str], list[ResponseLabel]] = defaultdict(list)
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as text ({error}); give a .jsonl file of labels") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._add(line, f"{path}, line {number}")
        if not self._labels:
            raise DataError(f"{path} has no label yet; fill in its rows: {_REMEDY}")

    def _add(self, line: str, place: str) -> None:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place} is not JSON: {error}") from None
        if not isinstance(row, dict) or not isinstance(row.get("task_id"), str):
            raise DataError(f"{place} is no label; {_REMEDY}")
        label = read_label(row, place)
        if label is not None:
            self._labels[row["task_id"], response_key(row["response"])].append(label)

    def __len__(self) -> int:
        """Return the number of responses with a label."""
        return len(self._labels)

    def of(self, task: Task, response: str) -> Score | None:
        """The score that people give a response, the mean of several people's; None where nobody has labelled it.

        Raises:
            DataError: a label does not fit the task's criteria.
        """
        labels = self._labels.get((task.task_id, response_key(response)), [])
        if not labels:
            return None
        if all(label.score is not None for label in labels):
            return Score.graded(statistics.fmean(label.score or 0.0 for label in labels))
        if mixed := next((label for label in labels if label.met is None), None):
            raise DataError(f"{mixed.place} scores a whole response whose criteria another row labels; choose one form")
        criteria = criteria_of(task)
        columns = zip(*(label.values(criteria) for label in labels), strict=True)
        return rubric_score(criteria, [statistics.fmean(column) for column in columns])


def read_label(row: Mapping[str, Any], place: str) -> ResponseLabel | None:
    """The label of a row; None where it is still to be filled in.

    Args:
        place: begins an error's message.

    Raises:
        DataError: there is no response, or what is said of it is neither true, false nor a number from 0 to 1.
    """
    met, score = row.get("met"), row.get("score")
    if not isinstance(row.get("response"), str):
        raise DataError(f"{place} is no label; {_REMEDY}")
    if met is None and score is not None:
        return ResponseLabel(place, None, _share(score, f"{place}, score"))
    if not isinstance(met, dict) or score is not None:
        raise DataError(f"{place} needs either met, an object, or score, a number; {_REMEDY}")
    given = {name: _share(value, f"{place}, {name!r}") for name, value in met.items() if value is not None}
    if missing := next((name for name, value in met.items() if value is None), None) if given else None:
        raise DataError(f"{place} says nothing of {missing!r}; label every criterion of a response, or none")
    return ResponseLabel(place, given, None) if given else None


def response_key(response: str) -> str:
    """A digest that tells responses apart, white space around them left out."""
    return hashlib.sha256(response.strip().encode("utf-8", "surrogatepass")).hexdigest()


def _share(value: Any, what: str) -> float:
    if isinstance(value, bool | int | float) and math.isfinite(value) and 0 <= value <= 1:
        return float(value)
    raise DataError(f"{what} is {value!r:.40}; say true, false, or a number from 0 to 1")


class RubricPeople(Verifier):
    """Scores a response by the labels that people gave it in a file, and no other.

    A response that nobody has labelled is not measured. `assay eval` writes the responses of an evaluation to
    to_label.jsonl in its folder, in random order, to be filled in.
    """

    name: Literal["rubric_people"] = "rubric_people"
    labels: FileText = ""
    """File of JSON lines with people's labels. Empty: nothing is measured yet."""

    @property
    def gives_verdicts(self) -> bool:
        return False

    def files(self) -> Mapping[str, Sequence[Path]]:
        path = Path(self.labels).expanduser()
        return {self.labels: [path]} if self.labels and path.is_file() else {}

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        criteria_of(task)
        found = self._read.of(task, rollout.response) if self._read else None
        return found or Score.not_measured("nobody has labelled this response")

    @functools.cached_property
    def _read(self) -> ResponseLabels | None:
        return ResponseLabels(Path(self.labels).expanduser()) if self.labels else None

    def gold_response(self, task: Task) -> str | None:
        """None: what people would say of a response is not known."""
        return None

    def cases(self) -> list[Case]:
        """None: without criteria no response is right."""
        return []

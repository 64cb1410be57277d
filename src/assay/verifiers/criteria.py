"""Criteria of a rubric: what a good response does and what it must not do, each with a weight, and the score of it all.

    score = sum_i w_i v_i / sum of the positive w_i,  held to [0, 1]

v_i is 1 where criterion i is met and 0 where it is not, or between where judges differ. A criterion with a negative
weight describes something bad: where a response does it, its weight is taken off. As HealthBench (Arora et al. 2025,
https://arxiv.org/abs/2505.08775) scores, which holds the mean of a set to [0, 1] where here it is each response's
score, and as "Rubrics as rewards" (Gunjal et al. 2025, https://arxiv.org/abs/2507.17746) adds up criteria that are
judged one by one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.errors import DataError
from assay.types import Message, Score, Task

MAX_CRITERIA = 100
"""Criteria of one task."""
MET = 0.5
"""The value from which on a criterion counts as met where only yes or no can be said."""
_TEXTS = ("criterion", "description")
_WEIGHTS = ("weight", "points")
_NAMES = ("name", "title")
_FORM = '{"criterion": "Says that ...", "weight": 2}'


@dataclass(frozen=True)
class Criterion:
    """One thing that a response is judged by."""

    name: str
    """Its name among the parts of a score; "criterion 2" where its source gives none."""
    text: str
    weight: float
    """What it counts; below 0 for something that a good response does not do."""

    @property
    def is_good(self) -> bool:
        """True where a good response meets it."""
        return self.weight > 0

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "criterion": self.text, "weight": self.weight}


def read_criteria(value: Any, place: str) -> tuple[Criterion, ...]:
    """The criteria that a value of a data file describes: a list of {criterion, weight} with a name or without.

    HealthBench's `points` stand for `weight`, and `description` and `title`, as others write them, for the criterion
    and its name.

    Args:
        place: begins an error's message.

    Raises:
        DataError: it is no such list, a criterion has no text or no weight, two have one name, or no weight is above 0.
    """
    if not isinstance(value, list) or not value:
        raise DataError(f"{place} has no criteria; give a list such as [{_FORM}]")
    if len(value) > MAX_CRITERIA:
        raise DataError(f"{place} has {len(value)} criteria; {MAX_CRITERIA} are the most: join some, or leave them out")
    found = tuple(_criterion(each, number, f"{place}, criterion {number}") for number, each in enumerate(value, 1))
    names = [each.name for each in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{place} has two criteria of the name {twice!r}; rename one of them")
    if not any(each.is_good for each in found):
        raise DataError(
            f"{place}: none of its {len(found)} criteria has a weight above 0, so that there is nothing to earn; give "
            "one, for what a good response does"
        )
    return found


def _criterion(value: Any, number: int, place: str) -> Criterion:
    if not isinstance(value, Mapping):
        raise DataError(f"{place} is {value!r:.60}; give an object such as {_FORM}")
    text = next((value[key] for key in _TEXTS if isinstance(value.get(key), str)), "").strip()
    if not text:
        raise DataError(f'{place} has no text under "criterion"; say there what is judged, such as {_FORM}')
    weight = next((value[key] for key in _WEIGHTS if value.get(key) is not None), None)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight) or weight == 0:
        what = "no weight" if weight is None else f"the weight {weight!r:.40}"
        raise DataError(f"{place} has {what}; give a number that is not 0, below 0 for something bad, such as {_FORM}")
    name = next((value[key] for key in _NAMES if isinstance(value.get(key), str)), "").strip()
    return Criterion(name or f"criterion {number}", text, float(weight))


def criteria_of(task: Task) -> tuple[Criterion, ...]:
    """The criteria that a task carries, as the environment `rubric` writes them: its metadata's "world", "criteria".

    Raises:
        DataError: it has none.
    """
    world = task.metadata.get("world")
    given = world.get("criteria") if isinstance(world, Mapping) else None
    if given is None:
        raise DataError(
            f"task {task.task_id} of {task.domain} has no criteria, which rubric judges go by; take the tasks from the "
            'environment "rubric" (a file with prompt and criteria), or another verifier'
        )
    return read_criteria(given, f"task {task.task_id}")


def weighted_share(criteria: Sequence[Criterion], values: Sequence[float]) -> float:
    """The score of a response whose criteria have these values from 0 to 1.

    Example:
        >>> rubric = [Criterion("a", "", 2.0), Criterion("b", "", 1.0), Criterion("c", "", -1.0)]
        >>> round(weighted_share(rubric, [1, 0, 1]), 4), weighted_share(rubric, [0, 0, 1])
        (0.3333, 0.0)
    """
    most = sum(each.weight for each in criteria if each.is_good)
    total = sum(each.weight * value for each, value in zip(criteria, values, strict=True))
    return min(max(total / most, 0.0), 1.0)


def rubric_score(criteria: Sequence[Criterion], values: Sequence[float | None], problem: str = "") -> Score:
    """The score of a response, its parts the criteria by name; not measured where a criterion has no value.

    A response may well be why a judge said nothing, so such a score suspects the worst of what is missing: where a
    sibling was measured, that counts.

    Args:
        problem: why a value is missing.
    """
    parts = {each.name: value for each, value in zip(criteria, values, strict=True) if value is not None}
    if len(parts) < len(criteria):
        worst = [float(not c.is_good) if value is None else value for c, value in zip(criteria, values, strict=True)]
        missing = len(criteria) - len(parts)
        return Score.not_measured(
            f"{missing} of {len(criteria)} criteria without an answer: {problem}"[:500],
            parts=parts,
            suspected=weighted_share(criteria, worst),
        )
    known = [value for value in values if value is not None]
    unmet = [c.name for c, value in zip(criteria, known, strict=True) if (value >= MET) != c.is_good]
    return Score.graded(
        weighted_share(criteria, known), parts=parts, evidence=f"against it: {', '.join(unmet)}"[:200] if unmet else ""
    )


def conversation_text(messages: Sequence[Message]) -> str:
    """The text of a prompt for a judge: its one message, or with roles where there are several."""
    if len(messages) == 1:
        return messages[0].text
    return "\n\n".join(f"{message.role}: {message.text}" for message in messages)

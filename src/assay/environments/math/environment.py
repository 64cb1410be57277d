"""MATH as an environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from assay.config import FileText
from assay.environments.rows.environment import PublishedRows, row_task
from assay.types import Task
from assay.verifiers import Math, Verifier


class MATH(PublishedRows):
    """MATH (Hendrycks et al. 2021, https://arxiv.org/abs/2103.03874): competition problems with five levels.

    From the hub, or from local files of the original form (`path`, `test_path`): `problem`, `solution` and `level`. The
    gold answer is the last box of the solution; use the `math` verifier. A problem of "Level ?" has no complexity.
    """

    name: Literal["math"] = "math"
    path: FileText = "hub:DigitalLearningGmbH/MATH-lighteval/data/train-00000-of-00001.parquet"
    test_path: FileText | None = "hub:DigitalLearningGmbH/MATH-lighteval/data/test-00000-of-00001.parquet"
    prompt: str = "{problem}\nPut the final answer in \\boxed{{}}."
    answer: str = "{solution}"
    complexity: str | None = "level"

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The last box, compared as mathematics; leniently also an answer in prose."""
        return {"strict": Math(), "lenient": Math(answer_form="prose")}

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        """The task of a row, by the templates."""
        unknown = self.complexity is not None and row.get(self.complexity) == "Level ?"
        return row_task(self.model_copy(update={"complexity": None}) if unknown else self, row, place)

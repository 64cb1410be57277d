from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from assay.evaluation import EvalRow, Evaluation
from assay.types import Score

SCORES = {"+": Score.solved(evidence="7"), "-": Score.failed("wrong", evidence="8"), "?": Score.not_measured("died")}

MakeEvaluation = Callable[..., Evaluation]


def make_row(task_index: int, sample: int, level: str = "c1 h1", **scores: Score) -> EvalRow:
    return EvalRow(
        task_id=f"task-{task_index}",
        task_index=task_index,
        sample=sample,
        domain="arithmetic",
        level=level,
        complexity=1.0,
        horizon=1.0,
        prompt="user: What is 3 + 4?",
        answer="7",
        response="7 \U0001f600 \x1b[31m",
        ending="finished",
        num_tokens=2 + sample,
        scores=scores,
    )


@pytest.fixture
def make() -> MakeEvaluation:
    """An evaluation from one string a task, one sign a sample: + solved, - failed, ? not measured."""

    def make(
        strict: Sequence[str], lenient: Sequence[str] | None = None, levels: Sequence[str] | None = None
    ) -> Evaluation:
        rows = [
            make_row(
                i,
                j,
                levels[i] if levels else "c1 h1",
                strict=SCORES[sign],
                lenient=SCORES[(lenient or strict)[i][j]],
            )
            for i, signs in enumerate(strict)
            for j, sign in enumerate(signs)
        ]
        return Evaluation(tuple(rows), {"seed": 0})

    return make

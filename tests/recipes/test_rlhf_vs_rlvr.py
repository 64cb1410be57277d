"""The parts of recipes/rlhf_vs_rlvr that are no recipe: a verifier that errs, and raters that are shown answers."""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from pathlib import Path
from types import ModuleType

import pytest

from assay.environments.arithmetic import Arithmetic
from assay.evaluation import EvalRow
from assay.types import Score
from assay.verifiers import Exact, make_verifier
from assay.verifiers.verifier import as_rollout

FOLDER = Path(__file__).parents[2] / "recipes" / "rlhf_vs_rlvr"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"rlhf_vs_rlvr_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("errs", "right", "wrong"),
    [({"false_accepts": 0.2}, 1.0, 0.2), ({"false_rejects": 0.4}, 0.6, 0.0), ({}, 1.0, 0.0)],
)
def test_a_noisy_verifier_errs_as_often_as_it_says(errs: dict[str, float], right: float, wrong: float) -> None:
    noisy = make_verifier(f"{FOLDER / 'noisy.py'}:Noisy", {"of": {"name": "exact"}, **errs})
    assert not noisy.says_truth
    tasks = list(itertools.islice(Arithmetic().tasks("train", complexity=2), 500))
    for said, share in ((lambda task: task.answer, right), (lambda task: "no", wrong)):
        scores = [asyncio.run(noisy(as_rollout(said(task), task), task)) for task in tasks]
        # Four standard errors of 500 draws at most: 0.09.
        assert sum(score.value or 0.0 for score in scores) / len(scores) == pytest.approx(share, abs=0.09)
        again = [asyncio.run(noisy(as_rollout(said(task), task), task)) for task in tasks]
        assert scores == again


def test_raters_are_shown_a_right_and_a_wrong_answer_and_err_more_on_harder_tasks() -> None:
    pairs_of = module("pairs")
    rows = []
    for complexity in (2, 4):
        for number, task in enumerate(
            itertools.islice(Arithmetic(example=True, instruction="").tasks("train", complexity=complexity), 300)
        ):
            for sample, response in enumerate((task.answer, "7", task.answer)):
                score = asyncio.run(Exact(after="=")(as_rollout(response, task), task))
                rows.append(_row(task.task_id, number, sample, complexity, response, score))
    pairs = pairs_of.judged(rows, 4)
    assert len(pairs) == 600  # the right answer that came twice is shown once
    shares = {}
    for complexity in (2, 4):
        some = [pair for pair in pairs if pair.metadata["complexity"] == complexity]
        assert all(sorted(pair.metadata["quality"]) == [0.0, 1.0] for pair in some)
        shares[complexity] = sum(pair.metadata["quality"][int(pair.preference)] for pair in some) / len(some)
    # "7" is shorter than the answer, which raters like a little.
    assert shares[2] == pytest.approx(0.94, abs=0.05)
    assert shares[4] == pytest.approx(0.66, abs=0.1)


def _row(task_id: str, number: int, sample: int, complexity: int, response: str, score: Score) -> EvalRow:
    return EvalRow(
        task_id=task_id,
        task_index=number,
        sample=sample,
        domain="arithmetic",
        level=f"c{complexity} h1",
        complexity=complexity,
        horizon=1,
        prompt="",
        answer="",
        response=response,
        ending="finished",
        num_tokens=1,
        scores={"strict": score},
    )

"""Evaluations whose scores are numbers without a verdict: mean rewards in place of shares solved."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from assay.errors import DataError
from assay.evaluation import Evaluation, compare, smallest_gains
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.of_k import gains_of_k
from assay.observe.summary_text import gain_text, score_text
from assay.statistics import paired_mean_difference, t_interval
from assay.types import Score


def graded(make, values: list[list[float | None]], *, lenient: bool = False) -> Evaluation:
    """One list of values a task; None for not measured. With `lenient`, that reading keeps a verdict, failed."""
    made = make(["-" * len(of_task) for of_task in values])
    rows = []
    for row in made.rows:
        value = values[row.task_index][row.sample]
        score = Score.not_measured("died") if value is None else Score.graded(value)
        rows.append(replace(row, scores={"strict": score, "lenient": row.scores["lenient"] if lenient else score}))
    return Evaluation(tuple(rows), made.settings)


def test_the_difference_of_mean_rewards_by_hand() -> None:
    """Differences 2, 4, 6: mean 4, s = 2, t(0.975, 2) = 4.3027, half width 4.3027 * 2 / sqrt(3) = 4.968. Of the eight
    sign patterns two have a sum as far from 0 as 12."""
    gain = paired_mean_difference([10.0, 20.0, 30.0], [12.0, 24.0, 36.0])
    assert (gain.value, gain.p_value, gain.num_improved, gain.unit) == (4.0, 0.25, 3, "reward")
    assert (gain.low, gain.high) == (pytest.approx(4 - 4.9683, abs=1e-3), pytest.approx(4 + 4.9683, abs=1e-3))
    with pytest.raises(ValueError, match="at least two values"):
        paired_mean_difference([1.0], [2.0])
    with pytest.raises(ValueError, match="pair the same tasks"):
        paired_mean_difference([1.0, 2.0], [2.0])


def test_scores_are_mean_rewards(make) -> None:
    evaluation = graded(make, [[10.0, 20.0], [30.0, None], [None, None]])
    assert evaluation.lacks_verdicts("strict")
    assert evaluation.rewards("strict") == {"task-0": 15.0, "task-1": 30.0}
    assert evaluation.as_text("strict") == str(t_interval([15.0, 30.0]))
    data = json.loads(json.dumps(evaluation.to_dict((1, 2))))["readings"]["strict"]
    assert (data["accuracy"], data["bounds"], data["pass_at_k"]) == (None, None, {"1": None, "2": None})
    assert (data["mean_reward"]["value"], data["num_tasks_measured"], data["num_not_measured"]) == (22.5, 2, 3)
    for ask in (evaluation.accuracy, evaluation.bounds, lambda reading: evaluation.pass_at_k(reading, 2)):
        with pytest.raises(DataError, match=r"numbers without a verdict.*set solved_at"):
            ask("strict")
    assert graded(make, [[2.0]]).as_text("strict") == "2 (one task)"
    nothing = graded(make, [[None]])
    assert not nothing.lacks_verdicts("strict")
    assert nothing.as_text("strict") == "not measured"


def test_rewards_are_compared_over_the_tasks_that_both_measured(make) -> None:
    before, after = graded(make, [[1.0], [2.0], [None], [4.0]]), graded(make, [[2.0], [1.0], [9.0], [5.0]])
    assert compare(before, after, "strict") == paired_mean_difference([1.0, 2.0, 4.0], [2.0, 1.0, 5.0])
    with pytest.raises(DataError, match=r"1 tasks were measured both.*evaluate more tasks"):
        compare(graded(make, [[1.0], [None]]), graded(make, [[1.0], [2.0]]), "strict")
    assert gains_of_k(before, after, "strict") == []


def test_gains_in_points_and_in_rewards_are_claimed_apart(make) -> None:
    before, after = graded(make, [[1.0], [2.0]], lenient=True), graded(make, [[50.0], [51.0]], lenient=True)
    claimed = smallest_gains({("greedy", reading): (before, after) for reading in ("strict", "lenient")})
    assert {unit: (gain.reading, gain.difference.value) for unit, gain in claimed.items()} == {
        "share": ("lenient", 0.0),
        "reward": ("strict", 49.0),
    }


def test_the_summary_of_a_run_of_numbers(make) -> None:
    sides = graded(make, [[1.0], [2.0], [3.0]]), graded(make, [[2.0], [3.0], [5.0]])
    data = json.loads(json.dumps(BeforeAfter({"greedy": sides[0]}, {"greedy": sides[1]}).to_dict()))
    assert "gain" not in data
    assert data["reward_gain"]["value"] == pytest.approx(4 / 3)
    assert data["owed_to"] is None
    assert (data["after"]["accuracy"], data["after"]["low"], data["after"]["is_graded"]) == (None, None, True)
    assert score_text(data["before"]) == "2 [-0.4841, 4.484]"
    assert gain_text(data["reward_gain"]) == "+1.333 [-0.1009, +2.768]"
    assert score_text({"accuracy": 0.5, "low": 0.4, "high": 0.6}) == "50.0 % [40.0, 60.0]"
    assert (gain_text(None), score_text({"accuracy": None, "mean_reward": None})) == ("", "")


def test_several_samples_of_which_one_task_was_not_measured(make) -> None:
    """A verifier that reads answers, and a task without a measured sample: there is no k that all tasks have."""
    settings = {"verifiers": {"strict": {"name": "math"}}}
    before, after = (Evaluation(make(signs).rows, settings) for signs in (["++", "??", "+-"], ["++", "+-", "--"]))
    assert gains_of_k(before, after, "strict") == []

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from assay.errors import DataError
from assay.evaluation import Evaluation
from assay.statistics import pass_at_k_interval, pass_hat_k_interval, t_interval, wilson


def test_accuracy_of_single_samples_is_wilson(make):
    evaluation = make(["+", "-", "+", "+"])
    assert (evaluation.num_tasks, evaluation.num_samples) == (4, 4)
    assert evaluation.accuracy("strict") == wilson(3, 4)


def test_tasks_weigh_the_same_however_many_samples_were_measured(make):
    evaluation = make(["+??", "+--", "---"])
    assert evaluation.accuracy("strict").value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert evaluation.counts("strict") == {"task-0": (1, 1), "task-1": (3, 1), "task-2": (3, 0)}


def test_not_measured_is_counted_and_bounded_not_scored(make):
    evaluation = make(["+", "?", "-", "?"])
    assert evaluation.accuracy("strict") == wilson(1, 2), "over the two measured tasks"
    assert evaluation.num_not_measured("strict") == 2
    bounds = evaluation.bounds("strict")
    assert (bounds.all_failed, bounds.all_solved) == (0.25, 0.75)


def test_bounds_of_a_full_measurement_are_the_accuracy(make):
    evaluation = make(["+-", "--"])
    assert evaluation.bounds("strict").all_failed == evaluation.bounds("strict").all_solved == 0.25


def test_pass_at_k_is_over_tasks_with_enough_samples(make):
    evaluation = make(["+---", "++++", "+???"])
    assert evaluation.pass_at_k("strict", 2) == pass_at_k_interval([(4, 1), (4, 4)], 2)
    assert evaluation.pass_hat_k("strict", 2) == pass_hat_k_interval([(4, 1), (4, 4)], 2)
    assert evaluation.pass_at_k("strict", 1).value == pytest.approx((0.25 + 1 + 1) / 3)
    with pytest.raises(DataError, match="no task has 5 measured samples"):
        evaluation.pass_at_k("strict", 5)


def test_by_level_keeps_the_order_of_the_tasks(make):
    evaluation = make(["+", "-", "+"], levels=["c2 h1", "c1 h1", "c2 h1"])
    levels = evaluation.by_level()
    assert list(levels) == ["c2 h1", "c1 h1"]
    assert levels["c2 h1"].accuracy("strict") == wilson(2, 2)
    assert levels["c1 h1"].accuracy("strict") == wilson(0, 1)


def test_readings_differ(make):
    evaluation = make(["-", "-"], ["+", "-"])
    assert evaluation.readings == ("strict", "lenient")
    assert evaluation.accuracy("strict").value == 0.0
    assert evaluation.accuracy("lenient").value == 0.5
    with pytest.raises(DataError, match=r"no reading 'loose'.*strict, lenient"):
        evaluation.accuracy("loose")


def test_nothing_measured_is_an_error_that_names_the_cause(make):
    with pytest.raises(DataError, match=r"none of 2 samples.*died"):
        make(["?", "?"]).accuracy("strict")
    with pytest.raises(DataError, match="without tasks"):
        Evaluation(()).accuracy("strict")
    with pytest.raises(DataError, match="without tasks"):
        Evaluation(()).bounds("strict")


def test_to_dict(make):
    evaluation = make(["+-", "??", "--"], levels=["c1 h1", "c2 h1", "c1 h1"])
    data = evaluation.to_dict(ks=(1, 2, 4))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    strict = data["readings"]["strict"]
    assert strict["accuracy"]["value"] == 0.25
    assert (strict["num_tasks"], strict["num_tasks_measured"], strict["num_not_measured"]) == (3, 2, 2)
    assert strict["bounds"] == {"all_failed": pytest.approx(1 / 6), "all_solved": pytest.approx(0.5)}
    assert strict["pass_at_k"]["2"]["value"] == 0.5
    assert strict["pass_at_k"]["2"]["num_tasks"] == 2
    assert strict["pass_at_k"]["4"] is None
    assert strict["by_level"]["c2 h1"]["accuracy"] is None, "unknown is not zero"
    assert data["settings"] == {"seed": 0}
    assert data["endings"] == {"finished": 6}
    assert data["mean_tokens"] == 2.5


def test_the_mean_reward_is_over_tasks_and_says_what_solved_shares_do_not(make):
    graded = make(["--", "-?", "+-"])
    values = {("task-0", 0): 0.5, ("task-0", 1): 0.1, ("task-1", 0): 0.9, ("task-2", 0): 1.0, ("task-2", 1): 0.0}
    rows = tuple(
        replace(row, scores={name: replace(score, value=values.get(row.key)) for name, score in row.scores.items()})
        for row in graded.rows
    )
    graded = Evaluation(rows)
    assert graded.mean_reward("strict") == t_interval([0.3, 0.9, 0.5])
    assert graded.is_graded("strict")
    assert graded.to_dict()["readings"]["strict"]["mean_reward"] == t_interval([0.3, 0.9, 0.5]).to_dict()
    plain = make(["+", "-", "?"])
    assert not plain.is_graded("strict")
    assert plain.mean_reward("strict") == t_interval([1.0, 0.0])
    assert make(["+"]).mean_reward("strict") is None, "one task says nothing about spread"
    assert make(["+"]).to_dict()["readings"]["strict"]["mean_reward"] is None


def test_environments_are_told_apart_where_there_are_several(make):
    alone = make(["+", "-", "+", "+"])
    assert alone.by_environment() == {}
    assert not [name for name in alone.parts() if "environment" in name]
    mixed = replace(alone, rows=tuple(replace(row, domain="ba"[i % 2]) for i, row in enumerate(alone.rows)))
    assert {name: part.accuracy("strict") for name, part in mixed.by_environment().items()} == {
        "a": wilson(1, 2),
        "b": wilson(2, 2),
    }
    assert list(mixed.parts())[-2:] == ["environment a", "environment b"]
    told = mixed.to_dict()["readings"]["strict"]["by_environment"]
    assert {name: (part["accuracy"]["value"], part["num_tasks"]) for name, part in told.items()} == {
        "a": (0.5, 2),
        "b": (1.0, 2),
    }

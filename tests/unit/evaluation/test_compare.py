from __future__ import annotations

import json

import pytest

from assay.errors import DataError
from assay.evaluation import Evaluation, compare, smallest_gains
from assay.statistics import mcnemar_exact, paired_difference


def test_gain_is_paired(make):
    gain = compare(make(["-", "-", "+", "-"]), make(["+", "+", "+", "-"]), "strict")
    assert gain == paired_difference([0, 0, 1, 0], [1, 1, 1, 0])
    assert gain.p_value == mcnemar_exact(2, 0)


def test_rows_in_another_order_pair_by_task(make):
    before, after = make(["-", "+", "-"]), make(["-", "+", "+"])
    shuffled = Evaluation(tuple(reversed(after.rows)))
    assert compare(before, shuffled, "strict") == compare(before, after, "strict")


def test_task_measured_on_one_side_only_is_left_out(make):
    gain = compare(make(["-", "?", "-"]), make(["+", "+", "?"]), "strict")
    assert (gain.value, gain.num_tasks) == (1.0, 1)


def test_several_samples_compare_shares(make):
    gain = compare(make(["+-", "--"]), make(["++", "+-"]), "strict")
    assert gain == paired_difference([0.5, 0], [1, 0.5], num_samples=(4, 4))
    assert gain.test == "sign_flip"


def test_other_tasks_cannot_be_compared(make):
    with pytest.raises(DataError, match="1 tasks are in only one"):
        compare(make(["+", "+"]), make(["+"]), "strict")
    with pytest.raises(DataError, match="no task was measured both"):
        compare(make(["+", "?"]), make(["?", "+"]), "strict")


def test_smallest_gain_is_claimed(make):
    """All the gain is in the format: the strict reading gains 3 of 4 tasks, the lenient one 1."""
    before, after = make(["----"[i] for i in range(4)], list("+++-")), make(list("+++-"), list("++++"))
    greedy_before, greedy_after = make(list("----")), make(list("++--"))
    claimed = smallest_gains(
        {
            ("temperature 1", "strict"): (before, after),
            ("temperature 1", "lenient"): (before, after),
            ("greedy", "strict"): (greedy_before, greedy_after),
        }
    )["share"]
    assert (claimed.decoding, claimed.reading) == ("temperature 1", "lenient")
    assert claimed.difference == compare(before, after, "lenient")
    data = json.loads(json.dumps(claimed.to_dict()))
    assert data["value"] == 0.25
    assert [candidate["value"] for candidate in data["candidates"]] == [0.75, 0.25, 0.5]
    with pytest.raises(DataError, match="nothing to compare"):
        smallest_gains({})

"""The matrix of transfer: known gains, losses and efficiencies are found again within their intervals."""

from __future__ import annotations

import pytest

from assay.evaluation.transfer import ArmResults, gain_of, shares_of, transfer_matrix
from simulated_transfer import SimulatedTransfer, evaluation

GAINS = {
    "a": {"a": 0.3, "b": 0.15, "c": 0.0},
    "b": {"a": 0.0, "b": 0.3, "c": -0.3},
    "mix": {"a": 0.2, "b": 0.2, "c": 0.0},
}


def matrix_of(learners: SimulatedTransfer) -> dict[tuple[str, str], dict]:
    cells = transfer_matrix(learners.base, learners.arms, learners.environments, "strict")
    return {(cell["arm"], cell["environment"]): cell for cell in cells}


def test_known_transfer_is_covered() -> None:
    """Gains and efficiencies of simulated learners, in their 95 % intervals; of what does not change, almost nothing is
    called changed after Holm's correction."""
    num_covered = num_cells = num_ratios = num_ratios_covered = num_false = 0
    for seed in range(40):
        cells = matrix_of(SimulatedTransfer(GAINS, num_tasks=64, seed=seed))
        for (arm, environment), cell in cells.items():
            truth = GAINS[arm][environment]
            num_cells += 1
            num_covered += cell["gain"]["low"] <= truth <= cell["gain"]["high"]
            num_false += truth == 0 and cell["verdict"] in ("gained", "forgotten")
        ratio = cells["a", "b"]["efficiency"]
        if ratio["value"] is not None:
            num_ratios += 1
            low, high = (
                end if end is not None else 9.0 * side for end, side in ((ratio["low"], -1), (ratio["high"], 1))
            )
            num_ratios_covered += low <= 0.5 <= high
    assert num_covered >= 0.9 * num_cells
    assert num_ratios >= 30
    assert num_ratios_covered >= 0.88 * num_ratios
    assert num_false <= 6, "5 % of 40 experiments, and their noise"


def test_forgetting_is_flagged_and_the_rest_is_not() -> None:
    cells = matrix_of(SimulatedTransfer(GAINS, num_tasks=200, between_seeds=0.0, seed=3))
    assert cells["b", "c"]["verdict"] == "forgotten"
    assert cells["a", "a"]["verdict"] == "gained"
    assert cells["a", "c"]["verdict"] == "no change shown"
    assert cells["a", "a"]["gain"]["covers"] == "seeds and tasks"
    # Nobody was trained on c by itself; what was trained on b is 1 on b.
    assert "no arm was trained on c" in cells["b", "c"]["efficiency"]["why_undefined"]
    assert "1 by definition" in cells["b", "b"]["efficiency"]["why_undefined"]
    assert cells["mix", "b"]["efficiency"]["value"] == pytest.approx(2 / 3, abs=0.2)


def test_what_nothing_was_gained_on_is_not_divided_by() -> None:
    gains = {"a": {"a": 0.0, "b": 0.1}, "b": {"a": 0.2, "b": 0.2}}
    cells = matrix_of(SimulatedTransfer(gains, seed=1))
    assert "its interval contains 0" in cells["b", "a"]["efficiency"]["why_undefined"]
    assert cells["b", "a"]["efficiency"]["value"] is None
    lost = matrix_of(SimulatedTransfer({"a": {"a": -0.35, "b": 0.0}, "b": {"a": -0.2, "b": 0.3}}, seed=2))
    assert "training on a lost on it" in lost["b", "a"]["efficiency"]["why_undefined"]


def test_by_hand() -> None:
    """Before +-+-, after ++++ in both seeds: a gain of one half, of each seed too."""
    before, after = (shares_of(evaluation(e), "strict") for e in ([True, False, True, False], [True] * 4))
    found, of_seeds = gain_of([before, before], [after, after])
    assert found is not None
    assert found["value"] == 0.5
    assert of_seeds == [0.5, 0.5]
    assert (found["num_tasks"], found["num_seeds"], found["covers"]) == (4, 2, "seeds and tasks")
    one, _ = gain_of([before], [after])
    assert one is not None
    # McNemar's exact test of two tasks that improved.
    assert (one["value"], one["p_value"], one["covers"]) == (0.5, 0.5, "tasks")


def test_a_seed_that_was_not_measured_is_left_out() -> None:
    before, after = evaluation([False] * 8), evaluation([True] * 8)
    arms = [ArmResults("a", ("a",), {0: {"a": after}, 2: {"a": after}}), ArmResults("b", ("b",), {})]
    found = transfer_matrix({"a": before}, arms, ["a"], "strict")
    assert found[0]["seeds"] == [0, 2]
    assert found[0]["gain"]["num_seeds"] == 2
    assert (found[1]["gain"], found[1]["verdict"]) == (None, "not measured"), "unknown is not zero"

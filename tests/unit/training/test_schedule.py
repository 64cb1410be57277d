from __future__ import annotations

import pytest

from assay.training.schedule import learning_rate_factor


def factors(schedule, warmup, num_updates, count):
    return [learning_rate_factor(schedule, update, warmup, num_updates) for update in range(count)]


def test_constant_stays_at_the_peak_after_warmup():
    assert factors("constant", 4, None, 6) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert factors("constant", 0, None, 2) == [1.0, 1.0]


def test_linear_falls_to_zero_where_the_run_ends_and_stays_there():
    assert factors("linear", 2, 6, 8) == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0])


def test_cosine_is_at_half_in_the_middle():
    assert factors("cosine", 0, 4, 5) == pytest.approx([1.0, 0.8535534, 0.5, 0.1464466, 0.0])


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_it_falls_over_the_budget_where_that_is_further_along(schedule: str) -> None:
    """A run of 400 steps that its budget ends after ten: the rate is near 0 there, and not where 400 steps would be."""
    shares = [0.0, 0.25, 0.5, 0.75, 0.95]
    by_budget = [learning_rate_factor(schedule, update, 0, 400, share) for update, share in enumerate(shares)]
    by_steps = [learning_rate_factor(schedule, int(400 * share), 0, 400) for share in shares]
    assert by_budget == pytest.approx(by_steps)
    assert learning_rate_factor(schedule, 300, 0, 400, 0.1) == learning_rate_factor(schedule, 300, 0, 400)
    assert learning_rate_factor(schedule, 3, 0, 400, 1.5) == pytest.approx(0.0)


def test_a_budget_changes_neither_warm_up_nor_a_constant_rate() -> None:
    assert learning_rate_factor("linear", 1, 4, 400, 0.9) == 0.5
    assert learning_rate_factor("constant", 10, 4, None, 0.9) == 1.0

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

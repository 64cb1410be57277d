from __future__ import annotations

import math

import numpy as np
import pytest

from assay.statistics import Design, Spread, detectable_gain, paired_difference, power_of, tasks_needed


def test_the_error_by_hand():
    """(0.02 + 0.2 / 4 + 0.1 / (4 * 3)) / 100 + 0.0012 / 3"""
    error, freedom = Design(100, 4, 3).error(Spread(before=0.2, after=0.1, gains=0.02, seeds=0.0012))
    tasks, runs = (0.02 + 0.05 + 0.1 / 12) / 100, 0.0004
    assert error == pytest.approx(math.sqrt(tasks + runs))
    assert freedom == pytest.approx((tasks + runs) ** 2 / (tasks**2 / 99 + runs**2 / 2))


def test_of_many_tasks_it_is_the_normal_formula():
    """(1.96 + 0.8416)^2 variance / gain^2 tasks."""
    spread = Spread(before=0.2, after=0.2, gains=0.01)
    expected = (1.959964 + 0.841621) ** 2 * (0.01 + 0.4) / 0.02**2
    assert tasks_needed(Design(2), spread, 0.02) == pytest.approx(expected, rel=0.001)
    gain = detectable_gain(Design(8000), spread)
    assert gain == pytest.approx(2.801585 * math.sqrt(0.41 / 8000), rel=0.002)


def test_needed_tasks_are_just_enough():
    spread = Spread(0.15, 0.15, 0.05, seeds=0.0001)
    for design in (Design(2, 1, 3), Design(2, 4, 3), Design(2, 1, 5)):
        needed = tasks_needed(design, spread, 0.1)
        assert needed is not None
        assert power_of(Design(needed, design.num_samples, design.num_seeds), spread, 0.1) >= 0.8
        assert power_of(Design(needed - 1, design.num_samples, design.num_seeds), spread, 0.1) < 0.8


def test_seeds_that_differ_too_much_are_told():
    spread = Spread(0.2, 0.2, 0.01, seeds=0.01)
    assert tasks_needed(Design(2, 4, 3), spread, 0.05) is None
    assert tasks_needed(Design(2, 4, 1), spread, 0.05) is None, "one seed says nothing of another"
    assert tasks_needed(Design(2, 4, 50), spread, 0.05) is not None


def test_what_is_assumed_by_hand():
    """Half of the tasks always solved, half never: no variance within; 0.1 gained is a fifth of the unsolved half: of
    all tasks 0.1 gain 1, variance 0.1 - 0.01. The formula does not know which gain: q = 0.2 of all, of which half had
    room."""
    spread = Spread.assumed(0.5, 0.1, within=0.0)
    assert (spread.before, spread.after) == (0.0, 0.0)
    assert spread.gains == pytest.approx(0.09)
    # Every task at one half: a gain of 0.1 is a fifth of the tasks turned to 1, 0.2 * 0.25 - 0.01.
    spread = Spread.assumed(0.5, 0.1)
    assert spread.gains == pytest.approx(0.04)
    assert (spread.before, spread.after) == pytest.approx((0.25, 0.2))
    loss = Spread.assumed(0.5, -0.1)
    assert loss == spread


def test_spread_of_evaluations_without_bias():
    """Tasks of beta(1, 1), each gaining (1 - p) / 4: 4,000 tasks of four samples."""
    generator = np.random.default_rng(0)
    p = generator.random(4000)
    q = p + (1 - p) / 4
    before, after = ([(4, int(c)) for c in generator.binomial(4, each)] for each in (p, q))
    spread = Spread.of(before, after)
    assert spread.before == pytest.approx(float((p * (1 - p)).mean()), rel=0.05)
    assert spread.after == pytest.approx(float((q * (1 - q)).mean()), rel=0.05)
    assert spread.gains == pytest.approx(float(((1 - p) / 4).var()), abs=0.004)
    single = Spread.of([(1, c) for c in (0, 1, 1, 0)], [(1, c) for c in (1, 1, 1, 0)])
    assert (single.before, single.after, single.gains) == (0.25, pytest.approx(0.1875), 0.0)


@pytest.mark.parametrize(("samples", "gain"), [(1, 0.2), (4, 0.2)])
def test_a_gain_is_found_as_often_as_promised(samples: int, gain: float):
    """By simulation, with the paired interval that evaluations are reported with."""
    generator = np.random.default_rng(1)
    spread = Spread.assumed(0.4, gain, within=0.12)
    num_tasks = tasks_needed(Design(2, samples), spread, gain)
    assert num_tasks is not None
    found, trials = 0, 100
    # Beta with mean 0.4 and E[p (1 - p)] = 0.12: a + b = 1.
    for _ in range(trials):
        p = generator.beta(0.4, 0.6, num_tasks)
        q = np.where(generator.random(num_tasks) < gain / 0.6, 1.0, p)
        before, after = (generator.binomial(samples, each) / samples for each in (p, q))
        size = num_tasks * samples
        found += paired_difference(before.tolist(), after.tolist(), num_samples=(size, size)).low > 0
    assert found / trials == pytest.approx(0.8, abs=0.1)


def test_rejects():
    with pytest.raises(ValueError, match="at most"):
        Spread.assumed(0.9, 0.2)
    with pytest.raises(ValueError, match="within"):
        Spread.assumed(0.5, 0.1, within=0.3)
    with pytest.raises(ValueError, match="a task, a sample"):
        Design(0)
    with pytest.raises(ValueError, match="never found"):
        tasks_needed(Design(2), Spread(0.1, 0.1, 0.1), 0.0)
    with pytest.raises(ValueError, match="same two tasks"):
        Spread.of([(1, 1)], [(1, 1)])
    with pytest.raises(ValueError, match="negative"):
        Spread(-0.1, 0.1, 0.1)

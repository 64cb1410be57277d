from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from assay.observe.curves import level_curves, main_curves, natural_key, reward_curve, reward_interval
from assay.observe.step_metrics import step_metrics
from assay.observe.store import RunStore
from assay.statistics import clustered_proportion, t_interval, wilson
from assay.types import PROPOSAL, Group, Score


def decode(token_ids: Sequence[int]) -> str:
    return bytes(token_ids).decode("utf-8", "replace")


def test_the_reward_band_is_over_groups(tmp_path: Path, group: Group) -> None:
    all_solved = dataclasses.replace(group, group_id=8, scores=(Score.solved(),) * 4)
    with RunStore(tmp_path) as store:
        store.record_groups(0, [group, all_solved], decode)
    curve = reward_curve(RunStore.open_readonly(tmp_path))
    # Groups earn 1/3 (one member not measured) and 1: mean 2/3 of seven rollouts of two tasks.
    assert curve.points == ((0, pytest.approx(2 / 3)),)
    expected = clustered_proportion([1 / 3, 1.0], 7)
    assert curve.band[0] == pytest.approx((expected.low, expected.high))


def test_the_band_has_a_width_where_all_earned_the_same() -> None:
    interval = reward_interval([0.0] * 8, 64, (0.0, 0.0))
    assert (interval.value, interval.low, interval.high) == (0.0, 0.0, wilson(0, 8).high)


def test_rewards_beyond_0_and_1_are_taken_on_their_own_range() -> None:
    """Rewards of -1 and 1 are those of 0 and 1, stretched."""
    plain = reward_interval([0.25, 0.75, 0.5], 12, (0.0, 1.0))
    stretched = reward_interval([-0.5, 0.5, 0.0], 12, (-1.0, 1.0))
    assert (stretched.low, stretched.high) == pytest.approx((2 * plain.low - 1, 2 * plain.high - 1))


def test_a_step_where_nothing_was_measured_has_no_reward(tmp_path: Path, group: Group) -> None:
    unmeasured = dataclasses.replace(group, scores=(Score.not_measured("engine"),) * 4)
    with RunStore(tmp_path) as store:
        store.record_groups(0, [unmeasured], decode)
    reader = RunStore.open_readonly(tmp_path)
    assert reward_curve(reader).points == ()
    assert level_curves(reader) == {}


def test_main_curves_are_those_that_were_recorded(tmp_path: Path, group: Group) -> None:
    with RunStore(tmp_path) as store:
        store.record_step(0, {"policy/entropy_nats": 1.5, "train/grad_norm": math.nan})
        store.record_groups(0, [group], decode, {(7, 1): [0.5]})
    curves = {curve.name: curve.points for curve in main_curves(RunStore.open_readonly(tmp_path))}
    assert curves == {
        "reward": ((0, pytest.approx(1 / 3)),),
        "response_length": ((0, 4.25),),
        "entropy": ((0, 1.5),),
        "gap": ((0, 0.5),),  # from the rollouts, as no metric says it
    }


def test_levels_are_in_order_of_difficulty() -> None:
    assert sorted(["c10 h1", "c2 h2", "c2 h1", "c1.5 h1", "c- h-"], key=natural_key) == [
        *("c1.5 h1", "c2 h1", "c2 h2", "c10 h1", "c- h-")
    ]


def test_rewards_without_a_verdict_have_students_interval_over_groups(tmp_path: Path, group: Group) -> None:
    """Means 0 and 30 of two groups, and one group alone, which says nothing of spread."""
    low, high = (dataclasses.replace(group, group_id=i, scores=(Score.graded(30.0 * i),) * 4) for i in (0, 1))
    with RunStore(tmp_path) as store:
        store.record_groups(0, [low, high], decode)
        store.record_groups(1, [high], decode)
    curve = reward_curve(RunStore.open_readonly(tmp_path))
    expected = t_interval([0.0, 30.0])
    assert curve.points == ((0, 15.0), (1, 30.0))
    assert curve.band[0] == (expected.low, expected.high)
    assert all(math.isnan(end) for end in curve.band[1])
    metrics = step_metrics([low, high])
    assert [metrics[f"reward/{name}"] for name in ("mean", "low", "high")] == [15.0, expected.low, expected.high]
    assert math.isnan(metrics["reward/solved_share"])
    (level,) = level_curves(RunStore.open_readonly(tmp_path)).values()
    assert (level.unit, level.values) == ("reward", [15.0, 30.0])


def test_proposals_are_no_part_of_the_curves_of_attempts(tmp_path: Path, group: Group) -> None:
    """What they earn, how long they are and their level would be taken for the attempts'."""
    task = dataclasses.replace(group.task, domain=PROPOSAL, complexity=None, metadata={PROPOSAL: True})
    proposals = dataclasses.replace(group, group_id=8, task=task, scores=(Score.graded(-1.0),) * 4)
    with RunStore(tmp_path / "both") as store:
        store.record_groups(0, [group, proposals], decode)
        store.record_step(0, {"propose/kept_share": 0.25})
    with RunStore(tmp_path / "alone") as store:
        store.record_groups(0, [group], decode)
    both, alone = (RunStore.open_readonly(tmp_path / name) for name in ("both", "alone"))
    assert reward_curve(both) == reward_curve(alone)
    assert level_curves(both) == level_curves(alone)
    assert {curve.name: curve.values for curve in main_curves(both)}["proposals_kept"] == [0.25]
    found, expected = step_metrics([group], [proposals]), step_metrics([group])
    assert {name: found[name] for name in expected} == pytest.approx(expected, nan_ok=True)
    assert found["environment/propose/reward_mean"] == -1.0

"""A hundred episodes at once, half of which go wrong somewhere: none is lost, and every world is closed once."""

from __future__ import annotations

import simulated_clock
from assay.types import EndingKind
from faulty_world import GROUP_SIZE, METHODS, play_wave

NUM_EPISODES = 100


def test_no_rollout_is_lost_and_every_world_is_closed_once(renderer):
    books, groups, counters = simulated_clock.run(play_wave(renderer, NUM_EPISODES, seed=1))
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    assert [group.group_id for group in groups] == list(range(len(groups)))
    assert len(rollouts) == GROUP_SIZE * len(groups) >= NUM_EPISODES
    assert books.closed == dict.fromkeys(range(books.num_made), 1)
    assert books.num_closings == books.num_made

    broken = [rollout.ending for rollout in rollouts if rollout.ending.kind is EndingKind.BROKEN]
    assert counters["rollout/broken_count"] == len(broken)
    at = {ending.boundary for ending in broken}
    assert "environment" in at <= {"environment", "tool", "sandbox", "engine"}
    for boundary in at:
        assert counters[f"rollout/broken_at_{boundary}_count"] == sum(each.boundary == boundary for each in broken)
    assert all(len(ending.reason) < 500 for ending in broken)
    for group in groups:
        for rollout, score in zip(group.rollouts, group.scores, strict=True):
            assert score.measured == (rollout.ending.kind is not EndingKind.BROKEN)
    assert {fault.split()[0] for fault in books.faults} == {*METHODS, "tool"}, "each method failed somewhere"

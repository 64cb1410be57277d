"""Two thousand episodes at once, half of which go wrong somewhere: nothing is lost, and memory stays flat."""

from __future__ import annotations

import gc
import resource
from pathlib import Path

import pytest

import simulated_clock
from assay.render import load_renderer
from assay.types import EndingKind
from faulty_world import FAULTS, GROUP_SIZE, METHODS, Faulty, play_wave

NUM_EPISODES = 2000


@pytest.mark.slow
def test_two_thousand_episodes_with_faults(tiny_model: Path) -> None:
    renderer = load_renderer(tiny_model)
    held: list[int] = []
    for seed in (1, 2):
        books, groups, counters = simulated_clock.run(play_wave(renderer, NUM_EPISODES, seed))
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        assert [group.group_id for group in groups] == list(range(len(groups)))
        assert len(rollouts) == GROUP_SIZE * len(groups) >= NUM_EPISODES
        assert books.closed == dict.fromkeys(range(books.num_made), 1)
        assert books.num_closings == books.num_made
        assert counters["rollout/broken_count"] == sum(each.ending.kind is EndingKind.BROKEN for each in rollouts)
        assert set(books.faults) >= {f"{method} {fault}" for method in METHODS for fault in FAULTS}
        del books, groups, rollouts
        gc.collect()
        assert not any(isinstance(each, Faulty) for each in gc.get_objects()), "worlds stay in memory"
        held.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())
    # Each world has 50 kB, and a wave makes more than 4,000: if they stayed, it would be 200 MB.
    assert held[1] - held[0] < 25_000_000

"""The random verifier: rewards by chance, the same ones again in a resumed run."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from assay.errors import ConfigError
from assay.types import Message, Task
from assay.verifiers import Random, as_rollout, make_verifier

TASK = Task("test", (Message("user", "?"),), "82")


def drawn(verifier: Random, *, response: str = "82", groups: int = 250) -> list[float | None]:
    rollout = as_rollout(response, TASK)
    places = [(group, index) for group in range(groups) for index in range(4)]
    return [
        asyncio.run(verifier(replace(rollout, group_id=group, member=index), TASK)).value for group, index in places
    ]


@pytest.mark.parametrize("probability", [0.5, 0.1])
def test_the_share_of_solved_is_the_probability(probability: float) -> None:
    values = drawn(Random(probability=probability))
    # Four standard errors of a share over 1,000 draws.
    error = 4 * (probability * (1 - probability) / len(values)) ** 0.5
    assert sum(v for v in values if v) / len(values) == pytest.approx(probability, abs=error)


def test_a_draw_depends_on_the_place_alone() -> None:
    first = drawn(Random(), groups=20)
    assert drawn(Random(), groups=20) == first
    assert drawn(Random(), response="anything else", groups=20) == first
    assert drawn(Random(seed=1), groups=20) != first
    assert len(set(first[:4])) == 2 or len(set(first[4:8])) == 2, "members of a group draw apart"


def test_a_reward_that_is_certain_is_none_by_chance() -> None:
    with pytest.raises(ConfigError, match="probability"):
        make_verifier("random", {"probability": 1.0})

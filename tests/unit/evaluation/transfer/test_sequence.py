"""One model through successive environments: tokens to a threshold beside a fresh model's, and what is kept."""

from __future__ import annotations

import numpy as np

from assay.evaluation.trajectories import ALL, Skill, Trajectory
from assay.evaluation.transfer import SequenceStage, sequence_result
from simulated_transfer import evaluation

TOKENS = (0.0, 100.0, 200.0, 300.0, 400.0)


def trajectory(shares: list[float], num_tasks: int = 40) -> Trajectory:
    """A run whose solved share is known at each probe."""
    ids = tuple(f"task-{index}" for index in range(num_tasks))
    solved = np.array([[float(index < round(share * num_tasks)) for index in range(num_tasks)] for share in shares])
    skill = Skill(ALL, ids, solved, tuple(() for _ in shares), tuple(1.0 for _ in shares))
    return Trajectory("run", tuple(range(len(shares))), {"sampled_tokens": TOKENS[: len(shares)]}, {ALL: skill})


def solved(num: int, of: int = 40) -> dict:
    return evaluation([index < num for index in range(of)])


SLOW, FAST = [0.0, 0.2, 0.4, 0.6, 0.8], [0.2, 0.4, 0.6, 0.8, 0.8]


def stages(*, forgets: bool = True) -> list[SequenceStage]:
    """Seeds 0 to 2 learn b 100 tokens sooner after a; a falls back to where it began, or stays."""
    first = SequenceStage("a", after={seed: {"a": solved(30), "b": solved(0)} for seed in range(3)})
    later = SequenceStage(
        "b",
        after={seed: {"a": solved(4 if forgets else 30), "b": solved(32)} for seed in range(3)},
        own={seed: trajectory(FAST) for seed in range(3)},
        fresh={seed: trajectory(SLOW) for seed in range(3)},
    )
    return [first, later]


def test_tokens_saved_and_what_is_kept() -> None:
    base = {"a": solved(4), "b": solved(0)}
    found = sequence_result(stages(), base, 0.5, "strict")
    (learned,) = found["learned"]
    # Linear between probes: 0.5 is reached at 250 tokens, and at 150 in the sequence.
    assert [learned["fresh"][str(seed)]["value"] for seed in range(3)] == [250.0] * 3
    assert learned["in_sequence"]["0"]["value"] == 150.0
    assert (learned["tokens_saved"]["value"], learned["tokens_saved"]["num_seeds"]) == (100.0, 3)
    assert learned["differences"]["area"]["difference"]["low"] > 0
    (kept,) = found["kept"]
    assert (kept["environment"], kept["after"], kept["verdict"]) == ("a", "b", "forgotten")
    assert kept["learned"]["value"] == 0.65
    assert kept["change"]["value"] == -0.65
    assert kept["left"]["value"] == 0.0
    assert sequence_result(stages(forgets=False), base, 0.5, "strict")["kept"][0]["verdict"] == "no change shown"


def test_what_was_not_reached_is_no_number() -> None:
    of = stages()
    of[1].fresh[1] = trajectory([0.0, 0.1, 0.1, 0.2, 0.2])
    del of[1].own[2]
    found = sequence_result(of, {"a": solved(4), "b": solved(0)}, 0.5, "strict")
    (learned,) = found["learned"]
    assert learned["fresh"]["1"]["value"] is None
    assert learned["seeds"] == [0, 1]
    assert learned["tokens_saved"] == {"num_seeds": 1, "value": 100.0, "low": None, "high": None}


def test_a_stage_that_was_not_measured() -> None:
    of = stages()
    of[1] = SequenceStage("b")
    found = sequence_result(of, {"a": solved(4), "b": solved(0)}, 0.5, "strict")
    assert found["kept"][0]["change"] is None
    assert found["kept"][0]["verdict"] == "not measured"

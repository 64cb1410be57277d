"""A small run, written through the store as a real one is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn


def decode_bytes(token_ids: Sequence[int]) -> str:
    """Token ids are bytes."""
    return bytes(token_ids).decode("utf-8", "replace")


def make_rollout(task: Task, group_id: int, member: int, response: str, ending: Ending | None = None) -> Rollout:
    """Prompt "Q", one sampled token a byte, the n-th with log-probability -n/8."""
    sampled = tuple(response.encode())
    completion = Completion(sampled, tuple(-n / 8 for n in range(len(sampled))), "stop", ((0, 3),))
    turn = Turn((ord("Q"),), False, completion, Message("assistant", response))
    return Rollout(task.task_id, group_id, member, (turn,), ending or Ending(EndingKind.FINISHED))


@pytest.fixture
def group() -> Group:
    """Four members: solved, failed, failed at the length limit, not measured."""
    task = Task("arithmetic", (Message("user", "Q"),), "4", complexity=2, horizon=1)
    truncated = Ending(EndingKind.TRUNCATED, "length")
    rollouts = (
        make_rollout(task, 7, 0, "it is 4"),
        make_rollout(task, 7, 1, "5"),
        make_rollout(task, 7, 2, "one plus", truncated),
        make_rollout(task, 7, 3, "4"),
    )
    scores = (
        Score.solved(parts={"correct": 1.0}, evidence="4"),
        Score.failed("wrong", evidence="5"),
        Score.failed("no answer"),
        Score.not_measured("timeout"),
    )
    return Group(7, task, rollouts, scores)

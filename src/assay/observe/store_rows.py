"""Rows of the run store from rollouts, and rollouts from rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from assay.observe.records import RolloutRecord
from assay.types import Group, Rollout, Score


def number(value: float) -> float | None:
    """The value as a column holds it: NULL for NaN."""
    value = float(value)
    return None if math.isnan(value) else value


def plain_text(text: str) -> str:
    """Text that SQLite takes: a lone surrogate, which JSON or a model can produce, has no UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")


def to_json(value: Any) -> str:
    """JSON as text that SQLite takes."""
    return plain_text(json.dumps(value, ensure_ascii=False))


def floats(blob: bytes) -> np.ndarray:
    """The numbers of a float32 blob."""
    return np.frombuffer(blob, dtype="<f4")


def rollout_row(
    step: int,
    group: Group,
    rollout: Rollout,
    score: Score,
    decode: Callable[[Sequence[int]], str],
    trainer_logprobs: Sequence[float] | None,
) -> tuple[Any, ...]:
    task = group.task
    token_ids: list[int] = []
    loss_mask: list[bool] = []
    logprobs: list[float] = []
    fork_starts: list[int] = []
    for position, turn in enumerate(rollout.turns):
        if position and not turn.extends_previous:
            fork_starts.append(len(token_ids))
        sampled = turn.completion.token_ids
        token_ids += [*turn.new_token_ids, *sampled]
        loss_mask += [False] * len(turn.new_token_ids) + [True] * len(sampled)
        logprobs += turn.completion.logprobs
    if trainer_logprobs is not None and len(trainer_logprobs) != len(logprobs):
        raise ValueError(
            f"group {group.group_id}, member {rollout.member}: {len(trainer_logprobs)} trainer log-probabilities "
            f"for {len(logprobs)} sampled tokens"
        )
    prompt_length = len(rollout.turns[0].new_token_ids) if rollout.turns else 0
    prompt = decode(token_ids[:prompt_length]) if rollout.turns else "\n".join(message.text for message in task.prompt)
    return (
        *(step, group.group_id, rollout.member, task.task_id, task.domain, task.level, task.complexity, task.horizon),
        *(plain_text(prompt), plain_text(task.gold_text), plain_text(decode(token_ids[prompt_length:]))),
        *(rollout.ending.kind.value, plain_text(rollout.ending.reason), rollout.ending.boundary),
        *(score.verdict.value, score.value, plain_text(score.reason), plain_text(score.evidence)),
        to_json(dict(score.parts)),
        *(len(rollout.turns), len(logprobs), rollout.version, json.dumps(fork_starts)),
        np.asarray(token_ids, dtype="<i4").tobytes(),
        np.packbits(np.asarray(loss_mask, dtype=bool)).tobytes(),
        np.asarray(logprobs, dtype="<f4").tobytes(),
        None if trainer_logprobs is None else np.asarray(trainer_logprobs, dtype="<f4").tobytes(),
    )


def turn_rows(step: int, rollout: Rollout) -> list[tuple[Any, ...]]:
    return [
        (
            *(step, rollout.group_id, rollout.member, number, int(turn.extends_previous), len(turn.new_token_ids)),
            *(len(turn.completion.token_ids), turn.completion.finish_reason, turn.completion.version),
            *(to_json(turn.message.to_record()), to_json([message.to_record() for message in turn.env_messages])),
            *(turn.env_reward, plain_text(turn.state)),
        )
        for number, turn in enumerate(rollout.turns)
    ]


def rollout_record(row: dict[str, Any]) -> RolloutRecord:
    token_ids = np.frombuffer(row["token_ids"], dtype="<i4")
    bits = np.frombuffer(row["loss_mask"], dtype=np.uint8)
    trainer = row["trainer_logprobs"]
    return RolloutRecord(
        **{
            "boundary": "",  # stores of format 1 have none
            **row,
            "parts": json.loads(row["parts"]),
            "fork_starts": tuple(json.loads(row["fork_starts"])),
            "token_ids": tuple(token_ids.tolist()),
            "loss_mask": tuple(np.unpackbits(bits, count=len(token_ids)).astype(bool).tolist()),
            "token_logprobs": tuple(floats(row["token_logprobs"]).tolist()),
            "trainer_logprobs": None if trainer is None else tuple(floats(trainer).tolist()),
        }
    )

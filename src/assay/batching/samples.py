"""Samples, the token sequences of groups of rollouts: what was sampled is what is trained on, never tokenised again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from assay.types import Completion, Group, Rollout, Sample


@dataclass
class _Sequence:
    """A token sequence as it grows turn by turn."""

    token_ids: list[int] = field(default_factory=list)
    loss_mask: list[bool] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    turn_ids: list[int] = field(default_factory=list)

    def add_context(self, token_ids: Sequence[int]) -> None:
        self.token_ids += token_ids
        self.loss_mask += [False] * len(token_ids)
        self.logprobs += [0.0] * len(token_ids)
        self.turn_ids += [-1] * len(token_ids)

    def add_sampled(self, completion: Completion, turn: int) -> None:
        if completion.token_ids:
            self.token_ids += completion.token_ids
            self.loss_mask += [True] * len(completion.token_ids)
            self.logprobs += completion.logprobs
            self.turn_ids += [turn] * len(completion.token_ids)
            self.versions.append(completion.version)


def to_samples(groups: Sequence[Group]) -> list[Sample]:
    """The token sequences of every measured member, groups in order, members in order.

    A rollout is one sample: prompt, completion, what the environment said, completion, and so on. Where a turn does not
    extend the one before it (the chat template rewrote the prefix) a new sample begins; the forks of one rollout
    share its weight equally. A turn whose completion is empty has nothing to train on: its prompt stays as context of
    the turns that extend it. A sequence without a sampled token is left out.
    """
    return [
        sample
        for group in groups
        for rollout, _, _ in group.measured
        for sample in _rollout_samples(group.group_id, rollout)
    ]


def _rollout_samples(group_id: int, rollout: Rollout) -> list[Sample]:
    sequences: list[_Sequence] = []
    for number, turn in enumerate(rollout.turns):
        if not sequences or not turn.extends_previous:
            sequences.append(_Sequence())
        sequences[-1].add_context(turn.new_token_ids)
        sequences[-1].add_sampled(turn.completion, number)
    forks = [sequence for sequence in sequences if sequence.versions]
    return [
        Sample(
            group_id=group_id,
            member=rollout.member,
            token_ids=torch.tensor(fork.token_ids, dtype=torch.int64),
            loss_mask=torch.tensor(fork.loss_mask, dtype=torch.bool),
            sampling_logprobs=torch.tensor(fork.logprobs, dtype=torch.float32),
            turn_ids=torch.tensor(fork.turn_ids, dtype=torch.int64),
            weight=1.0 / len(forks),
            version=min(fork.versions),
        )
        for fork in forks
    ]

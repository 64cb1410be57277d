"""What the ranks of a sharded learner are asked to do in tests; importable by the processes that they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.algorithms import GRPO, PPO, Needs, Reinforce
from assay.models import open_model
from assay.policies.lora.settings import LoraSettings
from assay.policies.shards import whole
from assay.policies.value import ValueModel
from assay.training import Trainer, TrainerSettings, read_checkpoint, write_checkpoint
from assay.training.ranks import OneRank, Ranks
from assay.training.sharding import shard
from assay.types import CreditedSample

TOKENS = 40
"""Packed tokens a micro-batch: the samples below make five of them."""
KINDS: dict[str, dict[str, Any]] = {
    "decoder": {},
    "bf16": {"compute_dtype": torch.bfloat16},
    "again": {"gradient_checkpointing": True},
    "lora": {"lora": LoraSettings(rank=4)},
    "hf": {},
}


def samples(num_groups: int, *, first: int = 0) -> list[CreditedSample]:
    """Groups of two samples of different lengths; every fifth group has no credit."""
    made = []
    for group_id in range(first, first + num_groups):
        generator = torch.Generator().manual_seed(group_id)
        for member in range(2):
            tokens = torch.randint(256, (9 + (5 * group_id + 3 * member) % 11,), generator=generator)
            mask = torch.arange(len(tokens)) >= 3
            advantages = (1.0 - 1.7 * member) * mask * (group_id % 5 != 4)
            old = -5.0 * mask
            made.append(CreditedSample(group_id, member, tokens, mask, old, advantages=advantages, returns=0.5 * mask))
    return made


def make(kind: str, folder: Path, ranks: Ranks, *, critic: bool = False) -> Trainer:
    policy = open_model(folder, policy="hf" if kind == "hf" else "auto").policy(**KINDS[kind])
    value = ValueModel(open_model(folder).policy()) if critic else None
    if ranks.world > 1:
        shard(policy)
        if value is not None:
            shard(value)
    settings = TrainerSettings(learning_rate=1e-3, max_grad_norm=0.3)
    return Trainer(policy, settings, temperature=1.0, tokens_per_microbatch=TOKENS, critic=value, ranks=ranks)


def whole_gradients(trainer: Trainer) -> dict[str, Tensor]:
    named = trainer.policy.named_parameters()
    return {name: whole(p.grad).clone() for name, p in named if p.requires_grad and p.grad is not None}


def whole_weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: whole(p.detach()).clone() for name, p in trainer.policy.named_parameters() if p.requires_grad}


def gradients(ranks: Ranks, kind: str, folder: Path, num_groups: int) -> tuple[dict[str, Tensor], float, int]:
    """The gradients of one minibatch before clipping, their norm, and how many micro-batches it had."""
    trainer = make(kind, folder, ranks)
    [minibatch] = trainer.pack(samples(num_groups))
    update = trainer._accumulate(minibatch, Reinforce(), None, True)
    return whole_gradients(trainer), update.gradient_norm, len(minibatch)


def updates(
    ranks: Ranks, folder: Path, kind: str, first: int, number: int, checkpoints: Path | None, resume: bool
) -> Any:
    """Weights and reports after some updates, from a checkpoint or from the start; then writes one."""
    trainer = make(kind, folder, ranks)
    if resume:
        assert checkpoints is not None
        read_checkpoint(checkpoints / f"step-{first:06d}", trainer.policy, trainer)
    reports = [steps(trainer, step) for step in range(first, first + number)]
    if checkpoints is not None:
        write_checkpoint(checkpoints, first + number, trainer.policy, trainer, {}, writes=ranks.rank == 0)
    return whole_weights(trainer), reports


def steps(trainer: Trainer, step: int) -> Any:
    annotated = trainer.annotate(samples(4, first=4 * step), Needs(proximal=True, proximal_in_credit=True))
    report = trainer.update(trainer.pack(annotated), GRPO())
    timeless = {name: value for name, value in report.metrics.items() if not name.startswith("time/")}
    return timeless, report.trainer_logprobs, [sample.proximal_logprobs for sample in annotated]


def critic_updates(ranks: Ranks, folder: Path) -> Any:
    trainer = make("decoder", folder, ranks, critic=True)
    for step in range(2):
        annotated = trainer.annotate(samples(3, first=3 * step), Needs(values=True))
        report = trainer.update(trainer.pack(annotated), PPO())
    assert trainer.critic is not None
    tensors = {name: whole(tensor).clone() for name, tensor in trainer.critic.tensors().items()}
    return tensors, {name: value for name, value in report.metrics.items() if not name.startswith("time/")}


def refuses(ranks: Ranks, folder: Path, kind: str) -> str:
    from assay.errors import ConfigError

    try:
        if kind == "no layers":
            shard(torch.nn.Linear(2, 2))
        else:
            shard(open_model(folder, policy="hf").policy(lora=LoraSettings(rank=2)))
    except ConfigError as error:
        return str(error)
    return "nothing was refused"


def raises_on_rank_one(ranks: Ranks, folder: Path) -> str:
    """One rank stops before its pass; what the others are told, within the time of the process group."""
    trainer = make("decoder", folder, ranks)
    if ranks.rank == 1:
        return "stopped"
    [minibatch] = trainer.pack(samples(4))
    try:
        trainer.update([minibatch], Reinforce())
    except RuntimeError as error:
        return str(error)
    return "nothing was said"


def one(function: Any, *arguments: Any) -> Any:
    """The same in this process, alone."""
    return function(OneRank(), *arguments)

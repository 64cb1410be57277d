"""Our side of a step on comparisons, or of PPO's: the trainer as `assay train` uses it.

Usage: side_pairs.py MODEL_FOLDER DTYPE

A job says which step ("dpo", "reward" or "ppo") and on what texts. The reference's log-probabilities of given responses
are computed once, before the step; the seconds of that are said beside those of the step.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import torch

from assay.algorithms import DPO, PPO, Needs, RewardModelFit
from assay.algorithms.algorithm import Algorithm
from assay.batching import scored
from assay.launch import COMPUTE_DTYPES
from assay.models import open_model
from assay.policies.reward import RewardModel
from assay.policies.value import ValueModel
from assay.render import load_renderer
from assay.training import Trainer, TrainerSettings, keep_freed_memory
from assay.types import CreditedSample, Sample
from side import serve

ALGORITHMS: dict[str, Algorithm] = {"dpo": DPO(), "reward": RewardModelFit(), "ppo": PPO()}


class Pairs:
    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        keep_freed_memory()
        self.folder, self.dtype = folder, dtype
        self.encode = load_renderer(folder).encode_prompt
        self.trainer: Trainer | None = None

    def step(self, kind: str, rows: list[dict[str, str]], tokens_per_microbatch: int) -> dict[str, float]:
        """One update with AdamW on pairs of a prompt, a chosen and a rejected response."""
        trainer = self._trainer(kind, tokens_per_microbatch)
        samples = [sample for number, row in enumerate(rows) for sample in self._pair(number, row)]
        num_tokens, counts = sum(len(sample.token_ids) for sample in samples), {}
        if kind == "dpo":
            start = time.perf_counter()
            samples = trainer.annotate_by(trainer.policy, samples, "reference_logprobs")
            counts["reference_seconds"] = time.perf_counter() - start
        if kind == "reward":
            samples = scored(samples)
        start = time.perf_counter()
        if kind == "ppo":
            samples = trainer.annotate(samples, Needs(values=True, proximal=True))
        trainer.update(trainer.pack([_credited(sample, kind) for sample in samples]), ALGORITHMS[kind])
        return {"seconds": time.perf_counter() - start, "tokens": num_tokens, **counts}

    def _pair(self, number: int, row: dict[str, str]) -> list[Sample]:
        prompt = self.encode(row["prompt"], begins=False)
        made = []
        for member, side in enumerate(("chosen", "rejected")):
            token_ids = torch.tensor([*prompt, *self.encode(row[side], begins=False)])
            mask = torch.arange(len(token_ids)) >= len(prompt)
            made.append(Sample(number, member, token_ids, mask, -10.0 * mask, unit_id=0))
        return made

    def _trainer(self, kind: str, tokens_per_microbatch: int) -> Trainer:
        """Makes it at the first call."""
        if self.trainer is None:
            policy: Any = open_model(self.folder).policy(compute_dtype=self.dtype)
            policy = RewardModel(policy) if kind == "reward" else policy
            critic = ValueModel(open_model(self.folder).policy(compute_dtype=self.dtype)) if kind == "ppo" else None
            self.trainer = Trainer(
                policy,
                TrainerSettings(learning_rate=1e-6),
                temperature=1.0,
                tokens_per_microbatch=tokens_per_microbatch,
                critic=critic,
            )
        return self.trainer


def _credited(sample: Sample, kind: str) -> CreditedSample:
    sign = -1.0 if sample.member else 1.0
    credited = CreditedSample.of(sample.replace(unit_id=0), sign * sample.loss_mask)
    return credited.replace(returns=credited.advantages) if kind == "ppo" else credited  # pyright: ignore[reportReturnType]


def main() -> None:
    start = time.perf_counter()
    pairs = Pairs(Path(sys.argv[1]), COMPUTE_DTYPES[sys.argv[2]])
    serve({"pairs": pairs.step}, {"start_seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()

"""The estimate of memory beside the measured peak of a real update: `python benchmarks/memory.py --policy hf`.

One process measures one configuration: the peak of a process never falls.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time

import torch

from assay.algorithms import Reinforce
from assay.engines import BatchingEngine
from assay.models import open_model
from assay.policies.lora import LoraSettings
from assay.training import Trainer, TrainerSettings, keep_freed_memory, memory_estimate
from assay.types import CreditedSample

PROMPT, RESPONSE, GROUPS, GROUP_SIZE = 64, 64, 8, 8


def peak_bytes() -> int:
    """Largest resident set of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def samples(vocab_size: int) -> list[CreditedSample]:
    """Random tokens, each group with a prompt of its own, every token with credit."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for group in range(GROUPS):
        prompt = torch.randint(0, vocab_size, (PROMPT,), generator=generator)
        for index in range(GROUP_SIZE):
            response = torch.randint(0, vocab_size, (RESPONSE,), generator=generator)
            mask = torch.arange(PROMPT + RESPONSE) >= PROMPT
            found.append(
                CreditedSample(
                    group_id=group,
                    member=index,
                    token_ids=torch.cat((prompt, response)),
                    loss_mask=mask,
                    sampling_logprobs=torch.where(mask, -10.0, 0.0),
                    advantages=torch.where(mask, 1.0 if index % 2 else -1.0, 0.0),
                )
            )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="default")
    parser.add_argument("--policy", choices=("decoder", "hf"), default="decoder")
    parser.add_argument("--checkpointing", action="store_true", help="gradient checkpointing")
    parser.add_argument("--dtype", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--lora", type=int, metavar="RANK", help="train an adapter of this rank")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens of a micro-batch")
    options = parser.parse_args()
    keep_freed_memory()
    dtype = torch.bfloat16 if options.dtype == "bf16" else torch.float32
    model = open_model(options.model, policy=options.policy)
    shape = model.shape
    lora = None if options.lora is None else LoraSettings(rank=options.lora)
    policy = model.policy(lora=lora, compute_dtype=dtype, gradient_checkpointing=options.checkpointing)
    engine = model.engine_for(policy, stop_token_ids=(), decode=str, dtype=dtype)
    assert isinstance(engine, BatchingEngine)
    trainer = Trainer(policy, TrainerSettings(), temperature=1.0, tokens_per_microbatch=options.tokens)
    before = peak_bytes()
    minibatches = trainer.pack(samples(shape.vocab_size))
    largest = max(batch.num_tokens for minibatch in minibatches for batch in minibatch)
    started = time.perf_counter()
    for step in range(2):  # The second update has moments from the start.
        engine.rest()
        report = trainer.update(minibatches, Reinforce())
        assert not report.num_skipped
        asyncio.run(engine.load_weights(policy.weights(), step + 1))
    seconds = (time.perf_counter() - started) / 2
    estimate = memory_estimate(
        shape,
        compute_dtype=dtype,
        tokens_per_microbatch=largest,
        num_slots=0,
        slot_tokens=0,
        num_trainable=model.num_trained(lora),
        gradient_checkpointing=options.checkpointing,
    )
    for line in estimate.lines():
        print(line)
    checkpointing = "checkpointing" if options.checkpointing else "no checkpointing"
    trained = "all weights" if lora is None else f"LoRA of rank {lora.rank}"
    print(
        f"{options.policy}, {trained}, {options.dtype}, {checkpointing}, {largest:,} tokens, "
        f"version {engine.version}: estimate "
        f"{estimate.total_bytes / 1e9:.2f} GB, peak {peak_bytes() / 1e9:.2f} GB (before the update "
        f"{before / 1e9:.2f} GB), {seconds:.0f} s an update"
    )


if __name__ == "__main__":
    main()

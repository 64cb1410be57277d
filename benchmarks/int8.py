"""Sampling with 8-bit weights beside sampling in the compute dtype: `python benchmarks/int8.py [--gap] [--pairs N]`.

--gap: free text is sampled in fp32 at temperature 1; what the 8-bit engine says of the same tokens is compared with
what the fp32 one says: the mean absolute gap of log-probabilities, and KL(fp32 || int8) over the vocabulary, a token.
--pairs: 8 prompts of 40 tokens x 8, in turn by each, in the dtype that is faster here; ratios of wall clock and of
processor time, the second of which others who use the machine change less.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import time
from collections.abc import Sequence

import torch

from assay.engines import LocalEngine, Sampling
from assay.engines.int8 import calibration_tokens
from assay.engines.local import int8_view
from assay.engines.local.pages import PagePool
from assay.engines.local.prefixes import PrefixTree
from assay.engines.local.prompts import PromptPass
from assay.launch import COMPUTE_DTYPES
from assay.models import open_model
from assay.policies import DecoderPolicy
from assay.training import choose_dtype, keep_freed_memory
from assay.types import Message

QUESTIONS = (
    "Tell me about the history of bridges.",
    "Write a short story about a fox and a clock.",
    "Explain photosynthesis to a child.",
    "How do I bake bread at home?",
    "What is the difference between a list and a tuple in Python?",
    "Describe a quiet morning by the sea.",
    "Give three reasons to learn a language.",
    "Who was Ada Lovelace?",
)
NEW_TOKENS = 80


class Bench:
    def __init__(self, num_loud: int | None) -> None:
        keep_freed_memory()
        self.model = open_model("default")
        self.renderer = self.model.renderer()
        self.num_loud = num_loud
        policy = self.model.policy()
        assert isinstance(policy, DecoderPolicy)
        self.policy = policy

    def engine(self, dtype: torch.dtype, *, int8: bool) -> LocalEngine:
        tokens = calibration_tokens(self.policy.tokenizer_files, self.policy.config.vocab_size)
        return LocalEngine(
            self.policy.config,
            self.policy.weights(),
            stop_token_ids=(),
            decode=self.renderer.decode,
            dtype=dtype,
            int8=(tokens, self.num_loud) if int8 else None,
        )

    def sample(
        self, engine: LocalEngine, prompts: Sequence[Sequence[int]], new_tokens: int, seed: int
    ) -> list[list[int]]:
        async def all_of_them() -> list[list[int]]:
            sampling = Sampling(max_new_tokens=new_tokens)
            completions = await asyncio.gather(
                *(engine.generate(p, sampling, request_id=str(i), seed=seed + i) for i, p in enumerate(prompts))
            )
            return [list(completion.token_ids) for completion in completions]

        found = asyncio.run(all_of_them())
        engine.forget()
        return found

    def gap(self) -> None:
        exact = self.engine(torch.float32, int8=False)
        prompts = [self.renderer.render((Message("user", text),)) for text in QUESTIONS]
        sampled = self.sample(exact, prompts, NEW_TOKENS, seed=0)
        right = [logprobs(exact, p, s) for p, s in zip(prompts, sampled, strict=True)]
        probed = int8_view.weight_limit()
        for limit in dict.fromkeys((probed, 63)):
            int8_view.weight_limit = lambda limit=limit: limit
            ours = self.engine(torch.float32, int8=True)
            found = [logprobs(ours, p, s) for p, s in zip(prompts, sampled, strict=True)]
            gaps = [
                (mine - fp32).gather(1, torch.tensor(s)[:, None]).abs()
                for mine, fp32, s in zip(found, right, sampled, strict=True)
            ]
            divergences = [(fp32.exp() * (fp32 - mine)).sum(1) for mine, fp32 in zip(found, right, strict=True)]
            num_tokens, num_loud = sum(map(len, sampled)), self.num_loud or int8_view.NUM_LOUD[limit]
            print(
                f"weights in [-{limit}, {limit}], {num_loud} loud columns, {num_tokens} tokens: mean gap "
                f"{float(torch.cat(gaps).mean()):.4f}, KL {float(torch.cat(divergences).mean()):.4f}",
                flush=True,
            )
        int8_view.weight_limit = lambda: probed

    def pairs(self, count: int, dtype: torch.dtype, new_tokens: int) -> None:
        engines = {name: self.engine(dtype, int8=name == "int8") for name in ("plain", "int8")}
        for engine in engines.values():
            self.sample(engine, [[1000] * 8], 3, seed=0)
        ratios: dict[str, list[float]] = {"wall clock": [], "processor": []}
        for repeat in range(count):
            rng = random.Random(repeat)
            prompts = [
                p for p in ([rng.randrange(1000, 40_000) for _ in range(40)] for _ in range(8)) for _ in range(8)
            ]
            seconds: dict[str, tuple[float, float]] = {}
            for name, engine in engines.items():
                start, used = time.perf_counter(), time.process_time()
                self.sample(engine, prompts, new_tokens, seed=100 * repeat)
                seconds[name] = time.perf_counter() - start, time.process_time() - used
            for kind, plain, quantised in zip(ratios, seconds["plain"], seconds["int8"], strict=True):
                ratios[kind].append(plain / quantised)
            print(f"  {seconds}", flush=True)
        for kind, values in ratios.items():
            print(f"{kind}: int8 {statistics.median(values):.2f} times as fast [{min(values):.2f}, {max(values):.2f}]")


@torch.inference_mode()
def logprobs(engine: LocalEngine, prompt: Sequence[int], sampled: Sequence[int]) -> torch.Tensor:
    """[L, V] of what comes at the place of each sampled token."""
    view = engine._view
    pool = PagePool(engine.config, view.dtype, "cpu")
    plan = PromptPass(PrefixTree(pool, 0), pool)
    plan.add((*prompt, *sampled))
    engine._runner.pool = pool
    rows = range(len(prompt) - 1, len(prompt) + len(sampled) - 1)
    try:
        return engine._runner.run(plan.work, rows).float().log_softmax(-1)
    finally:
        engine._runner.pool = engine._pool


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/int8.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gap", action="store_true")
    parser.add_argument("--pairs", type=int, default=0, metavar="N")
    parser.add_argument("--dtype", choices=("auto", "bf16", "fp32"), default="auto", help="of the other side")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--loud", type=int, help="loud columns; default: the engine's own")
    arguments = parser.parse_args()
    bench = Bench(arguments.loud)
    if arguments.gap:
        bench.gap()
    if arguments.pairs:
        choice = choose_dtype("cpu", arguments.dtype)
        name = next(name for name, each in COMPUTE_DTYPES.items() if each == choice.dtype)
        print(f"beside {name} ({choice.reason}), {torch.get_num_threads()} threads")
        bench.pairs(arguments.pairs, choice.dtype, arguments.new_tokens)


if __name__ == "__main__":
    main()

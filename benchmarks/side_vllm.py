"""vLLM's side: its CPU build, with prefix caching. Usage: side_vllm.py MODEL_FOLDER [DTYPE [BLOCK_SIZE]]

BLOCK_SIZE is the tokens of a block of its cache, which are shared whole or not at all; 0 is its own choice.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import heapq
import os
import sys
import time
from typing import Any

from side import scripted_answer, serve

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{(os.cpu_count() or 1) - 1}")


def main() -> None:
    start = time.perf_counter()
    from vllm import LLM, SamplingParams, TokensPrompt

    dtype = sys.argv[2] if len(sys.argv) > 2 else "bfloat16"
    block_size = sys.argv[3] if len(sys.argv) > 3 else "0"
    options: dict[str, Any] = {"block_size": int(block_size)} if int(block_size) else {}
    engine = LLM(sys.argv[1], dtype=dtype, max_model_len=2048, max_num_seqs=256, enable_prefix_caching=True, **options)
    start_seconds = time.perf_counter() - start

    def rollouts(prompts: list[list[int]], group_size: int, new_tokens: int, seed: int) -> dict[str, float]:
        # Without the seed: with one for each request its CPU build samples row by row, and fails on prompts that it
        # computes in several passes ("CPU Generator does not use offset").
        sampling = SamplingParams(
            n=group_size, max_tokens=new_tokens, min_tokens=new_tokens, temperature=1.0, logprobs=0
        )
        # What an earlier repeat had computed must not be there already.
        engine.reset_prefix_cache()
        start = time.perf_counter()
        outputs = engine.generate(
            [TokensPrompt(prompt_token_ids=prompt) for prompt in prompts], sampling, use_tqdm=False
        )
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "tokens": sum(len(one.token_ids) for output in outputs for one in output.outputs)}

    def turns(
        prompts: list[list[int]],
        group_size: int,
        num_turns: int,
        new_tokens: int,
        answer_tokens: int,
        delay_seconds: float,
        seed: int,
    ) -> dict[str, float]:
        """Episodes, each going on as soon as its world has answered."""
        sampling = SamplingParams(max_tokens=new_tokens, min_tokens=new_tokens, temperature=1.0, logprobs=0)
        core = engine.llm_engine
        engine.reset_prefix_cache()
        rollouts = [list(prompt) for prompt in prompts for _ in range(group_size)]
        waiting = [(0.0, rollout, 0) for rollout in range(len(rollouts))]
        num_forwarded = num_asked = num_sampled = 0
        idle = 0.0
        start = time.perf_counter()
        while waiting or core.has_unfinished_requests():
            now = time.perf_counter()
            while waiting and waiting[0][0] <= now:
                _, rollout, turn = heapq.heappop(waiting)
                core.add_request(f"{rollout}/{turn}", TokensPrompt(prompt_token_ids=rollouts[rollout]), sampling)
            if not core.has_unfinished_requests():
                time.sleep(max(0.0, waiting[0][0] - now))
                idle += time.perf_counter() - now
                continue
            for output in core.step():
                if not output.finished:
                    continue
                rollout, turn = map(int, output.request_id.split("/")[:2])
                sampled = list(output.outputs[0].token_ids)
                num_sampled += len(sampled)
                num_asked += len(output.prompt_token_ids)
                num_forwarded += len(output.prompt_token_ids) - (output.num_cached_tokens or 0)
                if turn + 1 < num_turns:
                    rollouts[rollout] += sampled + scripted_answer(seed, rollout, turn, answer_tokens)
                    heapq.heappush(waiting, (time.perf_counter() + delay_seconds, rollout, turn + 1))
        seconds = time.perf_counter() - start
        return {
            "seconds": seconds,
            "tokens": num_sampled,
            "prompt_tokens": num_asked,
            "forwarded": num_forwarded,
            "idle_share": idle / seconds,
        }

    serve({"rollouts": rollouts, "turns": turns}, {"start_seconds": start_seconds})


if __name__ == "__main__":
    main()

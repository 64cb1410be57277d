"""vLLM's side: its CPU build, with prefix caching. Usage: side_vllm.py MODEL_FOLDER"""

from __future__ import annotations

import os
import sys
import time

from side import serve

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{(os.cpu_count() or 1) - 1}")


def main() -> None:
    start = time.perf_counter()
    from vllm import LLM, SamplingParams, TokensPrompt

    engine = LLM(sys.argv[1], dtype="bfloat16", max_model_len=2048, max_num_seqs=256, enable_prefix_caching=True)
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

    serve({"rollouts": rollouts}, {"start_seconds": start_seconds})


if __name__ == "__main__":
    main()

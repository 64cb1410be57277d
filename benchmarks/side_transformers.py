"""transformers' side: `generate`, and a plain update with AdamW. Usage: side_transformers.py MODEL_FOLDER [DTYPE]

DTYPE is bf16 (the default; updates by autocast over fp32 weights) or fp32.

Each job says which attention and how many sequences at once; benchmarks/ searches for the best of them first.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import torch
import transformers

from side import serve


class Peer:
    def __init__(self, folder: str, dtype: torch.dtype) -> None:
        self.folder, self.dtype = folder, dtype
        self.samplers: dict[str, Any] = {}
        self.trained: dict[str, tuple[Any, Any]] = {}

    def rollouts(
        self, prompts: list[list[int]], group_size: int, new_tokens: int, seed: int, attention: str, batch: int
    ) -> dict[str, float]:
        model = self._sampler(attention)
        torch.manual_seed(seed)
        rows = [prompt for prompt in prompts for _ in range(group_size)]
        longest = max(map(len, rows))
        # Padded on the left, as generate wants it.
        token_ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        start = time.perf_counter()
        with torch.no_grad():
            for ids_b, mask_b in zip(token_ids.split(batch), mask.split(batch), strict=True):
                model.generate(
                    input_ids=ids_b,
                    attention_mask=mask_b,
                    do_sample=True,
                    top_k=0,
                    top_p=1.0,
                    temperature=1.0,
                    max_new_tokens=new_tokens,
                    min_new_tokens=new_tokens,
                    pad_token_id=0,
                )
        return {"seconds": time.perf_counter() - start, "tokens": new_tokens * len(rows)}

    def update(self, groups: list[dict[str, Any]], attention: str, batch: int) -> dict[str, float]:
        """Autocast over fp32 weights: log-probabilities of the responses, a policy-gradient loss, AdamW."""
        model, optimizer = self._trained(attention)
        rows = [(group["prompt"], response, i) for group in groups for i, response in enumerate(group["responses"])]
        num_predicted = sum(len(response) for _, response, _ in rows)
        start = time.perf_counter()
        for begin in range(0, len(rows), batch):
            some = rows[begin : begin + batch]
            longest = max(len(prompt) + len(response) for prompt, response, _ in some)
            token_ids = torch.tensor([p + r + [0] * (longest - len(p) - len(r)) for p, r, _ in some])
            mask = torch.tensor([[1] * (len(p) + len(r)) + [0] * (longest - len(p) - len(r)) for p, r, _ in some])
            keep = max(len(r) + longest - len(p) - len(r) for p, r, _ in some)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
                # Logits of the responses only, as TRL asks for.
                logits = model(
                    input_ids=token_ids, attention_mask=mask, use_cache=False, logits_to_keep=keep + 1
                ).logits[:, :-1]
            logprobs = logits.float().log_softmax(-1).gather(-1, token_ids[:, -keep:, None]).squeeze(-1)
            places = torch.arange(longest - keep, longest)
            on = torch.tensor([[1.0 if len(p) <= t < len(p) + len(r) else 0.0 for t in places] for p, r, _ in some])
            advantages = torch.tensor([1.0 if i % 2 else -1.0 for _, _, i in some])[:, None]
            ratio = (logprobs - logprobs.detach()).exp()
            (-(ratio * advantages * on).sum() / num_predicted).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return {"seconds": time.perf_counter() - start, "tokens": sum(len(p) + len(r) for p, r, _ in rows)}

    def _sampler(self, attention: str) -> Any:
        if attention not in self.samplers:
            self.samplers[attention] = transformers.AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=self.dtype, attn_implementation=attention
            )
        return self.samplers[attention]

    def _trained(self, attention: str) -> tuple[Any, Any]:
        if attention not in self.trained:
            # One at a time: moments and gradients are large.
            self.trained.clear()
            model = transformers.AutoModelForCausalLM.from_pretrained(
                self.folder, dtype=torch.float32, attn_implementation=attention
            )
            self.trained[attention] = model, torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
        return self.trained[attention]


def main() -> None:
    start = time.perf_counter()
    peer = Peer(sys.argv[1], torch.float32 if sys.argv[2:] == ["fp32"] else torch.bfloat16)
    serve({"rollouts": peer.rollouts, "update": peer.update}, {"start_seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()

"""Stands for the worker that runs vLLM: the same calls, answered by a model of two tensors, "table" and "bias": the
next token follows from the last one alone.

`environment["FAULT"]` says what it does wrong. It samples nothing while its folder holds a file "hold".
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np

from assay.adapters.plain import RefusedError

SHARED = True
STATE: dict[str, Any] = {}
REQUESTS: dict[str, Session] = {}


def warm_up() -> None:
    """Import nothing more."""


class Session:
    async def open(self, version: str, device: str, options: dict, environment: dict, tokens: list) -> dict[str, Any]:
        fault = STATE["fault"] = environment.get("FAULT", "")
        STATE["options"] = options
        if fault == "refuses":
            raise RefusedError("vLLM cannot open the model: ValueError: no such architecture")
        if fault == "dies at start":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "hangs at start":
            await asyncio.Event().wait()
        return {
            "vocab_size": options["vocab_size"] - (fault == "other vocabulary"),
            "max_context": options["max_model_len"],
            "tokens": ["<other>"] if fault == "other tokens" else [f"<{number}>" for number in tokens],
        }

    async def load(self, path: str, version: int) -> int:
        from safetensors.numpy import load_file

        fault = STATE["fault"]
        if fault == "hangs in load":
            await asyncio.Event().wait()
        weights = load_file(path)
        first = STATE.setdefault("first", weights)
        if fault == "skips a tensor":
            weights["bias"] = first["bias"]
        STATE["weights"], STATE["version"] = first if fault == "never loads" else weights, version
        return len(weights)

    async def abort(self, request_id: str) -> None:
        if request_id in REQUESTS:
            REQUESTS[request_id].aborted = True

    async def begin(self, request_id: str, prompt_ids: list, salt: str, sampling: dict) -> None:
        self.request_id, self.prompt, self.sampling, self.aborted = request_id, prompt_ids, sampling, False
        REQUESTS[request_id] = self

    async def under_way(self) -> int:
        return len(REQUESTS)

    async def finish(self) -> dict[str, Any]:
        fault = STATE["fault"]
        try:
            hold = Path(STATE["options"]["model"]) / "hold"
            while (fault == "hangs in a request" or hold.exists()) and not self.aborted:
                await asyncio.sleep(0.01)
            answer = await self.sample()
        finally:
            del REQUESTS[self.request_id]
        wrong: dict[str, dict[str, Any]] = {
            "a token of no vocabulary": {"token_ids": [10**9] * len(answer["token_ids"])},
            "no number": {"logprobs": [float("nan")] * len(answer["token_ids"])},
            "no reason": {"reason": "because"},
            "too few": {"logprobs": answer["logprobs"][1:]},
        }
        return {**answer, **wrong.get(fault, {})}

    async def sample(self) -> dict[str, Any]:
        asked, numbers = self.sampling, random.Random(self.sampling["seed"])
        tokens: list[int] = []
        logprobs: list[float] = []
        spans: list[tuple[int, int]] = []
        reason = None
        while reason is None:
            if self.aborted:
                reason = "abort"
                break
            weights, version = STATE["weights"], STATE["version"]
            logits = (weights["table"][[*self.prompt, *tokens][-1]] + weights["bias"]).astype(np.float64)
            logits /= asked["temperature"] or 1.0
            if asked["top_k"]:
                logits[logits < np.sort(logits)[-asked["top_k"]]] = -np.inf
            logits -= logits.max()
            logits -= np.log(np.exp(logits).sum())
            chosen = int(np.searchsorted(np.cumsum(np.exp(logits)), numbers.random()))
            token = min(chosen, len(logits) - 1) if asked["temperature"] else int(logits.argmax())
            if not spans or spans[-1][1] != version:
                spans.append((len(tokens), version))
            tokens.append(token)
            logprobs.append(min(0.0, float(logits[token])))
            if token in asked["stop_token_ids"]:
                reason = "stop"
            elif len(tokens) == asked["max_tokens"]:
                reason = "length"
            await asyncio.sleep(0.001)
        return {"token_ids": tokens, "logprobs": logprobs, "reason": reason, "spans": spans}

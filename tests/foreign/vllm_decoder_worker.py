"""Stands for the worker that runs vLLM: the same calls, answered by Assay's own engine with the model itself, so that
the same seeds give the same tokens as in one process. `vllm_stand_in.py` starts it."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

SHARED = True
STATE: dict[str, Any] = {}


def warm_up() -> None:
    """Make all of Assay importable: a worker has two files of it."""
    for module in [each for each in sys.modules if each.split(".")[0] == "assay"]:
        del sys.modules[module]
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))


class Session:
    async def open(self, version: str, device: str, options: dict, environment: dict, tokens: list) -> dict[str, Any]:
        import torch

        from assay.policies.config import DecoderConfig

        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
        STATE["config"] = config = DecoderConfig.from_folder(Path(options["model"]))
        STATE["options"] = options
        return {
            "vocab_size": config.vocab_size,
            "max_context": options["max_model_len"],
            "tokens": [],
        }

    async def load(self, path: str, version: int) -> int:
        from safetensors.torch import load_file

        STATE["weights"], STATE["version"] = load_file(path), version
        if "engine" in STATE:
            await STATE["engine"].load_weights(STATE["weights"].items(), version)
        return len(STATE["weights"])

    async def begin(self, request_id: str, prompt_ids: list[int], salt: str, sampling: dict[str, Any]) -> None:
        from assay.engines import Sampling

        if "engine" not in STATE:
            STATE["engine"] = opened(tuple(sampling["stop_token_ids"]))
        engine = STATE["engine"]
        asked = Sampling(temperature=sampling["temperature"], max_new_tokens=sampling["max_tokens"])
        self._sampling = asyncio.create_task(
            engine.generate(prompt_ids, asked, request_id=request_id, seed=sampling["seed"])
        )

    async def finish(self) -> dict[str, Any]:
        completion = await self._sampling
        return {
            "token_ids": list(completion.token_ids),
            "logprobs": list(completion.logprobs),
            "reason": completion.finish_reason,
            "spans": [list(span) for span in completion.version_spans],
        }

    async def abort(self, request_id: str) -> None:
        await STATE["engine"].abort(request_id)


def opened(stop_token_ids: tuple[int, ...]) -> Any:
    """Assay's engine with the weights that came."""
    import torch

    from assay.engines import LocalEngine

    options = STATE["options"]
    return LocalEngine(
        STATE["config"],
        STATE["weights"].items(),
        stop_token_ids=stop_token_ids,
        decode=str,
        dtype=getattr(torch, options["dtype"]),
        num_slots=options["max_num_seqs"],
        max_context=options["max_model_len"],
        version=STATE["version"],
    )

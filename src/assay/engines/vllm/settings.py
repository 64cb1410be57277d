"""The settings of vLLM as an engine: `engine = "vllm"` in a recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pydantic

from assay.adapters import AdapterServer, find_adapter, interpreter_of
from assay.engines.engine import FarSettings
from assay.engines.vllm.engine import VLLMEngine, VLLMOptions
from assay.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from assay.policies.policy import Policy

LEAST_BATCH = 8192
"""Fewest tokens of new prompts that vLLM may compute together."""
NUM_TOKENS = 512
"""Tokens of the vocabulary that are compared by name."""


class VLLM(FarSettings):
    """Sampling with vLLM, in a process and a Python environment of its own, since its requirements exclude ours:
    `assay adapters install vllm`. Weights are published through memory, and each publish is proved."""

    worker: ClassVar[Path] = Path(__file__).parent / "beside" / "session.py"
    """What the other Python runs."""
    name: Literal["vllm"] = "vllm"
    python: str | None = None
    """A Python that has vLLM 0.32.0, such as the build for GPUs; None for what `assay adapters install vllm` makes."""
    max_context: int | None = pydantic.Field(default=None, ge=2)
    """The longest prompt and completion together, in tokens; None for the model's own limit."""
    cache_gib: int = pydantic.Field(default=2, ge=1, le=4096)
    """Memory for keys and values on a CPU, in GiB, taken when it starts."""
    gpu_memory_share: float = pydantic.Field(default=0.4, gt=0.0, le=1.0)
    """Share of a GPU's memory that vLLM takes when it starts; the learner needs the rest where it is on the same
    GPU."""

    def open(
        self,
        policy: Policy,
        *,
        stop_token_ids: tuple[int, ...],
        decode: Callable[[Sequence[int]], str],
        dtype: torch.dtype,
        num_slots: int,
        version: int,
    ) -> VLLMEngine:
        """An engine of the policy's shape, which has no weights before some are loaded.

        Raises:
            ConfigError: vLLM is not installed, or in another version; or an option that it cannot follow.
        """
        import torch

        python = self._interpreter()
        if getattr(policy, "fp32_head", False):
            raise ConfigError(
                "model.fp32_head cannot be had with engine 'vllm', which computes logits in the compute dtype: leave "
                "it out"
            )
        if self.max_context is not None and self.max_context > policy.max_context:
            raise ConfigError(
                f"engine.max_context={self.max_context} is more than the model's {policy.max_context}: lower it, or "
                "leave it out"
            )
        context, device = self.max_context or policy.max_context, policy.device.type
        server = AdapterServer("vllm", self.worker, python)
        folder = server.folder / "model"
        try:
            folder.mkdir()
            _write_shape(folder, policy)
            tokens = _some_tokens(getattr(policy, "tokenizer_files", {}))
        except BaseException:
            server.close()
            raise
        own = {
            "model": str(folder),
            "skip_tokenizer_init": not tokens,
            "dtype": str(dtype).removeprefix("torch."),
            "max_model_len": context,
            "max_num_seqs": num_slots,
            # A seeded prompt that is computed in pieces ends vLLM on a CPU: prompts are computed whole, or wait.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(context, LEAST_BATCH) + num_slots,
            "enable_prefix_caching": True,
            "enforce_eager": device == "cpu",
            # What is computed with comes by a publish, or not at all.
            "load_format": "dummy",
            # Those of the distribution that is sampled from, after temperature and truncation.
            "logprobs_mode": "processed_logprobs",
            "generation_config": "vllm",
            "worker_extension_cls": "assay_vllm_weights.AssayWeights",
            "disable_log_stats": True,
            "seed": 0,
            **({} if device == "cpu" else {"gpu_memory_utilization": self.gpu_memory_share}),
        }
        options = VLLMOptions(
            version=REQUIRED,
            device=device,
            options=own,
            vocab_size=policy.vocab_size,
            max_context=context,
            stop_token_ids=stop_token_ids,
            reads_text=bool(tokens),
            environment=self._environment(torch.get_num_threads(), device, folder),
            tokens=tokens,
            start_seconds=self.start_seconds,
            request_seconds=self.request_seconds,
            publish_seconds=self.publish_seconds,
        )
        return VLLMEngine(server, options, dtype)

    @property
    def remedy(self) -> str:
        return (
            "try it alone (assay eval default --engine vllm --num-tasks 1), or raise engine.max_restarts or "
            "engine.start_seconds"
        )

    def _interpreter(self) -> Path:
        if self.python is None:
            return interpreter_of("vllm")
        # Not resolved: a virtual environment's Python is a link, and its place says which environment it is.
        path = Path(shutil.which(self.python) or self.python).expanduser().absolute()
        if not path.is_file():
            raise ConfigError(
                f"engine.python={self.python!r} is no Python: name the bin/python of an environment that has vLLM, or "
                "leave it out and run: assay adapters install vllm"
            )
        return path

    def _environment(self, num_threads: int, device: str, folder: Path) -> dict[str, str]:
        quiet = {
            "HF_HUB_OFFLINE": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "DO_NOT_TRACK": "1",
            "VLLM_HOST_IP": "127.0.0.1",
            "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
            # Its sockets go with the folder, also where it is killed.
            "VLLM_RPC_BASE_PATH": str(folder),
        }
        if device != "cpu":
            return quiet
        return {
            **quiet,
            "GLOO_SOCKET_IFNAME": "lo",
            "OMP_NUM_THREADS": str(num_threads),
            # Bound threads would wait for whoever else is on their cores.
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            "VLLM_CPU_KVCACHE_SPACE": str(self.cache_gib),
        }


REQUIRED = find_adapter("vllm").requirements[0].partition("==")[2]
"""The version of vLLM that this is written for."""


def _write_shape(folder: Path, policy: Any) -> None:
    """Writes a model's folder without its weights."""
    from assay.policies import DecoderPolicy
    from assay.policies.folder import write_config

    if isinstance(policy, DecoderPolicy):
        write_config(folder, policy.config)
    else:
        policy.config.save_pretrained(folder)
    for name, contents in policy.tokenizer_files.items():
        (folder / name).write_bytes(contents)


def _some_tokens(files: Mapping[str, bytes]) -> dict[int, str]:
    """Tokens from all over the vocabulary; none where there is no file that is read here."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_str(files["tokenizer.json"].decode())
    except Exception:  # tokenizers raises plain exceptions
        return {}
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    ids = sorted({place * (size - 1) // max(1, NUM_TOKENS - 1) for place in range(NUM_TOKENS)})
    return {number: token for number in ids if (token := tokenizer.id_to_token(number)) is not None}

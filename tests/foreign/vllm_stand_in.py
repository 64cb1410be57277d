"""`engine = "vllm"` with a worker in vLLM's place."""

import sys
from pathlib import Path
from typing import ClassVar

from assay.engines.vllm import VLLM


class StandIn(VLLM):
    """Sampling in a worker that opens the model without vLLM."""

    worker: ClassVar[Path] = Path(__file__).with_name("vllm_decoder_worker.py")
    name: str = "stand-in"  # pyright: ignore[reportIncompatibleVariableOverride]
    python: str | None = sys.executable

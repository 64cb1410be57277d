"""vLLM as an engine: `engine = "vllm"` in a recipe. It runs in a process and a virtual environment of its own."""

from __future__ import annotations

from assay.engines.vllm.engine import VLLMEngine
from assay.engines.vllm.settings import VLLM

__all__ = ["VLLM", "VLLMEngine"]

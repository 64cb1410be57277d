"""Engines, which sample: `LocalEngine` and `HFEngine` in this process, `VLLMEngine` in another, `ScriptedEngine` for
tests; `check_engine` holds any engine to the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.engines.check import check_engine
from assay.engines.engine import AnyEngine, Engine, EngineCapabilities, EngineSettings, FarSettings, Sampling
from assay.engines.pool import EnginePool
from assay.engines.proof import EngineState, Probe, ProvenEngine
from assay.engines.restarting import RestartingEngine
from assay.engines.scripted import Script, ScriptedEngine
from assay.later import exports

if TYPE_CHECKING:
    from assay.engines.hf import HFEngine
    from assay.engines.local import BatchingEngine, LocalEngine
    from assay.engines.vllm import VLLMEngine

__getattr__ = exports(
    __name__, {"hf": ("HFEngine",), "local": ("BatchingEngine", "LocalEngine"), "vllm": ("VLLMEngine",)}
)

__all__ = [
    "AnyEngine",
    "BatchingEngine",
    "Engine",
    "EngineCapabilities",
    "EnginePool",
    "EngineSettings",
    "EngineState",
    "FarSettings",
    "HFEngine",
    "LocalEngine",
    "Probe",
    "ProvenEngine",
    "RestartingEngine",
    "Sampling",
    "Script",
    "ScriptedEngine",
    "VLLMEngine",
    "check_engine",
]

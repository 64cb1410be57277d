"""Engines, which sample: `LocalEngine` and `HFEngine` in this process, `ScriptedEngine` for tests; `check_engine` holds
any engine to the contract.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.engines.check import check_engine
from assay.engines.engine import AnyEngine, Engine, EngineCapabilities, EngineSettings, Sampling
from assay.engines.proof import EngineState, Probe, ProvenEngine
from assay.engines.scripted import Script, ScriptedEngine
from assay.later import exports

if TYPE_CHECKING:
    from assay.engines.hf import HFEngine
    from assay.engines.local import BatchingEngine, LocalEngine

__getattr__ = exports(__name__, {"hf": ("HFEngine",), "local": ("BatchingEngine", "LocalEngine")})

__all__ = [
    "AnyEngine",
    "BatchingEngine",
    "Engine",
    "EngineCapabilities",
    "EngineSettings",
    "EngineState",
    "HFEngine",
    "LocalEngine",
    "Probe",
    "ProvenEngine",
    "Sampling",
    "Script",
    "ScriptedEngine",
    "check_engine",
]

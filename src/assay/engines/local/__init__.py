"""The local engine in small files: a scheduler, a cache, a serving view, a model runner, a sampler."""

from __future__ import annotations

from assay.engines.local.batching import BatchingEngine
from assay.engines.local.engine import LocalEngine

__all__ = ["BatchingEngine", "LocalEngine"]

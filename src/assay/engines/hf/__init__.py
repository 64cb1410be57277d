"""The engine for any causal language model of transformers: its module, a cache of rows that end together."""

from __future__ import annotations

from assay.engines.hf.engine import HFEngine

__all__ = ["HFEngine"]

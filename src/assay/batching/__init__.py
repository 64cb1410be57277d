"""Batching: from groups of rollouts to packed micro-batches. `to_samples` says what is trained on, `pack` lays it
out."""

from __future__ import annotations

from assay.batching.mismatched import mismatched
from assay.batching.pack import pack
from assay.batching.samples import to_samples
from assay.batching.scored import scored

__all__ = ["mismatched", "pack", "scored", "to_samples"]

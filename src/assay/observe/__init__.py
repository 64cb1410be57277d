"""Everything that a person sees of a run: metrics and their explanations, the run store, the live console, TensorBoard
events, the report. A low layer: it is handed plain data and never imports what makes it. Import from its modules: they
load their libraries (rich, matplotlib, TensorBoard) only where those are used."""

from __future__ import annotations

from assay.observe.metrics import METRICS, metric

__all__ = ["METRICS", "metric"]

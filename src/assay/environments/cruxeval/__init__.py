"""CRUXEval: what a function returns, and what it must be given."""

from __future__ import annotations

from assay.environments.cruxeval.environment import CRUXEval

__all__ = ["CRUXEval"]

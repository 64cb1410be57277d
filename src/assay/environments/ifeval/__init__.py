"""IFEval: the published prompts with verifiable instructions."""

from __future__ import annotations

from assay.environments.ifeval.environment import IFEval

__all__ = ["IFEval"]

"""HumanEval: Python functions to complete from their docstring."""

from __future__ import annotations

from assay.environments.humaneval.environment import HumanEval

__all__ = ["HumanEval"]

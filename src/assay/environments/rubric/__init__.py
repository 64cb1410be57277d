"""Rubric: open-ended tasks, judged by criteria with weights."""

from __future__ import annotations

from assay.environments.rubric.environment import Rubric

__all__ = ["Rubric"]

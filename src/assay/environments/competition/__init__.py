"""Competition: programming problems in the forms of APPS, CodeContests and LiveCodeBench."""

from __future__ import annotations

from assay.environments.competition.environment import Competition

__all__ = ["Competition"]

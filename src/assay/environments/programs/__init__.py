"""Programs: a generator of programming tasks with references, hidden tests and mutants."""

from __future__ import annotations

from assay.environments.programs.environment import Programs

__all__ = ["Programs"]

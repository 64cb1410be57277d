"""The programs domain: a generator of programming tasks with references, hidden tests and mutants."""

from __future__ import annotations

from assay.domains.programs.domain import Programs

__all__ = ["Programs"]

"""Counts of what became of the programs that were verified: a rise in some of these is the first sign of a hole being
used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from assay.observe.metrics import metric
from assay.verifiers.code.verdict import LIMITS, TestResult, TestVerdict

PROGRAMS = metric("code/programs", "Responses whose program was run since the run began or was resumed.")
NO_PROGRAM = metric(
    "code/no_program", "Responses without a program, or with one that is cut off or too long, since then."
)
ENDED_BY_LIMITS = metric("code/ended_by_limits", "Programs that passed a limit of time, memory or output since then.")
RUNTIME_ERRORS = metric("code/runtime_errors", "Programs that raised, or ended before they answered, since then.")
COMPILE_ERRORS = metric("code/compile_errors", "Programs that their language refuses, since then.")
FORGED_TYPES = metric(
    "code/forged_types", "Programs that answered with an object in the place of a plain value since then."
)
CANNOT_CROSS = metric(
    "code/cannot_cross", "Programs that answered with an object that cannot be looked at where the test is, since then."
)


@dataclass
class CodeTally:
    """Counts of one process."""

    counts: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            (PROGRAMS, NO_PROGRAM, ENDED_BY_LIMITS, RUNTIME_ERRORS, COMPILE_ERRORS, FORGED_TYPES, CANNOT_CROSS), 0.0
        )
    )

    def without_program(self) -> None:
        self._add(NO_PROGRAM)

    def ran(self, results: Sequence[TestResult]) -> None:
        """Counts one program by what any of its tests said."""
        verdicts = {result.verdict for result in results}
        self._add(PROGRAMS)
        for name, seen in (
            (ENDED_BY_LIMITS, not verdicts.isdisjoint(LIMITS)),
            (RUNTIME_ERRORS, TestVerdict.RUNTIME_ERROR in verdicts),
            (COMPILE_ERRORS, TestVerdict.COMPILE_ERROR in verdicts),
            (CANNOT_CROSS, TestVerdict.CANNOT_CROSS in verdicts),
            (FORGED_TYPES, any(result.forged_type for result in results)),
        ):
            if seen:
                self._add(name)

    def _add(self, name: str) -> None:
        with _LOCK:
            self.counts[name] += 1


_LOCK = Lock()

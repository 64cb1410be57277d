"""The limits of the tests of one response."""

from __future__ import annotations

from dataclasses import dataclass, replace

from assay.sandbox import Limits


@dataclass(slots=True)
class Bounds:
    """Limits of one test, and the time that is left for all tests of a response together."""

    limits: Limits
    """The limit of one test."""
    seconds: float
    """The seconds of all tests, on the clock, while the program runs: what it waits for its turn, or for a processor,
    does not count."""

    def spend(self, seconds: float) -> None:
        """Takes from what is left."""
        self.seconds -= seconds

    @property
    def is_spent(self) -> bool:
        return self.seconds <= 0

    def for_session(self, num_tests: int) -> Limits:
        """Return the limits of a session that answers several tests, one after the other."""
        cpu = self.limits.cpu_seconds
        return replace(
            self.limits,
            cpu_seconds=max(cpu, min(cpu * num_tests, self.seconds)),
            wall_seconds=max(self.limits.wall_seconds, min(self.limits.wall_seconds * num_tests, self.seconds)),
        )

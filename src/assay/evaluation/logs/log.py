"""The log of an evaluation that any package made: samples by task, with their scores. Unknown is not zero here
either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class LoggedSample:
    """One attempt at one task."""

    benchmark: str
    """The set of tasks it is of: what inspect-ai and lm-evaluation-harness call a task."""
    task: str
    """Name of the task within its benchmark, the same in every log of it."""
    scores: Mapping[str, float | None]
    """Value by measure; None where it was not measured."""
    why: str = ""
    """Why it was not measured."""
    columns: Mapping[str, Any] = field(default_factory=dict)
    """What else the log has of it, for tables."""


@dataclass(frozen=True)
class Log:
    """Samples of one or several benchmarks."""

    source: str
    kind: str
    """The package that wrote it: "inspect-ai", "lm-evaluation-harness", "assay"; "table" for a table."""
    samples: tuple[LoggedSample, ...]
    notes: tuple[str, ...] = ()
    """Sentences on what a reader of its scores should know."""

    @cached_property
    def benchmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(sample.benchmark for sample in self.samples))

    def measures(self, benchmark: str) -> tuple[str, ...]:
        """Names of the scores that any sample of a benchmark has."""
        names: dict[str, None] = {}
        for sample in self.samples:
            if sample.benchmark == benchmark:
                names |= dict.fromkeys(sample.scores)
        return tuple(names)

    def values(self, benchmark: str, measure: str) -> dict[str, list[float | None]]:
        """Task to the value of each of its samples, None for what was not measured."""
        found: dict[str, list[float | None]] = {}
        for sample in self.samples:
            if sample.benchmark == benchmark:
                found.setdefault(sample.task, []).append(sample.scores.get(measure))
        return found

    def why_not(self, benchmark: str, measure: str) -> Counter[str]:
        """Why samples of a benchmark were not measured, with how many."""
        return Counter(
            sample.why or "no value"
            for sample in self.samples
            if sample.benchmark == benchmark and sample.scores.get(measure) is None
        )

    def rows(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The samples as the rows of a table: benchmark, task, its scores by measure, and what else the log has."""
        return [
            (
                f"{self.source}, {sample.benchmark}, task {sample.task}",
                {**sample.columns, "benchmark": sample.benchmark, "task": sample.task, **sample.scores},
            )
            for sample in self.samples
        ]

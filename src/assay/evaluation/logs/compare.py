"""Two logs of the same tasks, compared in pairs: never row by row, and never without what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assay.errors import DataError
from assay.evaluation.logs.log import Log
from assay.statistics import (
    Interval,
    PairedDifference,
    clustered_proportion,
    holm,
    noise_floor,
    paired_difference,
    paired_mean_difference,
    t_interval,
)

Values = Mapping[str, Sequence[float | None]]
"""Task to the values of its samples."""


@dataclass(frozen=True)
class Side:
    """One log's scores of one benchmark by one measure."""

    mean: Interval
    """Over the tasks that were measured on both sides."""
    num_tasks: int
    num_not_measured: int
    """Tasks of which no sample was measured, on this side."""
    num_samples_not_measured: int
    only_here: int
    """Tasks that the other log has not."""
    as_failed: float
    """The mean over all of its tasks had every sample that was not measured failed."""
    as_solved: float
    """The same had they been solved."""
    why: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "mean": self.mean.to_dict(), "why": dict(self.why)}


@dataclass(frozen=True)
class LogComparison:
    """A benchmark in one measure, before and after."""

    benchmark: str
    measure: str
    before: Side
    after: Side
    difference: PairedDifference
    adjusted_p: float
    """The p-value with Holm's correction for all comparisons that were made with it."""
    noise_floor: float | None
    """How far apart two evaluations of the model before would be, 95 times in 100; None where samples do not tell."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "benchmark": self.benchmark,
            "measure": self.measure,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            **self.difference.to_dict(),
            "adjusted_p_value": self.adjusted_p,
            "noise_floor": self.noise_floor,
        }


def compare_logs(before: Log, after: Log, measures: Sequence[str] = ()) -> tuple[list[LogComparison], list[str]]:
    """Every benchmark and measure that both logs have, in pairs of the same tasks, with Holm's correction over all of
    them; and sentences about what could not be compared.

    Args:
        measures: those to compare. Default: all that both have.

    Raises:
        DataError: nothing can be compared; says why.
    """
    found: list[LogComparison] = []
    said: list[str] = []
    for side, other in ((before, after), (after, before)):
        if alone := [each for each in side.benchmarks if each not in other.benchmarks]:
            said.append(f"only in {side.source}: {_listed(alone)}")
    for benchmark in before.benchmarks:
        if benchmark not in after.benchmarks:
            continue
        there = after.measures(benchmark)
        shared = [each for each in before.measures(benchmark) if each in there and (not measures or each in measures)]
        if not shared:
            said.append(f"{benchmark}: {_nothing_shared((before, after), benchmark, is_asked=bool(measures))}")
        for measure in shared:
            one = _compared(before, after, benchmark, measure)
            if isinstance(one, str):
                said.append(f"{benchmark}, {measure}: {one}")
            else:
                found.append(one)
    if not found:
        raise DataError(f"{before.source} and {after.source} have nothing to compare: {'; '.join(said)}")
    adjusted = holm([each.difference.p_value for each in found])
    return [replace(each, adjusted_p=p) for each, p in zip(found, adjusted, strict=True)], said


def _compared(before: Log, after: Log, benchmark: str, measure: str) -> LogComparison | str:
    """The comparison; a reason where there is none."""
    logs = before, after
    sides = [log.values(benchmark, measure) for log in logs]
    shared = [task for task in sides[0] if task in sides[1]]
    if not shared:
        return "no task is in both; their names differ, or they are other tasks"
    pairs = [(_measured(sides[0][task]), _measured(sides[1][task])) for task in shared]
    pairs = [pair for pair in pairs if all(pair)]
    if not pairs:
        reasons = [f"{log.source}: {_commonest(log, benchmark, measure)}" for log in logs]
        return f"no task was measured on both sides ({'; '.join(reasons)})"
    means = [[sum(pair[side]) / len(pair[side]) for pair in pairs] for side in (0, 1)]
    sizes = [sum(len(pair[side]) for pair in pairs) for side in (0, 1)]
    try:
        difference, intervals = _difference(means, sizes)
    except ValueError as error:
        return str(error)
    told = [
        _side(log, benchmark, measure, sides[i], sides[1 - i], interval)
        for i, (log, interval) in enumerate(zip(logs, intervals, strict=True))
    ]
    binary = all(value in (0.0, 1.0) for values, _ in pairs for value in values)
    counts = [(len(values), round(sum(values))) for values, _ in pairs]
    floor = noise_floor(counts) if binary else None
    return LogComparison(benchmark, measure, told[0], told[1], difference, difference.p_value, floor)


def _difference(means: Sequence[list[float]], sizes: Sequence[int]) -> tuple[PairedDifference, list[Interval]]:
    if all(0 <= value <= 1 for side in means for value in side):
        singles = [clustered_proportion(side, size) for side, size in zip(means, sizes, strict=True)]
        return paired_difference(*means, num_samples=(sizes[0], sizes[1])), singles
    if len(means[0]) < 2:
        raise ValueError("values outside 0 to 1 of one task have no interval")
    return paired_mean_difference(*means), [t_interval(side) for side in means]


def _side(log: Log, benchmark: str, measure: str, own: Values, other: Values, mean: Interval) -> Side:
    lowest, highest = [], []
    for values in own.values():
        known, unknown = _measured(values), sum(value is None for value in values)
        lowest.append(sum(known) / len(values))
        highest.append((sum(known) + unknown) / len(values))
    return Side(
        mean,
        num_tasks=len(own),
        num_not_measured=sum(not _measured(values) for values in own.values()),
        num_samples_not_measured=sum(value is None for values in own.values() for value in values),
        only_here=sum(task not in other for task in own),
        as_failed=sum(lowest) / len(own),
        as_solved=sum(highest) / len(own),
        why=log.why_not(benchmark, measure),
    )


def _nothing_shared(logs: Sequence[Log], benchmark: str, *, is_asked: bool) -> str:
    """Say why two logs of a benchmark have no measure in common: one of them may have no score at all."""
    for log in logs:
        if not log.measures(benchmark):
            return f"no sample of {log.source} was measured ({_commonest(log, benchmark, '')})"
    names = " and ".join(_listed(log.measures(benchmark)) for log in logs)
    return f"no measure to compare{' of those asked for' if is_asked else ''}, of {names}"


def _measured(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _commonest(log: Log, benchmark: str, measure: str) -> str:
    causes = log.why_not(benchmark, measure).most_common(1)
    return f"{causes[0][1]} samples, {causes[0][0]}" if causes else "all measured"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

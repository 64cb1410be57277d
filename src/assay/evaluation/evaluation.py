"""The result of an evaluation: its rows, and every score from them with its interval."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from assay.errors import DataError
from assay.evaluation.row import EvalRow
from assay.statistics import (
    Interval,
    clustered_proportion,
    pass_at_k_interval,
    pass_hat_k_interval,
    t_interval,
)
from assay.types import Verdict


@dataclass(frozen=True)
class UnmeasuredBounds:
    """Accuracy over all samples, with every sample that was not measured taken as failed, and as solved."""

    all_failed: float
    all_solved: float

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


@dataclass(frozen=True)
class Evaluation:
    """Scored samples of a list of tasks. Unknown is not zero: a sample that was not measured is counted, not scored."""

    rows: tuple[EvalRow, ...]
    """The rows in the order of the tasks, then of the samples."""
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def readings(self) -> tuple[str, ...]:
        return tuple(self.rows[0].scores) if self.rows else ()

    @cached_property
    def task_ids(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(row.task_id for row in self.rows))

    @property
    def num_tasks(self) -> int:
        return len(self.task_ids)

    @property
    def num_samples(self) -> int:
        return len(self.rows)

    @property
    def mean_tokens(self) -> float:
        """Sampled tokens of a sample, on average over those whose number is known; 0 without such samples."""
        known = [row.num_tokens for row in self.rows if row.num_tokens is not None]
        return sum(known) / max(len(known), 1)

    @property
    def mean_turns(self) -> float | None:
        """Turns of a sample, on average over those whose number is known; None without such samples."""
        known = [row.num_turns for row in self.rows if row.num_turns is not None]
        return sum(known) / len(known) if known else None

    @property
    def takes_turns(self) -> bool:
        """True where any sample has more than one turn."""
        return any((row.num_turns or 0) > 1 for row in self.rows)

    def mean_parts(self, reading: str) -> dict[str, float]:
        """Mean over tasks of each named part of the score: of a task, the mean over its measured samples that have
        the part."""
        values: dict[str, dict[str, list[float]]] = {}
        for row in self._read(reading):
            score = row.scores[reading]
            for name, value in score.parts.items() if score.measured else ():
                values.setdefault(name, {}).setdefault(row.task_id, []).append(value)
        return {
            name: sum(sum(some) / len(some) for some in by_task.values()) / len(by_task)
            for name, by_task in values.items()
        }

    def num_not_measured(self, reading: str) -> int:
        """Samples that were not measured under this reading."""
        return sum(not row.scores[reading].measured for row in self._read(reading))

    def counts(self, reading: str) -> dict[str, tuple[int, int]]:
        """Task id to (samples with a verdict, solved samples), of every task."""
        measured: Counter[str] = Counter()
        solved: Counter[str] = Counter()
        for row in self._read(reading):
            measured[row.task_id] += row.scores[reading].has_verdict
            solved[row.task_id] += row.scores[reading].verdict is Verdict.SOLVED
        return {task_id: (measured[task_id], solved[task_id]) for task_id in self.task_ids}

    def rewards(self, reading: str) -> dict[str, float]:
        """Task id to the mean value of its measured samples, of the tasks with any."""
        values: dict[str, list[float]] = {}
        for row in self._read(reading):
            value = row.scores[reading].value
            if value is not None:
                values.setdefault(row.task_id, []).append(value)
        return {task_id: sum(of_task) / len(of_task) for task_id, of_task in values.items()}

    def lacks_verdicts(self, reading: str) -> bool:
        """True where samples were measured and none has a verdict: what counts is their mean reward."""
        scores = [row.scores[reading] for row in self._read(reading)]
        return any(score.measured for score in scores) and not any(score.has_verdict for score in scores)

    def as_text(self, reading: str) -> str:
        """Return the accuracy as "41.5 % [34.9, 48.4]", or where there are no verdicts the mean reward as "0.41 [0.3,
        0.5]"; "not measured" where nothing was."""
        if self.lacks_verdicts(reading):
            mean = self.mean_reward(reading)
            return f"{next(iter(self.rewards(reading).values())):.4g} (one task)" if mean is None else str(mean)
        measured = any(n for n, _ in self.counts(reading).values())
        return self.accuracy(reading).as_percent() if measured else "not measured"

    def accuracy(self, reading: str) -> Interval:
        """Mean over tasks of the share of their measured samples that were solved.

        Raises:
            DataError: no sample was measured or has a verdict, or there is no such reading.
        """
        counts = [count for count in self.counts(reading).values() if count[0]]
        if not counts:
            raise DataError(self._nothing_measured(reading))
        return clustered_proportion([c / n for n, c in counts], sum(n for n, _ in counts))

    def mean_reward(self, reading: str) -> Interval | None:
        """Mean over tasks of the mean value of their measured samples, with Student's interval over tasks; None where
        fewer than two tasks have a measured sample."""
        means = list(self.rewards(reading).values())
        return t_interval(means) if len(means) > 1 else None

    def is_graded(self, reading: str) -> bool:
        """Return True where values say more than which samples were solved: any is neither 1 for solved nor 0 for
        failed, or has no verdict."""
        scores = [row.scores[reading] for row in self._read(reading)]
        return any(
            not score.has_verdict or score.value != float(score.verdict is Verdict.SOLVED)
            for score in scores
            if score.measured
        )

    def bounds(self, reading: str) -> UnmeasuredBounds:
        """The accuracy there would be at worst and at best, had everything been measured."""
        unmeasured: Counter[str] = Counter()
        samples: Counter[str] = Counter()
        for row in self._read(reading):
            samples[row.task_id] += 1
            unmeasured[row.task_id] += not row.scores[reading].measured
        if not samples:
            raise DataError("an evaluation without tasks has no accuracy")
        if self.lacks_verdicts(reading):
            raise DataError(self._nothing_measured(reading))
        counts = self.counts(reading)
        worst = sum(counts[task_id][1] / samples[task_id] for task_id in samples)
        best = sum((counts[task_id][1] + unmeasured[task_id]) / samples[task_id] for task_id in samples)
        return UnmeasuredBounds(worst / len(samples), best / len(samples))

    def pass_at_k(self, reading: str, k: int) -> Interval:
        """Unbiased probability that one of k samples is solved; over the tasks with at least k measured samples.

        Raises:
            DataError: no task has k measured samples.
        """
        return pass_at_k_interval(self._counts_with(reading, k), k)

    def pass_hat_k(self, reading: str, k: int) -> Interval:
        """Unbiased probability that all of k samples are solved; as `pass_at_k`."""
        return pass_hat_k_interval(self._counts_with(reading, k), k)

    def by_level(self) -> dict[str, Evaluation]:
        """The same for each setting of the dials, in the order of the tasks."""
        rows: dict[str, list[EvalRow]] = {}
        for row in self.rows:
            rows.setdefault(row.level, []).append(row)
        return {level: Evaluation(tuple(of_level), self.settings) for level, of_level in rows.items()}

    def by_horizon(self) -> dict[str, Evaluation]:
        """The same for each horizon, of whatever complexity, shortest first; empty where tasks have none."""
        rows: dict[float, list[EvalRow]] = {}
        for row in self.rows:
            if row.horizon is not None:
                rows.setdefault(row.horizon, []).append(row)
        return {f"h{horizon:g}": Evaluation(tuple(rows[horizon]), self.settings) for horizon in sorted(rows)}

    def by_environment(self) -> dict[str, Evaluation]:
        """The same for each environment, by name; empty where all tasks are of one."""
        rows: dict[str, list[EvalRow]] = {}
        for row in self.rows:
            rows.setdefault(row.domain, []).append(row)
        return {name: Evaluation(tuple(rows[name]), self.settings) for name in sorted(rows)} if len(rows) > 1 else {}

    def parts(self) -> dict[str, Evaluation]:
        """The parts that tables tell apart: each level, each horizon where several levels share one, and each
        environment where there are several, as "environment NAME"."""
        levels, horizons = self.by_level(), self.by_horizon()
        shared = horizons if 1 < len(horizons) < len(levels) else {}
        return {**levels, **shared, **{f"environment {name}": part for name, part in self.by_environment().items()}}

    def endings(self) -> dict[str, int]:
        """Return the number of samples for each ending."""
        return dict(Counter(row.ending for row in self.rows).most_common())

    def ended(self) -> dict[str, int]:
        """Return the number of samples by how they ended: finished, at which limit, or broken at which boundary."""
        return dict(Counter(row.ended for row in self.rows).most_common())

    def to_dict(self, ks: Iterable[int] = (1,)) -> dict[str, Any]:
        """Scores as JSON: of each reading, and within it of each level, and of each horizon and each environment where
        there are several. What nothing was measured for is null."""
        ks, horizons = tuple(ks), self.by_horizon()
        horizons = horizons if len(horizons) > 1 else {}
        return {
            "settings": dict(self.settings),
            "num_tasks": self.num_tasks,
            "num_samples": self.num_samples,
            "mean_tokens": self.mean_tokens,
            "mean_turns": self.mean_turns,
            "ended": self.ended(),
            "endings": self.endings(),
            "readings": {
                reading: {
                    **self._scores(reading, ks),
                    "by_level": {level: part._scores(reading, ks) for level, part in self.by_level().items()},
                    "by_horizon": {horizon: part._scores(reading, ks) for horizon, part in horizons.items()},
                    "by_environment": {name: part._scores(reading, ks) for name, part in self.by_environment().items()},
                }
                for reading in self.readings
            },
        }

    def _scores(self, reading: str, ks: tuple[int, ...]) -> dict[str, Any]:
        counts = self.counts(reading).values()
        measured = any(n for n, _ in counts)
        bounds = None if self.lacks_verdicts(reading) else self.bounds(reading).to_dict()
        return {
            "accuracy": self.accuracy(reading).to_dict() if measured else None,
            "mean_reward": None if (mean := self.mean_reward(reading)) is None else mean.to_dict(),
            "parts": self.mean_parts(reading),
            "num_tasks": self.num_tasks,
            "num_tasks_measured": len(self.rewards(reading)),
            "num_not_measured": self.num_not_measured(reading),
            "bounds": bounds,
            "pass_at_k": {
                str(k): {
                    **self.pass_at_k(reading, k).to_dict(),
                    "num_tasks": len(self._counts_with(reading, k)),
                }
                if any(n >= k for n, _ in counts)
                else None
                for k in ks
            },
        }

    def _read(self, reading: str) -> tuple[EvalRow, ...]:
        if self.rows and reading not in self.readings:
            raise DataError(f"no reading {reading!r} in this evaluation; it has {', '.join(self.readings)}")
        return self.rows

    def _counts_with(self, reading: str, k: int) -> list[tuple[int, int]]:
        counts = [count for count in self.counts(reading).values() if count[0] >= k]
        if not counts and self.lacks_verdicts(reading):
            raise DataError(self._nothing_measured(reading))
        if not counts:
            raise DataError(f"no task has {k} measured samples, as pass@{k} needs; take more samples a task")
        return counts

    def _nothing_measured(self, reading: str) -> str:
        if not self.rows:
            return "an evaluation without tasks has no accuracy"
        if self.lacks_verdicts(reading):
            return (
                f"scores under {reading!r} are numbers without a verdict, and nothing is solved or failed: read their "
                "mean reward, or set solved_at of the verifier to the least reward that solves"
            )
        causes = Counter(row.scores[reading].reason for row in self.rows)
        cause, count = causes.most_common(1)[0]
        return f"none of {self.num_samples} samples was measured under {reading!r}; most often ({count}): {cause}"

"""`assay power`: what it takes to see a gain, before anything is spent."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.groups import with_groups
from assay.errors import ConfigError, DataError, RunFolderError

if TYPE_CHECKING:
    from rich.console import Console

    from assay.evaluation import Evaluation
    from assay.statistics import Spread

SAMPLES, SEEDS = (1, 2, 4, 8), (1, 3, 5)
"""Samples of a task and training runs that are tabulated where none are given."""


@dataclass(frozen=True)
class DesignOptions:
    """What is asked, and what is fixed already."""

    gain: Annotated[
        float | None,
        typer.Option(help="The gain that is to be seen, in points: 5 is from 40 % to 45 %.", show_default=False),
    ] = None
    tasks: Annotated[
        int | None,
        typer.Option(help="The tasks there are: says which gain they can show.", min=2, show_default=False),
    ] = None
    samples: Annotated[
        int | None, typer.Option(help="Samples of each task. Default: 1, 2, 4 and 8.", min=1, show_default=False)
    ] = None
    seeds: Annotated[
        int | None, typer.Option(help="Training runs. Default: 1, 3 and 5.", min=1, show_default=False)
    ] = None
    power: Annotated[float, typer.Option(help="How often a gain of that size is to be found.", min=0.05, max=0.999)] = (
        0.8
    )


@dataclass(frozen=True)
class KnownOptions:
    """What was measured before, or is assumed."""

    before: Annotated[
        Path | None,
        typer.Option(help="An evaluation of the model before, as `assay eval` prints it.", show_default=False),
    ] = None
    after: Annotated[
        Path | None,
        typer.Option(
            help="One of a model trained like the one that is planned, on the same tasks.", show_default=False
        ),
    ] = None
    run: Annotated[
        list[Path] | None,
        typer.Option(
            help="A training run like those that are planned; given again, runs of other seeds: their gains say how "
            "far seeds differ.",
            show_default=False,
        ),
    ] = None
    accuracy: Annotated[
        float | None,
        typer.Option(
            help="The accuracy before in per cent, where nothing was measured.", min=0.0, max=100.0, show_default=False
        ),
    ] = None
    seed_spread: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the gain from seed to seed in points, where no runs tell.",
            min=0.0,
            show_default=False,
        ),
    ] = None
    reading: Annotated[
        str | None, typer.Option(help="Reading of the evaluations. Default: the first.", show_default=False)
    ] = None


@with_groups
def power(design: DesignOptions, known: KnownOptions) -> None:
    """Say how many tasks, samples, seeds, tokens and minutes it takes to see a gain; or which gain some tasks can show.

    A comparison before and after training on the same tasks, tested in pairs at 5 %. How far samples of a task, gains
    of tasks and seeds differ decides; it is taken from evaluations and runs where they are given, else assumed at its
    worst, and said. Examples:

        assay power --gain 5 --accuracy 30
        assay power --gain 5 --before EVALUATION --run RUN --run OTHER_SEED
        assay power --tasks 200 --before BEFORE --after AFTER --samples 4
    """
    from rich.console import Console

    if (design.gain is None) == (design.tasks is None):
        raise ConfigError(
            "say --gain POINTS for the tasks that it takes, or --tasks NUMBER for the gain that they show"
        )
    if design.gain is not None and not 0 < abs(design.gain) <= 100:
        raise ConfigError(f"--gain {design.gain:g}: a gain is from -100 to 100 points, and not 0")
    console = Console(highlight=False)
    facts = _Facts.of(known)
    for line in facts.told:
        console.print(line, markup=False, soft_wrap=True)
    samples = (design.samples,) if design.samples else SAMPLES
    seeds = (design.seeds,) if design.seeds else SEEDS
    if design.gain is not None:
        _print_tasks(facts, design.gain / 100, design.power, samples, seeds, console)
    else:
        assert design.tasks is not None
        _print_gains(facts, design.tasks, design.power, samples, seeds, console)


@dataclass(frozen=True)
class _Facts:
    """What is known of the model, its tasks and its training."""

    accuracy: float
    within: float | None
    """Variance within tasks before; None where it is not known."""
    spread: Spread | None
    """The whole spread, from evaluations before and after."""
    seeds: float
    """Variance of the gain between seeds."""
    seeds_known: bool
    tokens: float | None
    """Tokens of a sample."""
    seconds: float | None
    """Seconds of measuring a sample."""
    run_tokens: float | None
    run_seconds: float | None
    told: tuple[str, ...]

    @classmethod
    def of(cls, known: KnownOptions) -> _Facts:
        from assay.statistics import Spread

        if known.before is None and known.accuracy is None:
            raise ConfigError("say --accuracy PERCENT or --before EVALUATION: how far samples differ depends on it")
        if known.after is not None and known.before is None:
            raise ConfigError("--after needs --before: gains are of the same tasks")
        if known.before is not None and known.accuracy is not None:
            raise ConfigError("--accuracy has no effect beside --before, which says it: leave one of them out")
        if known.before is None and known.reading is not None:
            raise ConfigError("--reading has no effect without --before: leave it out")
        before = None if known.before is None else _evaluation(known.before)
        told: list[str] = []
        runs = _runs(known.run or [])
        seed_variance, seeds_known = _seeds(known, runs, told)
        tokens = seconds = within = spread = None
        if before is None:
            accuracy = (known.accuracy or 0.0) / 100
            told.append(
                "samples of a task: no evaluation with two or more, so they are taken to differ as much as can be"
            )
        else:
            assert known.before is not None
            reading = known.reading or before.readings[0]
            if reading not in before.readings:
                raise ConfigError(f"--reading {reading}: {known.before} was read by {', '.join(before.readings)}")
            counts = before.counts(reading)
            accuracy = before.accuracy(reading).value
            tokens = before.mean_tokens or None
            seconds = _pace(known.before)
            told.append(f"before: {before.accuracy(reading).as_percent()} ({reading}) on {before.num_tasks} tasks")
            several = [(n, c) for n, c in counts.values() if n > 1]
            if len(several) > 1:
                within = min(
                    statistics.fmean(c / n * (1 - c / n) * n / (n - 1) for n, c in several), accuracy * (1 - accuracy)
                )
            else:
                told.append(
                    "samples of a task: one each, so they are taken to differ as much as can be; --samples 4 tells"
                )
            if known.after is not None:
                after = _evaluation(known.after).counts(reading)
                pairs = [
                    (counts[task], after[task])
                    for task in counts
                    if task in after and counts[task][0] and after[task][0]
                ]
                if len(pairs) < 2:
                    raise DataError(
                        f"{known.before} and {known.after} have not two measured tasks in common; give two of the same"
                    )
                spread = Spread.of(*zip(*pairs, strict=True), seeds=seed_variance)
                told.append(
                    f"gains of tasks: as in {known.after}, standard deviation {100 * spread.gains**0.5:.1f} points"
                )
        if spread is None:
            told.append(
                "gains of tasks: taken at their most uneven, some tasks solved outright and the others as before"
            )
        means = [
            statistics.fmean(values) if values else None for values in zip(*[each[:2] for each in runs], strict=True)
        ]
        run_tokens, run_seconds = means or (None, None)
        return cls(
            accuracy, within, spread, seed_variance, seeds_known, tokens, seconds, run_tokens, run_seconds, tuple(told)
        )

    def spread_of(self, gain: float) -> Spread:
        """The spread of a comparison whose true gain is this.

        Raises:
            ConfigError: the accuracy cannot gain so much.
        """
        from assay.statistics import Spread

        if self.spread is not None:
            return self.spread
        try:
            return Spread.assumed(self.accuracy, gain, self.within, self.seeds)
        except ValueError as error:
            raise ConfigError(f"--gain {100 * gain:g}: {error}") from None


def _seeds(
    known: KnownOptions, runs: Sequence[tuple[float, float, float | None]], told: list[str]
) -> tuple[float, bool]:
    """Variance of the gain between seeds, and whether it is known."""
    if known.seed_spread is not None:
        return (known.seed_spread / 100) ** 2, True
    gains = [gain for *_, gain in runs if gain is not None]
    if len(gains) > 1:
        # What tasks and samples add to it is counted in too: on the wide side.
        variance = statistics.variance(gains)
        told.append(f"seeds: gains of {len(gains)} runs have a standard deviation of {100 * variance**0.5:.1f} points")
        return variance, True
    told.append(
        "seeds: how far they differ is not known (--run twice, or --seed-spread), and is left out: too few come out"
    )
    return 0.0, False


def _runs(folders: Sequence[Path]) -> list[tuple[float, float, float | None]]:
    """Sampled tokens, seconds and gain of each run."""
    from assay.observe.folder import read_json

    found = []
    for folder in folders:
        summary = read_json(folder / "summary.json")
        if not summary or "sampled_tokens" not in summary:
            raise RunFolderError(f"{folder} is no run that has ended (no summary.json with its tokens)")
        gain = (summary.get("gain") or {}).get("value")
        found.append((float(summary["sampled_tokens"]), float(summary["seconds"]), gain))
    return found


def _evaluation(folder: Path) -> Evaluation:
    from assay.cli.compare import read_evaluation

    return read_evaluation(folder)


def _pace(folder: Path) -> float | None:
    """Seconds that a sample of an evaluation took; None where it was not noted."""
    from assay.observe.folder import read_json

    pace: Mapping[str, Any] = (read_json(folder / "scores.json") or {}).get("pace") or {}
    return pace["seconds"] / pace["samples"] if pace.get("samples") else None


def _print_tasks(
    facts: _Facts, gain: float, wanted: float, samples: Sequence[int], seeds: Sequence[int], console: Console
) -> None:
    from rich.table import Table

    from assay.statistics import Design, tasks_needed

    spread = facts.spread_of(gain)
    title = f"to see {100 * gain:+.1f} points from {100 * facts.accuracy:.1f} %, {100 * wanted:.0f} times in 100"
    table = Table(title=title)
    for heading in ("samples", "seeds", "tasks", "tokens to measure", "minutes", "tokens to train", "minutes"):
        table.add_column(heading, justify="right")
    for runs in seeds:
        for count in samples:
            tasks = tasks_needed(Design(2, count, runs), spread, gain, wanted)
            measured = None if tasks is None else tasks * count * (1 + runs)
            cells = [
                _times(measured, facts.tokens),
                _minutes(measured, facts.seconds),
                _times(runs, facts.run_tokens),
                _minutes(runs, facts.run_seconds),
            ]
            number = "never" if tasks is None else f"{tasks:,}"
            table.add_row(str(count), str(runs), number, *cells, end_section=count == samples[-1])
    console.print(table)
    console.print(
        'measured once before, and after each training run, on the same tasks; "unknown": nothing given tells'
    )
    if facts.seeds_known and facts.seeds:
        console.print('"never": seeds differ by so much that no number of tasks is enough; more seeds are')


def _print_gains(
    facts: _Facts, tasks: int, wanted: float, samples: Sequence[int], seeds: Sequence[int], console: Console
) -> None:
    from rich.table import Table

    table = Table(
        title=f"gain that {tasks:,} tasks show from {100 * facts.accuracy:.1f} %, {100 * wanted:.0f} times in 100"
    )
    for heading in ("samples", "seeds", "gain, points"):
        table.add_column(heading, justify="right")
    for runs in seeds:
        for count in samples:
            gain = _shown_gain(facts, tasks, count, runs, wanted)
            said = "none" if gain is None else f"{100 * gain:+.1f}"
            table.add_row(str(count), str(runs), said, end_section=count == samples[-1])
    console.print(table)


def _shown_gain(facts: _Facts, tasks: int, count: int, runs: int, wanted: float) -> float | None:
    """The smallest gain that is found, in steps of a tenth of a point; how far gains differ depends on the gain."""
    from assay.statistics import Design, power_of

    design, room = Design(tasks, count, runs), 1 - facts.accuracy
    low, high = 0, int(1000 * room)

    def found(step: int) -> bool:
        return step > 0 and power_of(design, facts.spread_of(step / 1000), step / 1000) >= wanted

    if not found(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high / 1000


def _times(count: int | None, each: float | None) -> str:
    if count is None:
        return ""
    return "unknown" if each is None else f"{count * each:,.0f}"


def _minutes(count: int | None, seconds: float | None) -> str:
    if count is None:
        return ""
    return "unknown" if seconds is None else f"{count * seconds / 60:,.1f}"

"""The generator measured: how many mutants the tests kill, what cheats earn, how many tasks there are."""

from __future__ import annotations

import ast
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random
from typing import Any

from assay.environments.programs.composer import Composed, ComposerTally, compose
from assay.environments.programs.environment import Programs
from assay.environments.programs.levels import LEVELS
from assay.environments.programs.metered import Meter, load, run
from assay.environments.programs.mutants import mutants
from assay.environments.programs.reference import MAX_TICKS, Reference, RejectedError, valid_arguments
from assay.environments.programs.suite import MutantCounts, Test
from assay.seeds import derive_seed
from assay.types import Task
from assay.verifiers.code import suite_of

CHEATS = ("constant", "identity", "examples")
"""constant: always the most frequent result of the hidden tests. identity: the first argument. examples: the results of
the shown examples by their arguments, and that of the first for all others."""
AUDIT = 1000
"""Fresh arguments on which a mutant that the tests let through is tried."""


@dataclass(frozen=True)
class LevelReport:
    """One level at one horizon."""

    complexity: int
    horizon: int
    num_tasks: int
    mutants: MutantCounts
    num_let_through: int
    """Mutants that pass the hidden tests and differ from the reference on some of `AUDIT` fresh arguments."""
    rejected: Counter[str]
    """Functions by the reason why they were not asked for."""
    proposed: int
    cheats: dict[str, tuple[float, float]]
    """(share of tasks passed, mean share of tests passed) of each of `CHEATS`."""
    distinct: float
    """Functions that the level's grammar gives, an estimate from below; see `distinct_functions`."""
    seconds_per_task: float
    """Processor time, in the train split."""
    wrong: tuple[str, ...]
    """Promises that did not hold."""


def survey(complexity: int, horizon: int = 1, *, num_tasks: int = 100, seed: int = 0, draws: int = 2000) -> LevelReport:
    """Makes train tasks of a level and tries on each what should fail.

    Args:
        draws: functions drawn to estimate how many distinct ones there are; 0 for no estimate.
    """
    domain, tally, made = Programs(), ComposerTally(), []
    start = time.process_time()
    for index in itertools.count():
        if len(made) == num_tasks:
            break
        rng = Random(derive_seed(seed, "programs", "survey", complexity, horizon, index))
        try:
            made.append(compose(rng, complexity, horizon, "train", num_tests=12, num_shown=2, tally=tally))
        except RejectedError:
            continue
    seconds = (time.process_time() - start) / num_tasks
    passed = {cheat: [_cheated(cheat, composed) for composed in made] for cheat in CHEATS}
    tasks = [domain.task(composed, complexity, horizon) for composed in made]
    return LevelReport(
        complexity=complexity,
        horizon=horizon,
        num_tasks=num_tasks,
        mutants=sum((composed.mutants for composed in made), MutantCounts()),
        num_let_through=sum(_let_through(composed, derive_seed(seed, "audit", i)) for i, composed in enumerate(made)),
        rejected=tally.rejected,
        proposed=tally.proposed,
        cheats={
            cheat: (sum(share == 1 for share in shares) / num_tasks, sum(shares) / num_tasks)
            for cheat, shares in passed.items()
        },
        distinct=distinct_functions(complexity, draws, seed) if draws else float("nan"),
        seconds_per_task=seconds,
        wrong=tuple(problem for task in tasks for problem in problems(task)),
    )


def problems(task: Task) -> list[str]:
    """Return the faults of a task: its reference fails its tests, or an example is among them."""
    suite = suite_of(task)
    names: dict[str, Any] = {"__name__": "reference"}
    exec(compile(suite.reference, "<reference>", "exec"), names)
    found = []
    for text in suite.tests:
        test = ast.parse(text).body[0]
        assert isinstance(test, ast.Assert)
        if not eval(compile(ast.Expression(test.test), "<test>", "eval"), names):
            found.append(f"{task.task_id}: the reference fails {text}")
        call = text.removeprefix("assert ").partition(" == ")[0]
        if any(f"`{call}`" in message.content for message in task.prompt):
            found.append(f"{task.task_id}: the hidden test {text} is shown")
    return found


def _cheated(cheat: str, composed: Composed) -> float:
    """The share of the hidden tests that a cheat passes."""
    results = []
    for suite in composed.suites:
        program = _cheat(cheat, suite.shown, suite.hidden)
        results += [program(test) == test.expected for test in suite.hidden]
    return sum(results) / len(results)


def _cheat(cheat: str, shown: tuple[Test, ...], hidden: tuple[Test, ...]) -> Callable[[Test], Any]:
    if cheat == "constant":
        frequent = Counter(repr(test.expected) for test in hidden).most_common(1)[0][0]
        value = next(test.expected for test in hidden if repr(test.expected) == frequent)
        return lambda test: value
    if cheat == "identity":
        return lambda test: test.arguments[0]
    known = {repr(test.arguments): test.expected for test in shown}
    return lambda test: known.get(repr(test.arguments), shown[0].expected)


def _let_through(composed: Composed, seed: int) -> int:
    """Mutants of the last function that pass its hidden tests and are wrong elsewhere."""
    function, suite = composed.functions[-1], composed.suites[-1]
    reference, meter = Reference(composed.functions), Meter()
    kinds = [parameter.kind for parameter in function.parameters]
    arguments, _ = valid_arguments(kinds, Random(seed), reference.hints(function.name), AUDIT)
    expected = [(test.arguments, test.expected) for test in suite.hidden]
    fresh = []
    for values in arguments:
        try:
            fresh.append((values, reference.run(function.name, values).value))
        except RejectedError:
            continue
    found = 0
    for _, code in mutants(reference.tree, function.name, lambda count: list(range(count))):
        mutant = load(code, meter)[function.name]
        if all(_agrees(mutant, values, value, meter) for values, value in expected):
            found += not all(_agrees(mutant, values, value, meter) for values, value in fresh)
    return found


def _agrees(mutant: Callable[..., Any], arguments: tuple[Any, ...], expected: Any, meter: Meter) -> bool:
    outcome = run(mutant, arguments, meter, MAX_TICKS)
    return not outcome.ended and outcome.value == expected


def distinct_functions(complexity: int, draws: int, seed: int = 0) -> float:
    """Estimate from below the number of functions in a level's grammar, told apart by what they compute.

    Chao 1984, "Nonparametric estimation of the number of classes in a population", in its bias-corrected form: with D
    distinct among the draws, of which f1 came once and f2 twice, D + f1 (f1 - 1) / (2 (f2 + 1)).
    """
    rng = Random(derive_seed(seed, "programs", "distinct", complexity))
    counts: Counter[str] = Counter()
    for _ in range(draws):
        function = LEVELS[complexity].make(rng)
        try:
            counts[Reference([function]).fingerprint(function)] += 1
        except RejectedError:
            continue
    once, twice = (sum(count == times for count in counts.values()) for times in (1, 2))
    return len(counts) + once * (once - 1) / (2 * (twice + 1))


def markdown_table(reports: Iterable[LevelReport]) -> str:
    """The tables of docs/results/programs.md."""
    first = [
        "| complexity | tasks | mutants | not told apart | killed by the first tests | killed by added tests "
        "| let through | rejected functions | distinct, at least | ms a task |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    second = ["| complexity | " + " | ".join(CHEATS) + " |", "|---|" + "---|" * len(CHEATS)]
    for report in reports:
        counts = report.mutants
        killable = counts.made - counts.unknown
        first.append(
            f"| {report.complexity} | {report.num_tasks} | {counts.made} | {counts.unknown} "
            f"| {counts.killed_at_once} ({counts.killed_at_once / max(killable, 1):.1%}) | {counts.killed_later} "
            f"| {report.num_let_through} | {report.rejected.total()} | {_rounded(report.distinct)} "
            f"| {1000 * report.seconds_per_task:.1f} |"
        )
        cells = [f"{solved:.1%} ({share:.1%})" for solved, share in report.cheats.values()]
        second.append(f"| {report.complexity} | {' | '.join(cells)} |")
    return "\n".join([*first, "", *second])


def _rounded(number: float) -> str:
    """Two digits and thousands."""
    if number != number:
        return "-"
    digits = max(0, len(str(int(number))) - 2)
    return f"{int(number) // 10**digits * 10**digits:,}"

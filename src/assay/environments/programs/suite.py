"""Hidden tests that kill the mutants of a reference, or a reason why there are none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

from assay.environments.programs.function import Function
from assay.environments.programs.metered import Meter, MeteredResult, load, run
from assay.environments.programs.mutants import STEP_LEFT_OUT, mutants
from assay.environments.programs.reference import Arguments, Reference, RejectedError, canonical, valid_arguments

MAX_MUTANTS = 60
"""Most mutants of one function; where more can be made, these are drawn from them."""
MAX_ADDED_TESTS = 8
"""Tests that mutants may add to those of one function."""
POOL = 120
"""Argument lists that tests are chosen from."""
MAX_SEARCHED = 250
"""Further ones on which a mutant that passes those is tried; fewer for a function that takes long."""
_SEARCH_TICKS = 20_000
_MAX_SHARE = 0.6
_MAX_SHOWN_CHARACTERS = 80


@dataclass(frozen=True)
class Test:
    """A call and what it must return."""

    function: str
    arguments: Arguments
    expected: Any


@dataclass
class MutantCounts:
    """Counts of mutants by outcome. Mutants that raise on all valid arguments are not counted."""

    made: int = 0
    unknown: int = 0
    """Mutants equal to the reference on all arguments tried: equivalent, or not told apart."""
    killed_at_once: int = 0
    """Mutants killed by the tests as they were generated."""
    killed_later: int = 0
    """Mutants killed by tests that were added for them."""

    def __add__(self, other: MutantCounts) -> MutantCounts:
        return MutantCounts(
            self.made + other.made,
            self.unknown + other.unknown,
            self.killed_at_once + other.killed_at_once,
            self.killed_later + other.killed_later,
        )


@dataclass(frozen=True)
class ProgramSuite:
    """The tests of one function."""

    shown: tuple[Test, ...]
    """Examples for the prompt."""
    hidden: tuple[Test, ...]
    """None has the arguments of an example."""
    mutants: MutantCounts = field(default_factory=MutantCounts)


@dataclass(frozen=True, eq=False)
class _Case:
    """Arguments with what the reference makes of them."""

    arguments: Arguments
    outcome: MeteredResult
    reached: frozenset[int]
    edge: bool
    written: str
    """The arguments as text, from before any program saw them."""

    @cached_property
    def key(self) -> str:
        return canonical(self.outcome.value)


def build_suite(
    reference: Reference, function: Function, rng: Random, *, num_tests: int, num_shown: int
) -> ProgramSuite:
    """Tests of one function of a program.

    Args:
        num_tests: hidden tests before mutants add theirs.
        num_shown: examples for the prompt.

    Raises:
        RejectedError: results are too much alike, a branch is never taken, or too many tests would be needed.
    """
    pool = _pool(reference, function, rng)
    shown = _choose_shown(pool, num_shown)
    hidden = _choose_hidden([case for case in pool if case not in shown], num_tests, reference.places(function.name))
    rest = [case for case in pool if case not in shown and case not in hidden]
    rest += _further(reference, function, pool, rng)
    counts = _kill(reference, function.name, hidden, rest, shown, rng)
    if len(shown) < num_shown:
        shown += _choose_shown([case for case in pool if case not in hidden], num_shown - len(shown), shown)
    _check_variety(hidden)
    if any(repr(case.arguments) != case.written for case in [*pool, *rest]):
        raise RejectedError("arguments were changed")
    return ProgramSuite(_tests(function, shown), _tests(function, hidden), counts)


def _pool(reference: Reference, function: Function, rng: Random) -> list[_Case]:
    kinds = [parameter.kind for parameter in function.parameters]
    arguments, num_edges = valid_arguments(kinds, rng, reference.hints(function.name), POOL)
    return [_case(reference, function, values, index < num_edges) for index, values in enumerate(arguments)]


def _further(reference: Reference, function: Function, pool: Sequence[_Case], rng: Random) -> list[_Case]:
    """More cases than the pool has, as many as the function's speed allows."""
    burnt = sum(case.outcome.burnt for case in pool) / len(pool)
    count = len(pool) + min(MAX_SEARCHED, int(_SEARCH_TICKS / (burnt + 1)))
    known = {repr(case.arguments) for case in pool}
    kinds = [parameter.kind for parameter in function.parameters]
    arguments, _ = valid_arguments(kinds, rng, reference.hints(function.name), count)
    return [_case(reference, function, values, False) for values in arguments if repr(values) not in known]


def _case(reference: Reference, function: Function, values: Arguments, edge: bool) -> _Case:
    written = repr(values)
    reference.meter.reached = set()
    outcome = reference.run(function.name, values)
    return _Case(values, outcome, frozenset(reference.meter.reached), edge, written)


def _choose_shown(pool: Sequence[_Case], count: int, beside: Sequence[_Case] = ()) -> list[_Case]:
    """Short ones with results that differ, also from those beside them; results that say something come first."""
    short = [case for case in pool if not case.edge and len(repr(case.arguments)) <= _MAX_SHOWN_CHARACTERS]
    short.sort(key=lambda case: not case.outcome.value)
    shown: list[_Case] = []
    for case in short:
        if len(shown) < count and case.key not in {other.key for other in (*shown, *beside)}:
            shown.append(case)
    if len(shown) < count:
        raise RejectedError("too few examples")
    return shown


def _choose_hidden(pool: Sequence[_Case], count: int, places: set[int]) -> list[_Case]:
    """Every branch, then edges for a third, then others; no result more often than a third where that can be."""
    chosen: list[_Case] = []
    left = set(places)
    while left:
        best = max(pool, key=lambda case: len(case.reached & left))
        if not best.reached & left:
            raise RejectedError("a branch is never taken")
        chosen.append(best)
        left -= best.reached
    edges = [case for case in pool if case.edge]
    others = [case for case in pool if not case.edge]
    results = Counter(case.key for case in chosen)
    for cap in (math.ceil(count / 3), math.ceil(count / 2), count):
        for cases, limit in ((edges, min(count, len(chosen) + count // 3)), (others, count)):
            for case in cases:
                if len(chosen) >= limit:
                    break
                if results[case.key] < cap and case not in chosen:
                    chosen.append(case)
                    results[case.key] += 1
    return chosen


def _kill(
    reference: Reference,
    function: str,
    hidden: list[_Case],
    rest: Sequence[_Case],
    shown: list[_Case],
    rng: Random,
) -> MutantCounts:
    """Adds to `hidden` what mutants need, from `rest`, or where nothing else will do from `shown`, which loses it."""
    counts, num_tests = MutantCounts(), len(hidden)
    meter = Meter()

    def keep(count: int) -> list[int]:
        return list(range(count)) if count <= MAX_MUTANTS else sorted(rng.sample(range(count), MAX_MUTANTS))

    for mistake, code in mutants(reference.tree, function, keep):
        mutant = load(code, meter)[function]
        killed = False
        for case in hidden[:num_tests]:
            killed |= not _survives(mutant, case, meter)
            if killed:
                break
        runs = not killed or _runs(mutant, [*hidden, *rest[:8]], meter)
        if not runs:
            continue
        counts.made += 1
        if killed:
            counts.killed_at_once += 1
        elif any(not _survives(mutant, case, meter) for case in hidden[num_tests:]):
            counts.killed_later += 1
        else:
            case = next((case for case in (*rest, *shown) if not _survives(mutant, case, meter)), None)
            if case is None and mistake == STEP_LEFT_OUT:
                raise RejectedError("a step without effect")
            if case is None:
                counts.unknown += 1
            else:
                hidden.append(case)
                counts.killed_later += 1
                if case in shown:
                    shown.remove(case)
    if len(hidden) > num_tests + MAX_ADDED_TESTS:
        raise RejectedError("too many tests needed")
    return counts


def _survives(mutant: Any, case: _Case, meter: Meter) -> bool:
    return run(mutant, case.arguments, meter, _max_ticks(case)).same(case.outcome)


def _runs(mutant: Any, cases: Sequence[_Case], meter: Meter) -> bool:
    """Return True where the mutant returns a value for some valid arguments."""
    return any(not run(mutant, case.arguments, meter, _max_ticks(case)).ended for case in cases)


def _max_ticks(case: _Case) -> int:
    return 4 * case.outcome.burnt + 100


def _check_variety(hidden: Sequence[_Case]) -> None:
    """A program that returns always the same, or its argument, must not come close."""
    results = Counter(case.key for case in hidden)
    if max(results.values()) > _MAX_SHARE * len(hidden):
        raise RejectedError("results too much alike")
    if all(canonical(case.arguments[0]) == case.key for case in hidden):
        raise RejectedError("identity")


def _tests(function: Function, cases: Sequence[_Case]) -> tuple[Test, ...]:
    return tuple(Test(function.name, case.arguments, case.outcome.value) for case in cases)

"""A whole task as a program: its functions, one after the other, each with its tests."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from assay.environments.programs.followers import follower
from assay.environments.programs.function import Function, module_source
from assay.environments.programs.levels import LEVELS
from assay.environments.programs.reference import Reference, RejectedError
from assay.environments.programs.suite import MutantCounts, ProgramSuite, build_suite
from assay.environments.splits import hashed_split
from assay.types import Split

MAX_PROPOSALS = 100
"""Most proposals for one function before the task is given up."""
_LATER_NAMES = ("adjusted", "final", "extended", "refined", "derived", "combined", "follow_up", "next_value", "outcome")


@dataclass(frozen=True)
class Composed:
    """The functions of a task, the earlier ones first, and their tests."""

    functions: tuple[Function, ...]
    suites: tuple[ProgramSuite, ...]
    canonical: str
    """The same for tasks whose functions take the same kinds of argument and compute the same."""

    @property
    def source(self) -> str:
        return module_source(self.functions)

    @property
    def mutants(self) -> MutantCounts:
        return sum((suite.mutants for suite in self.suites), MutantCounts())


@dataclass
class ComposerTally:
    """Counts of the functions that were proposed and rejected."""

    proposed: int = 0
    """Number of proposed functions in the split that was asked for."""
    rejected: Counter[str] = field(default_factory=Counter)
    """Number of rejected functions, by reason."""


def compose(
    rng: Random,
    level: int,
    horizon: int,
    split: Split,
    *,
    num_tests: int,
    num_shown: int,
    names: Literal["words", "letters"] = "words",
    tally: ComposerTally | None = None,
) -> Composed:
    """A program of `horizon` functions, all of them of this split.

    Raises:
        RejectedError: no good one was found for some place.
    """
    tally = ComposerTally() if tally is None else tally
    functions: list[Function] = []
    suites: list[ProgramSuite] = []
    fingerprints: list[str] = []
    for _ in range(horizon):
        for _ in range(MAX_PROPOSALS):
            function = _proposed(rng, functions, level, names, horizon)
            try:
                reference = Reference([*functions, function])
                fingerprint = reference.fingerprint(function)
                if split_of(fingerprint) != split or fingerprint in fingerprints:
                    continue
                tally.proposed += 1
                reference.require_effects(function)
                suite = build_suite(reference, function, rng, num_tests=num_tests, num_shown=num_shown)
            except RejectedError as reason:
                tally.rejected[str(reason)] += 1
                continue
            functions.append(function)
            suites.append(suite)
            fingerprints.append(fingerprint)
            break
        else:
            raise RejectedError("nothing found")
    canonical = hashlib.sha256("/".join(fingerprints).encode()).hexdigest()[:16] if horizon > 1 else fingerprints[0]
    return Composed(tuple(functions), tuple(suites), canonical)


def split_of(fingerprint: str) -> Split:
    """The split that a function is in, whatever the seed, the names and the words."""
    return hashed_split("programs", fingerprint)


def _proposed(rng: Random, earlier: Sequence[Function], level: int, names: str, horizon: int) -> Function:
    function = follower(rng, earlier, level) if earlier else LEVELS[level].make(rng)
    if names == "letters":
        return function.named("f" if horizon == 1 else f"f{len(earlier) + 1}")
    if not earlier:
        return function
    taken = {other.name for other in earlier}
    return function.named(rng.choice([name for name in _LATER_NAMES if name not in taken]))

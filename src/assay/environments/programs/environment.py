"""The programs environment: functions to be written, with hidden tests that are known to find mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from random import Random
from typing import Literal

import pydantic

from assay.environments.environment import Environment, require_tasks
from assay.environments.programs.composer import Composed, compose
from assay.environments.programs.levels import LEVELS
from assay.environments.programs.prompt import assertion, fenced, question
from assay.environments.programs.reference import RejectedError
from assay.environments.splits import SPLITS
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.suite import Suite
from assay.types import Message, Split, Task
from assay.verifiers import Code, Verifier

MAX_HORIZON = 8


class Programs(Environment):
    """Python functions to be written, to be scored by the verifier `code`.

    Complexity, the first dial, whole numbers from 1 to 10: one arithmetic expression; conditionals; strings; loops;
    lists; dictionaries; nested loops; recursion; dynamic programming; graph search. Table: docs/concepts/programs.md.

    Horizon, the second dial, is the number of functions, 1 to 8, of which each further one is specified in terms of the
    ones before it. Each has tests of its own, so that a share of them may earn a share of the reward.

    Functions are drawn from grammars. Which split a function is in depends on what it computes alone, by a
    hash (80, 10 and 10 of 100): neither other names, other words nor another level carry it over, and all functions of
    a task are of its split. A task has a reference solution and hidden tests that kill every mutant of it that is known
    to differ; where a few tests do not, the task is not given.
    """

    name: Literal["programs"] = "programs"
    complexities: tuple[int, ...] = pydantic.Field(default=tuple(LEVELS), min_length=1)
    """Levels that tables list; the first is the default."""
    horizons: tuple[int, ...] = pydantic.Field(default=(1,), min_length=1)
    """Horizons that tables list; the first is the default."""
    hidden_tests: int = pydantic.Field(default=12, ge=4, le=40)
    """Hidden tests of each function, before those that mutants add: at most 8 more."""
    shown_tests: int = pydantic.Field(default=2, ge=0, le=5)
    """Calls with results in the prompt, for each function; none of them is a hidden test."""
    examples: int = pydantic.Field(default=0, ge=0, le=4)
    """Exchanges before the question, with their solutions: tasks of the train split at the same setting of the dials,
    the same for every task, and asked nowhere at that setting."""
    function_names: Literal["words", "letters"] = "words"
    """words: such as count_pairs. letters: f, or f1, f2 and so on."""
    give_up_after: int = pydantic.Field(default=300, ge=1)
    """A stream ends when so many programs in a row came before: single functions of a level are many, not endless."""
    instruction: str = "Answer with the code in one block that starts with ```python."
    """Ends the prompt; empty for none."""

    @pydantic.field_validator("complexities")
    @classmethod
    def _check_complexities(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct("complexities", values, max(LEVELS))

    @pydantic.field_validator("horizons")
    @classmethod
    def _check_horizons(cls, values: tuple[int, ...]) -> tuple[int, ...]:
        return _distinct("horizons", values, MAX_HORIZON)

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The tests alone decide the reward: a program passes them or does not."""
        return {"strict": Code()}

    def levels(self) -> tuple[tuple[float, float], ...]:
        """Each of `complexities` with each of `horizons`, by complexity first."""
        return tuple((float(c), float(h)) for c in sorted(self.complexities) for h in sorted(self.horizons))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of the split in an order fixed by the seed, until they repeat themselves.

        Raises:
            DataError: a dial that is not a whole number in its range, or an unknown split.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level, length = self.dials(complexity, horizon)
        return require_tasks(self._generate(split, level, length, seed), self, split, level, length)

    def dials(self, complexity: float | None, horizon: float | None) -> tuple[int, int]:
        """Return both dials, the defaults where None is asked for.

        Raises:
            DataError: a value that is not a whole number in its range.
        """
        level = _whole("complexity", self.complexities[0] if complexity is None else complexity, max(LEVELS))
        return level, _whole("horizon", self.horizons[0] if horizon is None else horizon, MAX_HORIZON)

    def _generate(self, split: Split, level: int, horizon: int, seed: int) -> Iterator[Task]:
        shown = self._examples(level, horizon)
        # What is shown with its solution is not asked.
        seen = {composed.canonical for composed in shown}
        exchanges = tuple(message for composed in shown for message in self._exchange(composed))
        num_known = 0
        for composed in self.programs(split, level, horizon, derive_seed(seed, self.name, split, level, horizon)):
            num_known = num_known + 1 if composed.canonical in seen else 0
            if num_known >= self.give_up_after:
                return
            if not num_known:
                seen.add(composed.canonical)
                yield self.task(composed, level, horizon, exchanges)

    def programs(self, split: Split, level: int, horizon: int, seed: int) -> Iterator[Composed]:
        """Programs without end; the same one may come again."""
        for index in itertools.count():
            rng = Random(derive_seed(seed, index))
            try:
                yield compose(
                    rng,
                    level,
                    horizon,
                    split,
                    num_tests=self.hidden_tests,
                    num_shown=self.shown_tests,
                    names=self.function_names,
                )
            except RejectedError:
                continue

    def _examples(self, level: int, horizon: int) -> list[Composed]:
        if not self.examples:
            return []
        found = self.programs("train", level, horizon, derive_seed(self.name, "examples", level, horizon))
        distinct: dict[str, Composed] = {}
        while len(distinct) < self.examples:
            composed = next(found)
            distinct.setdefault(composed.canonical, composed)
        return list(distinct.values())

    def _exchange(self, composed: Composed) -> tuple[Message, Message]:
        return self._ask(composed), Message("assistant", fenced(composed.source))

    def _ask(self, composed: Composed) -> Message:
        return Message("user", question(composed.functions, composed.suites, self.instruction))

    def task(self, composed: Composed, level: int, horizon: int, exchanges: tuple[Message, ...] = ()) -> Task:
        """A program as a task."""
        hidden = tuple(assertion(test) for suite in composed.suites for test in suite.hidden)
        tests = Suite(tests=hidden, entry_point=composed.functions[-1].name, reference=composed.source)
        return Task(
            domain=self.name,
            prompt=(*exchanges, self._ask(composed)),
            answer=tests.answer,
            complexity=level,
            horizon=horizon,
            metadata={
                "canonical": composed.canonical,
                "functions": [function.name for function in composed.functions],
            },
            suite=tests,
        )


def _distinct(option: str, values: tuple[int, ...], largest: int) -> tuple[int, ...]:
    for value in values:
        if not 1 <= value <= largest:
            raise ValueError(f"{value} is none of them: {option} are whole numbers from 1 to {largest}")
    if len(set(values)) != len(values):
        raise ValueError(f"{option} names a level twice: {values}")
    return values


def _whole(dial: str, value: float, largest: int) -> int:
    if not 1 <= value <= largest or value != int(value):
        raise DataError(f"programs has no {dial} {value:g}; {dial} is a whole number from 1 to {largest}")
    return int(value)

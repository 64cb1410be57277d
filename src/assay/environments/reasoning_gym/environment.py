"""The reasoning_gym environment: the procedural families of reasoning-gym."""

from __future__ import annotations

import difflib
import functools
import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Literal

import pydantic

from assay.environments.environment import Environment, require_tasks
from assay.environments.reasoning_gym.reward import ReasoningGymScorer, worker_pool
from assay.environments.reasoning_gym.worker import CHUNK, entry_hash
from assay.environments.splits import SPLITS, hashed_split, prompt_key
from assay.errors import ConfigError, DataError, VerifierError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier
from assay.verifiers.pool import LimitExceededError, WorkerPool

GENERATION_SECONDS = 30.0
"""Seconds within which a worker must have made an entry."""
_FIRST_BATCH, _LARGEST_BATCH = 4, 64
_MAX_UNUSABLE = 64
"""Unusable entries before the first that can be used."""


class ReasoningGym(Environment):
    """Tasks of one family of reasoning-gym, to be scored by the verifier `reasoning_gym`.

    Complexity, the one dial, is the level of the family's own curriculum, from 1: every attribute of the curriculum is
    at that level, or at its last where it has fewer; ranges reach from the first level to this one. Without complexity
    the family's own defaults hold. There is no dial where the family has no curriculum, or where `options` set what the
    dial would set. Table: docs/concepts/reasoning-gym.md.

    Generators repeat themselves and share problems between seeds, so which split a task is in depends on its question
    alone, by a hash: 80, 10 and 10 of 100. A question that comes again is given once; after `give_up_after` entries in
    a row that are not new, the split has no more. Left out are entries whose own scorer rejects their gold answer, or
    whose gold answer is wrong.
    """

    name: Literal["reasoning_gym"] = "reasoning_gym"
    family: str
    """Such as "chain_sum"."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Options of the family's configuration, such as {min_terms = 2}."""
    instruction: str = "Give only the answer."
    """Ends the prompt, on a line of its own; empty for none."""
    examples: int = pydantic.Field(default=0, ge=0, le=8)
    """Exchanges before the question that show the form of an answer: other tasks of the family's train split at
    this level. They are the same for every task, and asked about nowhere at this level."""
    give_up_after: int = pydantic.Field(default=1000, ge=1)
    """A stream ends when so many entries in a row came before, or are in another split."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The family's own scorer and, where it pays wrong answers, an exact check beside it."""
        return {"strict": ReasoningGymScorer()}

    def levels(self) -> tuple[tuple[float | None, float | None], ...]:
        """The levels of the curriculum that the family itself accepts; without a dial, its one setting."""
        levels = self._dial()
        usable = [(float(index + 1), None) for index, level in enumerate(levels) if not level["problem"]]
        return tuple(usable) or ((None, None),)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of the split, in the order in which the family makes them.

        Raises:
            ConfigError: no such family or option, or the library is not installed.
            DataError: a dial that the family does not have, an unknown split, or a family that makes nothing usable.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        if horizon is not None:
            raise DataError(f"{self.name} has no horizon dial, and was asked for horizon {horizon:g}; leave it out")
        level = None if complexity is None else self._level(complexity)
        self._check_options()
        return require_tasks(self._distinct(split, level, seed), self, split, complexity, horizon)

    def _distinct(self, split: Split, level: int | None, seed: int) -> Iterator[Task]:
        shown = self._examples(level) if self.examples else []
        # What is shown with its answer is not asked.
        seen = {self._key(entry["question"]) for entry in shown}
        num_usable = num_old = 0
        for place, entry in self._entries(level, derive_seed(seed, self.name, self.family, split, str(level))):
            key = "" if entry.get("problem") else self._key(entry["question"])
            num_old = num_old + 1 if not key or key in seen else 0
            num_usable += bool(key)
            if not num_usable and num_old >= _MAX_UNUSABLE:
                raise DataError(f"{self._at(level)} makes no task that can be used: {entry['problem']}")
            if num_old >= self.give_up_after:
                return
            if key and key not in seen and hashed_split(self.name, key) == split:
                yield self._task(entry, place, level, shown)
            if key:
                seen.add(key)

    def _entries(self, level: int | None, seed: int) -> Iterator[tuple[dict[str, int], dict[str, Any]]]:
        """({"seed", "index"}, entry) without end: datasets of `CHUNK` entries, each with a seed of its own.

        The next batch is made while the second half of this one is handed out: whoever takes them seldom waits.
        """
        chunk, start, count = 0, 0, _FIRST_BATCH
        # numpy takes 32 bits, and generators add the index.
        place = {"seed": derive_seed(seed, chunk) % (1 << 31), "start": start}
        ahead = self._ask(level, place, count)
        try:
            while True:
                batch, made = self._reply(ahead, level, place), place
                start, count = start + len(batch), min(2 * count, _LARGEST_BATCH)
                if start >= CHUNK:
                    chunk, start, count = chunk + 1, 0, _FIRST_BATCH
                place = {"seed": derive_seed(seed, chunk) % (1 << 31), "start": start}
                for number, entry in enumerate(batch):
                    if number == len(batch) // 2:
                        ahead = self._ask(level, place, count)
                    yield {"seed": made["seed"], "index": made["start"] + number}, entry
        finally:
            ahead.cancel()

    def _examples(self, level: int | None) -> list[dict[str, Any]]:
        """Entries of the train split with an answer, the same ones whatever the seed."""
        entries = self._entries(level, derive_seed(self.name, "examples", self.family, str(level)))
        first = (
            entry
            for _, entry in itertools.islice(entries, _MAX_UNUSABLE)
            if entry.get("answer") and hashed_split(self.name, self._key(entry["question"])) == "train"
        )
        shown = list(itertools.islice(first, self.examples))
        if len(shown) < self.examples:
            raise DataError(f"{self._at(level)} has no {self.examples} tasks with an answer to show; set examples=0")
        return shown

    def _asked(self, question: str) -> Message:
        return Message("user", f"{question.rstrip()}\n{self.instruction}" if self.instruction else question)

    def _task(
        self, entry: dict[str, Any], place: dict[str, int], level: int | None, shown: list[dict[str, Any]]
    ) -> Task:
        question = entry["question"]
        exchanges = [
            message
            for example in shown
            for message in (self._asked(example["question"]), Message("assistant", example["answer"]))
        ]
        return Task(
            self.name,
            (*exchanges, self._asked(question)),
            entry["answer"],
            complexity=None if level is None else float(level + 1),
            metadata={
                "family": self.family,
                "options": self.options,
                "level": level,
                **place,
                "entry": entry_hash(question, entry["answer"]),
            },
        )

    def _key(self, question: str) -> str:
        """Names the question up to white space, whatever the instruction after it."""
        return f"{self.family}/{prompt_key(Task(self.name, (Message('user', question),), ''))}"

    def _level(self, complexity: float) -> int:
        """The level of the curriculum, from 0."""
        levels = self._dial()
        listed = [int(dial) for dial, _ in self.levels() if dial is not None]
        if not levels or not listed:
            why = f"options set {', '.join(self._taken())}" if self._taken() else "the family has no curriculum for it"
            raise DataError(f"{self.family} has no complexity dial here ({why}); leave complexity out")
        if complexity not in listed:
            index = int(complexity) - 1
            wrong = levels[index]["problem"] if complexity == index + 1 and 0 <= index < len(levels) else ""
            raise DataError(
                f"{self.family} has no complexity {complexity:g}{f' ({wrong})' if wrong else ''}; "
                f"it has {', '.join(map(str, listed))}"
            )
        return int(complexity) - 1

    def _dial(self) -> list[dict[str, Any]]:
        """The levels of the curriculum; none where an option sets what they would."""
        return [] if self._taken() else family_levels(self.family)

    def _taken(self) -> list[str]:
        """Options that the dial would set."""
        dial = {name for level in family_levels(self.family) for name in level["sets"]}
        return sorted(dial & self.options.keys())

    def _check_options(self) -> None:
        known = families().get(self.family, [])
        for option in self.options:
            if option not in known:
                near = difflib.get_close_matches(option, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
                raise ConfigError(f"{self.family} of reasoning-gym has no option {option!r}; {hint}")

    def _at(self, level: int | None) -> str:
        return self.family if level is None else f"{self.family} at complexity {level + 1}"

    def _ask(self, level: int | None, place: dict[str, int], count: int) -> Future[Any]:
        asked = {"call": "entries", "family": self.family, "options": self.options, "level": level}
        return _workers().submit({**asked, **place, "count": count})

    def _reply(self, asked: Future[Any], level: int | None, place: dict[str, int]) -> list[dict[str, Any]]:
        try:
            try:
                return asked.result()
            except LimitExceededError:
                # One that takes too long takes the others of its batch with it.
                return self._ask(level, place, 1).result()
        except LimitExceededError:
            raise DataError(
                f"{self._at(level)} did not make a task within {GENERATION_SECONDS:g} s; "
                "choose another complexity or other options"
            ) from None
        except VerifierError as error:
            raise DataError(f"{self._at(level)}: {error}") from None


@functools.cache
def families() -> dict[str, list[str]]:
    """Every family of the installed reasoning-gym, with the options of its configuration.

    Raises:
        ConfigError: the library is not installed.
    """
    return _workers().call({"call": "families"})


@functools.cache
def family_levels(family: str) -> list[dict[str, Any]]:
    """{"sets", "problem"} of each level of a family's curriculum, easiest first; see `worker.levels`.

    Raises:
        ConfigError: no such family, or the library is not installed.
    """
    known = families()
    if family not in known:
        near = difflib.get_close_matches(family, known, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "known: " + ", ".join(known)
        raise ConfigError(f"reasoning-gym has no family {family!r}; {hint}")
    return _workers().call({"call": "levels", "family": family})


def _workers() -> WorkerPool:
    return worker_pool(GENERATION_SECONDS, 1)

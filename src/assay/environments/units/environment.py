"""Units: chains of exact steps over dates, clocks and measures."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import pydantic

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.script import Script
from assay.environments.splits import SPLITS, hashed_split
from assay.environments.units.calendar import Calendar
from assay.environments.units.measures import Measures
from assay.environments.units.reward import UnitsAnswer
from assay.environments.units.scripts import Hurried, Reckoner, Repeater, misses
from assay.environments.units.topic import FORMS, Topic
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier

MAX_COMPLEXITY = 4
MAX_HORIZON = 32
TOPICS: Mapping[str, Topic] = {"calendar": Calendar(), "measures": Measures()}
_MAX_REPEATS = 1000
"""Draws in a row that give nothing new, after which a small split counts as given out."""
_TRIES = 100
"""Sentences that are drawn until one leads on."""


class Units(Environment):
    """Calendar and unit reasoning with one exact answer.

    Horizon is the number of steps, 1 to 32, each from what the one before came to. Complexity, whole numbers from 1 to
    4, is what a step may be:

    | topic    | 1            | 2               | 3                               | 4                                |
    |----------|--------------|-----------------|---------------------------------|----------------------------------|
    | calendar | days, weeks  | months, years   | working days, "the next Friday" | clocks in places with time zones |
    | measures | metric units | customary units | both, joined by one definition  | rates: an amount a minute        |

    From level 2 on the calendar keeps the steps of the levels below beside its own; at least one step is of the level.
    Answers are exact: dates by the Gregorian calendar, clocks by the rules of the time-zone database for the years 2000
    to 2020, amounts as fractions. Which split a task is in depends on its sentences alone.
    """

    name: Literal["units"] = "units"
    topics: tuple[Literal["calendar", "measures"], ...] = pydantic.Field(default=("calendar", "measures"), min_length=1)
    """What tasks are about; each as often as the other."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The whole response, and leniently the last of its form in the response."""
        return {"strict": UnitsAnswer(), "lenient": UnitsAnswer(reading="last")}

    def levels(self) -> tuple[Level, ...]:
        return tuple((float(c), float(h)) for h in (1, 2, 4, 8) for c in range(1, MAX_COMPLEXITY + 1))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level = whole_dial(self.name, "complexity", complexity, 1, MAX_COMPLEXITY)
        steps = whole_dial(self.name, "horizon", horizon, 2, MAX_HORIZON)
        return require_tasks(self._generate(split, level, steps, seed), self, split, level, steps)

    def expert(self, task: Task) -> Script:
        return Reckoner()

    def weak(self, task: Task) -> Script:
        return Repeater()

    def limited(self, task: Task) -> Script:
        return Hurried()

    def near_misses(self, task: Task) -> Sequence[str]:
        return misses(task.answer, task.metadata["form"])

    def _generate(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        rng = random.Random(derive_seed(seed, self.name, split, complexity, horizon))
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            topic = TOPICS[rng.choice(self.topics)]
            sentences = _chain(topic, rng, complexity, horizon)
            if sentences is None:
                continue
            canonical = " ".join(sentences)
            if canonical in seen or hashed_split(self.name, canonical) != split:
                repeats += 1
                continue
            seen.add(canonical)
            repeats = 0
            yield _task(self.name, topic, rng, sentences, complexity)


def _chain(topic: Topic, rng: random.Random, complexity: int, horizon: int) -> list[str] | None:
    """The first sentence and the steps; None where they lead to where nothing goes on."""
    sentences = [topic.start(rng, complexity)]
    own = rng.randrange(horizon)
    try:
        state = topic.opened(sentences[0])
    except ValueError:
        return None
    for number in range(horizon):
        for _ in range(_TRIES):
            sentence = topic.step(rng, complexity, state, at_level=number == own)
            try:
                state = topic.after(state, sentence)
            except ValueError:
                continue
            sentences.append(sentence)
            break
        else:
            return None
    return sentences


def _task(name: str, topic: Topic, rng: random.Random, sentences: list[str], complexity: int) -> Task:
    first = last = topic.opened(sentences[0])
    for sentence in sentences[1:]:
        last = topic.after(last, sentence)
    question, form = topic.question(rng, complexity, first, last)
    text = " ".join([*sentences, question, FORMS[form]])
    return Task(
        domain=name,
        prompt=(Message("user", text),),
        answer=topic.answer(question, first, last),
        complexity=complexity,
        horizon=len(sentences) - 1,
        metadata={"canonical": " ".join(sentences), "form": form, "topic": topic.name},
    )

"""Scripts that answer: one reckons exactly, one as people do in a hurry, one repeats what it read first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from assay.environments.units.calendar import Calendar
from assay.environments.units.measures import UNITS, Measures
from assay.environments.units.topic import FORMS, Topic
from assay.types import Message, Tool

MEMORY = 4
"""Steps that the script of limited means takes; what comes after them it forgets."""
_ABOUT = {"inches": "0.025", "feet": "0.3", "yards": "0.9", "miles": "1600", "ounces": "0.03", "pounds": "0.5"}
_ABOUT |= {"US pints": "0.5", "US quarts": "1", "US gallons": "4"}
_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365, "working day": 1}


def parts_of(prompt: str) -> tuple[str, list[str], str]:
    """Return the first sentence of a prompt, its steps, and its question."""
    for form in FORMS.values():
        prompt = prompt.removesuffix(form)
    first, *steps = re.split(r" (?=(?:Go|Read|Add|Take) |(?:What|How) )", prompt.strip())
    return first, steps[:-1], steps[-1]


def topic_of(first: str) -> Topic:
    """Return the topic of a task by its first sentence."""
    return Calendar() if re.match(r"Start with \d{4}-", first) else Measures()


@dataclass
class Reckoner:
    """Applies each sentence to what the ones before it came to."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        first, steps, question = parts_of(messages[-1].content)
        topic = topic_of(first)
        start = state = topic.opened(first)
        for step in steps:
            state = self.after(topic, state, step)
        return Message("assistant", topic.answer(question, start, state))

    def after(self, topic: Topic, state: Any, step: str) -> Any:
        """The state after a step."""
        return topic.after(state, step)


@dataclass
class Hurried(Reckoner):
    """Takes four steps, counts every month as 30 days and a year as 365, knows no weekends and no time zones, and takes
    units that are not metric, and rates, for what they are about."""

    taken: int = 0

    def after(self, topic: Topic, state: Any, step: str) -> Any:
        self.taken += 1
        if self.taken > MEMORY:
            return state
        return self._measured(state, step) if isinstance(topic, Measures) else self._dated(topic, state, step)

    def _dated(self, topic: Topic, state: Any, step: str) -> Any:
        found = re.match(r"Go (\d+) (day|week|month|year|working day)s? (later|earlier)", step)
        if found:
            return state + timedelta(days=int(found[1]) * _DAYS[found[2]] * (1 if found[3] == "later" else -1))
        if step.startswith("Go to the"):
            return state + timedelta(days=7)
        return state if step.startswith("Read") else topic.after(state, step)

    def _measured(self, state: Any, step: str) -> Any:
        quantity, size = state
        found = re.match(r"(Add|Take away) (?:what )?([\d.]+) (US \w+|\w+)", step)
        assert found is not None, "a sentence of ours"
        unit = Fraction(_ABOUT[found[3]]) if found[3] in _ABOUT else UNITS[quantity][found[3]][1]
        change = Fraction(found[2]) * unit
        return quantity, size + change if found[1] == "Add" else size - change


class Repeater:
    """Says the first date or number of the prompt."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        found = re.search(r"[\d:. -]*\d", messages[-1].content)
        return Message("assistant", found[0].strip() if found else "0")


def misses(answer: str, form: str) -> list[str]:
    """Return responses that are near an answer and are not it."""
    if form == "weekday":
        return [day for day in ("Monday", "Friday", "Sunday") if day != answer] + [answer[:3], f"not {answer}"]
    if form == "number":
        value = Fraction(answer)
        off = value + Fraction(1, 1000)
        return [
            str(value * 10),
            str(value / 1000 or 1),
            str(off),
            f"about {answer}",
            f"-{answer.lstrip('-')}1",
            f"{answer}%",
        ]
    day, clock = date.fromisoformat(answer[:10]), answer[10:]
    near = [(day + timedelta(days=shift)).isoformat() + clock for shift in (-1, 1, 7, 365)]
    return [*near, day.strftime("%d/%m/%Y") + clock, day.strftime("%d %B %Y") + clock, f"{answer} or {near[0]}"]

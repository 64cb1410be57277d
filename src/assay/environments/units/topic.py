"""Topic: what a chain of sentences is about, and what each sentence does."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

Form = Literal["date", "moment", "weekday", "number"]
"""The forms of an answer."""

FORMS: dict[Form, str] = {
    "date": "Answer with the date as YYYY-MM-DD and nothing else.",
    "moment": "Answer with date and time as YYYY-MM-DD HH:MM and nothing else.",
    "weekday": "Answer with the English name of the day and nothing else.",
    "number": "Answer with the exact number and nothing else: a whole number, a decimal or a fraction such as 7/3.",
}
"""What a prompt says of the form of its answer."""


class Topic(ABC):
    """Base class of topics. A state is whatever `start` returns and `after` goes on from.

    Sentences are the only form that steps have: what a model reads is what is applied.
    """

    name: ClassVar[str]

    @abstractmethod
    def start(self, rng: random.Random, complexity: int) -> str:
        """The first sentence of a task."""

    @abstractmethod
    def opened(self, sentence: str) -> Any:
        """The state that a first sentence gives."""

    @abstractmethod
    def step(self, rng: random.Random, complexity: int, state: Any, *, at_level: bool) -> str:
        """A sentence that leads on from a state.

        Args:
            at_level: True for one of this very complexity, False for one of it or below.
        """

    @abstractmethod
    def after(self, state: Any, sentence: str) -> Any:
        """The state after a sentence of `step`.

        Raises:
            ValueError: the sentence cannot be applied to this state, or leads out of range.
        """

    @abstractmethod
    def question(self, rng: random.Random, complexity: int, first: Any, last: Any) -> tuple[str, Form]:
        """What is asked at the end, and the form of its answer."""

    @abstractmethod
    def answer(self, question: str, first: Any, last: Any) -> str:
        """The answer to a question, in the form that the prompt asks for."""

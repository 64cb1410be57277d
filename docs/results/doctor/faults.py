"""What is planted in the short runs of docs/results/doctor.py: worlds and rewards with a fault, and clean ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from assay.environments import Environment, Episode
from assay.environments.episode import EpisodeStep, SingleTurn
from assay.seeds import uniform
from assay.types import Message, Split, Task
from assay.verifiers import Verifier
from assay.verifiers.python import PythonReward

HERE = "docs/results/doctor/faults.py"


def letters(response: str, answer: str) -> float:
    """Share of the characters that are ASCII letters: a tiny model learns it in a few steps."""
    return sum(each.isascii() and each.isalpha() for each in response) / max(len(response), 1)


def low(response: str, answer: str) -> float:
    """1 where most characters come before "p": about half of the time, and easily learned."""
    return float(sum(each < "p" for each in response) > 0.6 * len(response))


def odd(response: str, answer: str) -> float:
    """1 where the sum of its characters is odd: half of the time, whatever is trained."""
    return float(sum(map(ord, response)) % 2)


def nothing(response: str, answer: str) -> float:
    """Pays one response that nobody says."""
    return float(response == "the one right answer")


def everything(response: str, answer: str) -> float:
    return 1.0


def ended(response: str, answer: str) -> float:
    """1 where the response ends with a letter at which it is stopped."""
    return float(response[-1:].lower() in "aeiou") if response else 0.0


def raises(response: str, answer: str) -> float:
    """Fails at one response in ten."""
    if sum(map(ord, response)) % 10 == 0:
        raise RuntimeError("a character that this reward was never shown")
    return letters(response, answer)


def is_nan(response: str, answer: str) -> float:
    """Divides by a number that is 0 at one response in ten."""
    return float("nan") if sum(map(ord, response)) % 10 == 0 else letters(response, answer)


class Words(Environment):
    """Says a word; 4,000 tasks, and as many levels as are asked for."""

    name: str = "words"
    leaks: bool = False
    """True where validation and test have the tasks of training."""
    wrapped: bool = False
    """True where prompts hold a template's marks already."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": PythonReward(function=f"{HERE}:letters", gold_format="")}

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        first = 0 if self.leaks else {"train": 0, "validation": 3000, "test": 3500}[split]
        for number in range(first, 500 if self.leaks else first + (3000 if split == "train" else 500)):
            text = f"Say word {number}" + ("" if complexity is None else f" of level {complexity:g}")
            if self.wrapped:
                text = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n"
            yield Task("words", (Message("user", text),), f"w{number}", complexity, horizon)


class Breaks(Words):
    """Its world fails at every eighth task, at the `start` or when it is answered."""

    at: str = "step"

    def episode(self, task: Task) -> Episode:
        return _Broken(task, self.at) if uniform(7, int(task.answer[1:])) < 0.125 else SingleTurn(task)


class _Broken(Episode):
    def __init__(self, task: Task, at: str) -> None:
        self.task, self.at = task, at

    async def start(self) -> tuple[Message, ...]:
        if self.at == "start":
            raise RuntimeError("the world's file is missing")
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        raise RuntimeError("the world's server is gone")

    async def close(self) -> None:
        return None


def by_task(response: str, answer: str) -> float:
    """Pays every response to half of the tasks, and none to the others."""
    return float(int(answer[1:]) % 2)

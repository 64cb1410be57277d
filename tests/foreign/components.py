"""Components as somebody outside of Assay would write them, by its public names alone."""

import random
from collections.abc import Iterator
from typing import Any

import assay
from assay import Algorithm, EngineSettings, Environment, Message, Rollout, Score, Task, Verifier, open_model


class Echo(Environment):
    """Repeat a word."""

    name: str = "echo"
    words: tuple[str, ...] = ("ash", "birch", "cedar", "dogwood", "elm", "fir", "gum", "holly", "ivy", "juniper")

    @property
    def rewards(self) -> dict[str, Verifier]:
        return {"strict": Starts()}

    def tasks(
        self, split: str, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        number = {"train": 0, "validation": 1, "test": 2}[split]
        words = [f"{word}{i}" for i in range(number, 30, 3) for word in self.words]
        random.Random(seed).shuffle(words)
        for word in words:
            yield Task(self.name, (Message("user", f"Say {word}"),), word)


class Starts(Verifier):
    """The share of letters that the response shares with the answer, from the start."""

    name: str = "starts"

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if rollout.response.strip() == task.answer:
            return Score.solved()
        letters = set(rollout.response[:200])
        return Score.failed("other", value=0.9 * len(letters & set(task.answer)) / len(set(task.answer)))


class Centred(Algorithm):
    """REINFORCE against the mean of the group."""

    name: str = "centred"
    factor: float = 1.0

    def advantages(self, rewards_G: Any) -> Any:
        return self.factor * (rewards_G - rewards_G.mean())

    def policy_loss(self, inputs: assay.LossInputs) -> Any:
        return -inputs.advantages * inputs.policy_logprobs, {}


class Twin(EngineSettings):
    """Samples with the engine of the model's family, and counts."""

    name: str = "twin"
    model: str

    def open(self, policy: Any, **options: Any) -> Any:
        return open_model(self.model).engine_for(policy, **options)

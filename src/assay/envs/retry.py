"""SecondTry: two turns with known maths, the smallest environment in which masks and credit over turns matter."""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.envs.env import EnvStep
from assay.types import Message, Task
from assay.verifiers.text import normalise

TRY_AGAIN = Message("user", "That is not right. Try again.")


@dataclass
class SecondTry:
    """Shows the prompt; after a wrong first answer says so, and lets the second one count.

    Right means what the exact verifier calls right: the whole message is the task's answer. The step with the right
    answer pays 1. The episode ends with it, or after the second answer. For a policy that is right with probability p
    at each try, independently, an episode is solved with probability 1 - (1 - p)^2 and has 2 - p turns on average.
    """

    task: Task
    _answers: int = field(default=0, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EnvStep:
        self._answers += 1
        if normalise(message.content).strip() == normalise(self.task.answer).strip():
            return EnvStep(reward=1.0, done=True)
        if self._answers == 2:
            return EnvStep(done=True)
        return EnvStep(messages=(TRY_AGAIN,))

    async def close(self) -> None:
        return None

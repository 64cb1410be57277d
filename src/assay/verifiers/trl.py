"""Reward functions written for TRL's trainers, as they are."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

from assay.config import Settings
from assay.errors import FailureKind, VerifierError, classify
from assay.types import Rollout, Score, Task
from assay.verifiers.python import finite, load_function


class TRLReward(Settings):
    """Calls `reward(prompts=[...], completions=[...], **columns)` of TRL's signature with all attempts at one task.

    Columns are the task's answer, metadata, complexity and horizon, each as a list with an entry for each attempt;
    `completion_ids` and `trainer_state` (None) are passed too. A function that returns None for a sample says that it
    does not apply: the sample is then not measured. Outside training it is shown one attempt at a time.
    """

    name: Literal["trl"] = "trl"
    function: str
    """Where it is: "path/to/file.py:reward" or "package.module:reward"."""
    conversational: bool = True
    """Whether prompts and completions are lists of messages, as with chat data in TRL; else plain text."""
    solved_at: float = 1.0
    """Rewards from here on count as solved."""

    @cached_property
    def reward(self) -> Any:
        """The function, loaded at first use.

        Raises:
            ConfigError: no such file, module or function.
        """
        return load_function(self.function)

    @property
    def compares(self) -> bool:
        """True: functions of this signature may compare the attempts, and nobody can tell from outside."""
        return True

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return (await self.score_group([rollout], task))[0]

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        reward = self.reward
        try:
            values = reward(**self._arguments(rollouts, task))
            if inspect.isawaitable(values):
                values = await values
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            raise VerifierError(f"{self.function} raised {type(error).__name__}: {error}") from error
        if not isinstance(values, list | tuple) or len(values) != len(rollouts):
            raise VerifierError(
                f"{self.function} returned {values!r:.80}, not a list with the rewards of {len(rollouts)} samples"
            )
        return [self._score(value) for value in values]

    def _score(self, reward: object) -> Score:
        if reward is None:
            return Score.not_measured(f"{self.function} does not apply to this task")
        value = finite(reward)
        if value is None:
            return Score.not_measured(f"{self.function} returned {reward!r:.80}: rewards must be finite numbers")
        return Score.solved(value) if value >= self.solved_at else Score.failed("below solved_at", value=value)

    def gold_response(self, task: Task) -> str | None:
        """None: no answer is sure to earn a reward of somebody else's."""
        return None

    def _arguments(self, rollouts: Sequence[Rollout], task: Task) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in task.prompt]
        prompt: Any = messages if self.conversational else "\n".join(message.content for message in task.prompt)
        responses = [rollout.response for rollout in rollouts]
        completions: list[Any] = (
            [[{"role": "assistant", "content": response}] for response in responses]
            if self.conversational
            else responses
        )
        columns = {**task.metadata, "answer": task.answer, "complexity": task.complexity, "horizon": task.horizon}
        given = {
            "prompts": [prompt] * len(rollouts),
            "completions": completions,
            "completion_ids": [
                [token for turn in rollout.turns for token in turn.completion.token_ids] for rollout in rollouts
            ],
            "trainer_state": None,
            **{name: [value] * len(rollouts) for name, value in columns.items()},
        }
        parameters = inspect.signature(self.reward).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return given
        return {parameter.name: given[parameter.name] for parameter in parameters if parameter.name in given}

"""Reward functions written for TRL's trainers, as they are."""

from __future__ import annotations

import inspect
from functools import cached_property
from typing import Any, Literal

from assay.config import Settings
from assay.errors import FailureKind, VerifierError, classify
from assay.types import Rollout, Score, Task
from assay.verifiers.python import finite, load_function


class TRLReward(Settings):
    """Calls `reward(prompts=[...], completions=[...], **columns)` of TRL's signature with one sample, and takes the one
    number of the list that it returns.

    Columns are the task's answer, metadata, complexity and horizon, each as a list of one; `completion_ids` and
    `trainer_state` (None) are passed too. A function that returns None for a sample says that it does not apply: the
    sample is then not measured. Functions that compare the samples of a batch with each other see one at a time here.
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

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        reward = self.reward
        try:
            values = reward(**self._arguments(rollout, task))
            if inspect.isawaitable(values):
                values = await values
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            raise VerifierError(f"{self.function} raised {type(error).__name__}: {error}") from error
        if not isinstance(values, list | tuple) or len(values) != 1:
            raise VerifierError(f"{self.function} returned {values!r:.80}, not a list with the reward of one sample")
        if values[0] is None:
            return Score.not_measured(f"{self.function} does not apply to this task")
        value = finite(values[0])
        if value is None:
            raise VerifierError(f"{self.function} returned {values[0]!r:.80}: rewards must be finite numbers")
        return Score.solved(value) if value >= self.solved_at else Score.failed("below solved_at", value=value)

    def gold_response(self, task: Task) -> str | None:
        """None: no answer is sure to earn a reward of somebody else's."""
        return None

    def _arguments(self, rollout: Rollout, task: Task) -> dict[str, Any]:
        messages = [{"role": message.role, "content": message.content} for message in task.prompt]
        prompt: Any = messages if self.conversational else "\n".join(message.content for message in task.prompt)
        completion: Any = (
            [{"role": "assistant", "content": rollout.response}] if self.conversational else rollout.response
        )
        columns = {**task.metadata, "answer": task.answer, "complexity": task.complexity, "horizon": task.horizon}
        token_ids = [token for turn in rollout.turns for token in turn.completion.token_ids]
        given = {
            "prompts": [prompt],
            "completions": [completion],
            "completion_ids": [token_ids],
            "trainer_state": None,
            **{name: [value] for name, value in columns.items()},
        }
        parameters = inspect.signature(self.reward).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return given
        return {parameter.name: given[parameter.name] for parameter in parameters if parameter.name in given}

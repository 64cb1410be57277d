"""Reward functions written for TRL's trainers, as they are."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from assay.errors import ConfigError, FailureKind, VerifierError, classify
from assay.types import Rollout, Score, Task
from assay.verifiers.python import finite, load_function
from assay.verifiers.verifier import Verifier, as_rollout

DOES_NOT_APPLY = "the function does not apply to this sample"
"""Reason of a score where the function returned None."""
COLUMNS = "columns"
"""Key of a task's metadata with the columns of its row, under their own names."""


class TRLReward(Verifier):
    """Calls `reward(prompts=[...], completions=[...], **columns)` of TRL's signature with all attempts at one task.

    Columns are those of the task's row, under their own names and as they stand in the file, each as a list with an
    entry for each attempt; further the task's answer, complexity and horizon and what else its domain says of it, where
    no column has that name. An `answer` that the gold answer was cut from is given as the gold answer; there is none
    where the data has none. `completion_ids` and `trainer_state` (None) are passed too.

    A function that returns None for a sample says that it does not apply: alone, the sample is not measured; a weighted
    sum goes on without it. Outside training it is shown one attempt at a time.
    """

    name: Literal["trl"] = "trl"
    is_cheap: ClassVar[bool] = True
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
        # Arrays and tensors as lists of numbers.
        values = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(values, list | tuple) or len(values) != len(rollouts):
            raise VerifierError(
                f"{self.function} returned {values!r:.80}, not a list with the rewards of {len(rollouts)} samples"
            )
        return [self._score(value) for value in values]

    def _score(self, reward: object) -> Score:
        if reward is None:
            return Score.not_measured(DOES_NOT_APPLY)
        value = finite(reward)
        if value is None:
            return Score.not_measured(f"{self.function} returned {reward!r:.80}: rewards must be finite numbers")
        return Score.solved(value) if value >= self.solved_at else Score.failed("below solved_at", value=value)

    def gold_response(self, task: Task) -> str | None:
        """None: no answer is sure to earn a reward of somebody else's.

        Raises:
            ConfigError: the function asks for something that the task does not have.
        """
        given = self._given([as_rollout("", task)], task)
        missing = [
            parameter.name
            for parameter in inspect.signature(self.reward).parameters.values()
            if parameter.default is parameter.empty
            and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            and parameter.name not in given
        ]
        if missing:
            raise ConfigError(
                f"{self.function} asks for {missing[0]!r}, which {task.metadata.get('row', 'the data')} does not have "
                f"(task {task.task_id} of {task.domain}): name a column so, or give the parameter a default; it is "
                f"given {', '.join(given)}"
            )
        return None

    def _arguments(self, rollouts: Sequence[Rollout], task: Task) -> dict[str, Any]:
        given = self._given(rollouts, task)
        parameters = inspect.signature(self.reward).parameters.values()
        if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            return given
        return {parameter.name: given[parameter.name] for parameter in parameters if parameter.name in given}

    def _given(self, rollouts: Sequence[Rollout], task: Task) -> dict[str, Any]:
        messages = [message.to_dict() for message in task.prompt]
        prompt: Any = messages if self.conversational else "\n".join(message.content for message in task.prompt)
        responses = [rollout.response for rollout in rollouts]
        completions: list[Any] = (
            [[{"role": "assistant", "content": response}] for response in responses]
            if self.conversational
            else responses
        )
        about: dict[str, Any] = {**task.metadata, "complexity": task.complexity, "horizon": task.horizon}
        if task.answer:
            about["answer"] = task.answer
        about |= about.pop(COLUMNS, {})
        return {
            **{name: [value] * len(rollouts) for name, value in about.items()},
            "prompts": [prompt] * len(rollouts),
            "completions": completions,
            "completion_ids": [
                [token for turn in rollout.turns for token in turn.completion.token_ids] for rollout in rollouts
            ],
            "trainer_state": None,
        }

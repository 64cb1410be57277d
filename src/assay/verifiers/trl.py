"""Reward functions written for TRL's trainers, as they are."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, SupportsFloat

from assay.errors import ConfigError, FailureKind, VerifierError, classify
from assay.types import Rollout, Score, SolvedAt, Task
from assay.verifiers.python import (
    accepted,
    finite,
    function_files,
    load_function,
    missing_parameters,
    what_raised,
)
from assay.verifiers.verifier import Verifier, as_rollout

DOES_NOT_APPLY = "the function does not apply to this sample"
"""Reason of a score where the function returned None."""
COLUMNS = "columns"
"""Key of a task's metadata with the columns of its row, under their own names."""
MAX_EXTRA = 100
"""Characters of what a function logs of a sample in one column."""


class TRLReward(Verifier):
    """Calls `reward(prompts=[...], completions=[...], **columns)` of TRL's signature with all attempts at one task.

    Columns are those of the task's row, under their own names and as they stand in the file, each as a list with an
    entry for each attempt; further the task's answer, complexity and horizon and what else its domain says of it, where
    no column has that name. An `answer` that the gold answer was cut from is given as the gold answer; there is none
    where the data has none. `completion_ids` are passed too, and `trainer_state` (steps made, and to make), `log_extra`
    (a column of values, which become the evidence of the scores) and `log_metric` (means are `reward/logged/NAME`).

    A function that returns None for a sample says that it does not apply: alone, the sample is not measured; a weighted
    sum goes on without it. Outside training it is shown one attempt at a time.
    """

    name: Literal["trl"] = "trl"
    is_cheap: ClassVar[bool] = True
    function: str
    """The function's place: "path/to/file.py:reward" or "package.module:reward"."""
    conversational: bool = True
    """True where prompts and completions are lists of messages, as with chat data in TRL; else plain text."""
    solved_at: SolvedAt = "none"
    """Rewards from here on count as solved. "none": a reward is a number and says no verdict, as in TRL."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        return function_files(self.function)

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

    @property
    def gives_verdicts(self) -> bool:
        return self.solved_at != "none"

    def follow(self, step: int, num_steps: int) -> None:
        self.progress.advance(step, num_steps)

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        return (await self.score_group([rollout], task))[0]

    @cached_property
    def progress(self) -> TrainerState:
        """The progress of training that functions see as `trainer_state`."""
        return TrainerState()

    @cached_property
    def logged(self) -> LoggedMetrics:
        """Values that functions logged by `log_metric` since they were last taken."""
        return LoggedMetrics()

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        reward = self.reward
        extra: dict[str, list[Any]] = {}
        given = {**self._given(rollouts, task), "log_extra": _log_into(extra)}
        try:
            values = reward(**accepted(reward, given))
            if inspect.isawaitable(values):
                values = await values
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            raise VerifierError(what_raised(self.function, error)) from error
        # Arrays and tensors as lists of numbers.
        values = values.tolist() if hasattr(values, "tolist") else values
        if not isinstance(values, list | tuple) or len(values) != len(rollouts):
            raise VerifierError(
                f"{self.function} returned {values!r:.80}, not a list with the rewards of {len(rollouts)} samples"
            )
        return [self._score(value, _evidence(extra, i)) for i, value in enumerate(values)]

    def _score(self, reward: object, evidence: str) -> Score:
        if reward is None:
            return Score.not_measured(DOES_NOT_APPLY, evidence=evidence)
        value = finite(reward)
        if value is None:
            return Score.not_measured(f"{self.function} returned {reward!r:.80}: rewards must be finite numbers")
        return Score.at(value, self.solved_at, "below solved_at", evidence=evidence)

    def gold_response(self, task: Task) -> str | None:
        """None: no answer is sure to earn a reward of somebody else's.

        Raises:
            ConfigError: the function asks for something that the task does not have.
        """
        given = self._given([as_rollout("", task)], task)
        missing = missing_parameters(self.reward, given)
        if missing:
            raise ConfigError(
                f"{self.function} asks for {missing[0]!r}, which {task.metadata.get('row', 'the data')} does not have "
                f"(task {task.task_id} of {task.domain}): name a column so, or give the parameter a default; it is "
                f"given {', '.join(given)}"
            )
        return None

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
        if task.gold_text:
            about["answer"] = task.gold_text
        about |= about.pop(COLUMNS, {})
        return {
            **{name: [value] * len(rollouts) for name, value in about.items()},
            "prompts": [prompt] * len(rollouts),
            "completions": completions,
            "completion_ids": [
                [token for turn in rollout.turns for token in turn.completion.token_ids] for rollout in rollouts
            ],
            "trainer_state": self.progress,
            "log_extra": _log_into({}),
            "log_metric": self.logged.add,
        }


@dataclass
class TrainerState:
    """The progress of training, with the attributes of transformers' class of this name. Outside of training: at the
    beginning."""

    global_step: int = 0
    """Steps made."""
    max_steps: int = 1
    epoch: float = 0.0
    """The share of the steps that were made: a run is taken for one epoch."""
    num_train_epochs: int = 1
    logging_steps: int = 1
    eval_steps: int = 1
    save_steps: int = 1
    train_batch_size: int | None = None
    num_input_tokens_seen: int = 0
    total_flos: float = 0.0
    log_history: list[dict[str, float]] = field(default_factory=list)
    best_metric: float | None = None
    best_global_step: int | None = None
    best_model_checkpoint: str | None = None
    is_local_process_zero: bool = True
    is_world_process_zero: bool = True
    is_hyper_param_search: bool = False
    trial_name: str | None = None
    trial_params: dict[str, Any] | None = None
    stateful_callbacks: dict[str, Any] = field(default_factory=dict)

    def advance(self, step: int, num_steps: int) -> None:
        """`step` of `num_steps` steps are made."""
        self.global_step, self.max_steps, self.epoch = step, num_steps, step / num_steps


class LoggedMetrics:
    """Means of what a reward function logs."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, name: str, value: SupportsFloat) -> None:
        """Counts one value; what is not finite is left out."""
        number = float(value)
        if math.isfinite(number):
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + number, count + 1

    def merge(self, other: LoggedMetrics) -> None:
        """Takes over what another one has."""
        for name, (total, count) in other._sums.items():
            own_total, own_count = self._sums.get(name, (0.0, 0))
            self._sums[name] = own_total + total, own_count + count
        other._sums = {}

    def take(self) -> dict[str, float]:
        """The mean of each name since this was last called."""
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}


def _log_into(extra: dict[str, list[Any]]) -> Callable[[str, Iterable[Any]], None]:
    """TRL's `log_extra(column, values)`, a value for each sample."""

    def log_extra(column: str, values: Iterable[Any]) -> None:
        extra.setdefault(str(column), []).extend(values)

    return log_extra


def _evidence(extra: Mapping[str, Sequence[Any]], i: int) -> str:
    """Return what was logged of one sample, in a bounded line."""
    said = (f"{column}: {str(values[i])[:MAX_EXTRA]}" for column, values in extra.items() if i < len(values))
    return "; ".join(said)[: 5 * MAX_EXTRA]

"""Reward functions written for verl, as they are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import pydantic

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
from assay.verifiers.trl import COLUMNS
from assay.verifiers.verifier import Verifier, as_rollout

MAX_EXTRA = 100
"""Characters of one further value in a score's evidence."""


class VerlReward(Verifier):
    """Calls `compute_score(data_source, solution_str, ground_truth, extra_info)` of verl's signature.

    The function returns a number, a dict with the reward as "score", or a tuple that begins with it. Further numbers of
    a dict, such as "acc", become parts of the score, with their means as metrics; other values its evidence.

    `data_source` and `extra_info` are those of the row, and `ground_truth` is its `reward_model.ground_truth` as it
    stands; where the row has none it is the gold answer. `extra_info["num_turns"]` counts messages, as in verl.
    """

    name: Literal["verl"] = "verl"
    is_cheap: ClassVar[bool] = True
    function: str
    """The function's place: "path/to/file.py:compute_score" or "package.module:compute_score"."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Further arguments of the function: verl's reward_kwargs."""
    solved_at: SolvedAt = 1.0
    """Rewards from here on count as solved. "none": a reward is a number and says no verdict."""
    gold_format: str = ""
    """The response that the gold answer makes, such as "\\\\boxed{answer}", which must be solved: a run checks this
    before it starts. Empty where no answer is sure to earn the reward: then nothing is checked."""

    @pydantic.model_validator(mode="after")
    def _gold_has_a_verdict(self) -> Self:
        if self.gold_format and not self.gives_verdicts:
            raise ValueError(
                f'gold_format {self.gold_format!r} has no effect with solved_at = "none", where nothing is solved: '
                "leave it out, or set solved_at to the least reward that solves"
            )
        return self

    @property
    def gives_verdicts(self) -> bool:
        return self.solved_at != "none"

    def files(self) -> Mapping[str, Sequence[Path]]:
        return function_files(self.function)

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
            value = reward(**accepted(reward, self._given(rollout, task)))
            if inspect.isawaitable(value):
                value = await value
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            raise VerifierError(f"{what_raised(self.function, error)} for task {task.task_id}") from error
        return self._score(value, task)

    def _score(self, value: object, task: Task) -> Score:
        further: Mapping[str, Any] = {}
        score = value
        if isinstance(value, Mapping):
            score, further = value.get("score"), {key: each for key, each in value.items() if key != "score"}
        elif isinstance(value, list | tuple) and value:
            score = value[0]
        number = finite(score)
        if number is None:
            raise VerifierError(
                f"{self.function} returned {repr(value)[:200]} for task {task.task_id}; return a finite number, or a "
                'dict with one as "score"'
            )
        numbers = {str(key): finite(each) for key, each in further.items()}
        parts = {key: each for key, each in numbers.items() if each is not None}
        said = (f"{key}: {str(each)[:MAX_EXTRA]}" for key, each in further.items() if str(key) not in parts)
        details: dict[str, Any] = {"parts": parts, "evidence": "; ".join(said)[: 5 * MAX_EXTRA]}
        return Score.at(number, self.solved_at, "below solved_at", **details)

    def gold_response(self, task: Task) -> str | None:
        """The gold answer in `gold_format`.

        Raises:
            ConfigError: the function asks for something that the row does not have.
        """
        given = self._given(as_rollout("", task), task)
        missing = missing_parameters(self.reward, given)
        if missing or given["ground_truth"] in (None, ""):
            what = repr(missing[0]) if missing else "a ground truth"
            raise ConfigError(
                f"{self.function} asks for {what}, which {task.metadata.get('row', 'the data')} does not have (task "
                f"{task.task_id} of {task.domain}): name the column of the gold answer, such as "
                'answer = "{reward_model.ground_truth}", or give further arguments in verifier.options; it is given '
                f"{', '.join(given)}"
            )
        if not self.gold_format or ("{answer}" in self.gold_format and not task.answer):
            return None
        return self.gold_format.replace("{answer}", task.answer)

    def _given(self, rollout: Rollout, task: Task) -> dict[str, Any]:
        row = task.metadata.get(COLUMNS, {})
        model, extra = row.get("reward_model"), row.get("extra_info")
        truth = model.get("ground_truth") if isinstance(model, Mapping) else None
        return {
            "data_source": row.get("data_source", task.domain),
            "solution_str": rollout.response,
            "ground_truth": task.gold_text if truth is None else truth,
            "extra_info": {**(extra if isinstance(extra, Mapping) else {}), "num_turns": 2 * len(rollout.turns)},
            **self.options,
        }

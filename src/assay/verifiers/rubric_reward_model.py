"""A rubric judged by a reward model: the chance that people prefer the response to a reference, by each criterion."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.config import FileText
from assay.errors import DataError
from assay.types import Message, Rollout, Task
from assay.verifiers.agreement import MeasuredJudge
from assay.verifiers.cases import Case
from assay.verifiers.criteria import Criterion
from assay.verifiers.reward_model import RewardModelScore
from assay.verifiers.verifier import as_rollout

_GOOD = "A good response meets this: {criterion}"
_BAD = "A good response is not like this: {criterion}"


class RubricRewardModel(MeasuredJudge):
    """Compares a response with the task's reference by a reward model, once for each criterion.

        value = 1 / (1 + exp(r(prompt + criterion, reference) - r(prompt + criterion, response)))

    This is the chance that the raters whom the model was fitted on prefer the response (Bradley and Terry 1952), when
    the prompt ends with the criterion; of a criterion that describes something bad, the chance that they do not. The
    reference itself has a half on each. A reward model was fitted on whole responses and not on criteria: how far it
    follows them is what its measured agreement says.

    Tasks need a reference. The reward model reads text by its own tokenizer and chat template, whatever the policy's.
    """

    name: Literal["rubric_reward_model"] = "rubric_reward_model"
    source: FileText = pydantic.Field(min_length=1)
    """The reward model: a folder that transformers opens as sequence classification with one label, the run that fitted
    it, or a hub id."""

    @property
    def judge_identity(self) -> Mapping[str, Any]:
        return reward_model_judge(self.source)

    async def judged(
        self, rollout: Rollout, task: Task, criteria: Sequence[Criterion]
    ) -> tuple[list[float | None], str]:
        """How far a response meets each criterion, from 0 to 1, None where that is not known; and why it is not.

        Raises:
            DataError: the task has no reference to compare with.
        """
        if not task.answer:
            raise DataError(
                f"task {task.task_id} ({task.metadata.get('row', task.domain)}) has no reference, which "
                f"{self.name} compares a response with: add one to the row, or take another judge"
            )
        if not rollout.response.strip():
            return [0.0] * len(criteria), ""
        scores = [await self._beside_reference(rollout, task, each) for each in criteria]
        problem = next((score for score in scores if isinstance(score, str)), "")
        return [None if isinstance(score, str) else score for score in scores], problem

    async def _beside_reference(self, rollout: Rollout, task: Task, criterion: Criterion) -> float | str:
        """The value of one criterion, or why it has none."""
        form = _GOOD if criterion.is_good else _BAD
        last = task.prompt[-1]
        asked = Message(last.role, f"{last.content}\n\n{form.format(criterion=criterion.text)}")
        beside = dataclasses.replace(task, prompt=(*task.prompt[:-1], asked))
        alone = dataclasses.replace(rollout, turns=rollout.turns[-1:])
        scores = await self._model.score_group([alone, as_rollout(task.answer, task)], beside)
        rewards = [score.value for score in scores]
        if rewards[0] is None or rewards[1] is None:
            return next(score.reason for score in scores if not score.measured)
        share = preferred_share(rewards[0] - rewards[1])
        return share if criterion.is_good else 1.0 - share

    @functools.cached_property
    def _model(self) -> RewardModelScore:
        return RewardModelScore(source=self.source)

    def gold_response(self, task: Task) -> str | None:
        """The reference, which others are compared with."""
        return task.answer or None

    def cases(self) -> list[Case]:
        """None: without criteria no response is right."""
        return []


def preferred_share(difference: float) -> float:
    """The chance that a response is preferred whose reward is higher by so much: the logistic function.

    Example:
        >>> preferred_share(0.0), round(preferred_share(1.0), 4), preferred_share(-1e9)
        (0.5, 0.7311, 0.0)
    """
    small = math.exp(-min(abs(difference), 700.0))
    return round(1.0 / (1.0 + small) if difference >= 0 else small / (1.0 + small), 12)


def reward_model_judge(source: str) -> dict[str, Any]:
    """What decides the rewards of a reward model, as plain data: the digest of its weights.

    Raises:
        ModelError: there is no such model.
    """
    from assay.models.source import resolve_source

    return {"kind": "reward_model", "weights_sha256": _digest(resolve_source(source).resolve())}


@functools.lru_cache(maxsize=8)
def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted((*folder.glob("*.safetensors"), *folder.glob("*.bin"))):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()

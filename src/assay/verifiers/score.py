"""score_rollout and score_group: the one way rollouts get their scores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from assay.errors import ContractError, FailureKind, UnansweredError, classify
from assay.types import EndingKind, Rollout, Score, Task
from assay.verifiers.verifier import Verifier


class Scorer(Protocol):
    """The part of a verifier that scores."""

    @property
    def name(self) -> str: ...

    async def __call__(self, rollout: Rollout, task: Task) -> Score: ...


async def score_rollout(verifier: Scorer, rollout: Rollout, task: Task, *, retries: int = 2) -> Score:
    """Return the verifier's score, or NOT_MEASURED with the cause that kept it from giving one.

    A rollout that broke is not measured, and the verifier is not asked. A verifier that fails (it raises, or itself
    says NOT_MEASURED) is asked up to `retries` more times, unless it failed for want of an answer that has been tried
    for again already. Cancellation passes through.

    Raises:
        AssayError: a person must act, for example on a gold answer that the verifier cannot read.
        ContractError: the verifier returned something that is no Score.
    """
    if rollout.ending.kind is EndingKind.BROKEN:
        return _broken(rollout)
    score = Score.not_measured("never scored")
    for _ in range(1 + max(0, retries)):
        try:
            score = await verifier(rollout, task)
        except UnansweredError as error:
            return _failed(error)
        except Exception as error:
            score = _failed(error)
        _check(score, verifier, task)
        if score.measured:
            break
    return score


async def score_group(verifier: Verifier, rollouts: Sequence[Rollout], task: Task, *, retries: int = 2) -> list[Score]:
    """Return the scores of a verifier that compares the attempts at one task, in their order; as `score_rollout`, for
    all.

    Rollouts that broke are not measured and not shown to it. It is asked again where it raised; what it leaves not
    measured in a whole answer stays so.

    Raises:
        AssayError: a person must act.
        ContractError: the verifier returned something else than one Score for each rollout.
    """
    whole = [rollout for rollout in rollouts if rollout.ending.kind is not EndingKind.BROKEN]
    scores = [Score.not_measured("never scored")] * len(whole)
    for _ in range(1 + max(0, retries) if whole else 0):
        try:
            scores = await verifier.score_group(whole, task)
            break
        except Exception as error:
            scores = [_failed(error)] * len(whole)
            if isinstance(error, UnansweredError):
                break
    _check_list(scores, len(whole), verifier, task)
    given = iter(scores)
    return [_broken(rollout) if rollout.ending.kind is EndingKind.BROKEN else next(given) for rollout in rollouts]


async def score_together(verifier: Verifier, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
    """Return the score of each attempt at one task, in their order, whether the verifier compares them or not."""
    if verifier.compares:
        return await score_group(verifier, rollouts, task)
    return await asyncio.gather(*(score_rollout(verifier, rollout, task) for rollout in rollouts))


def _broken(rollout: Rollout) -> Score:
    return Score.not_measured(rollout.ending.reason or "broken")


def _failed(error: Exception) -> Score:
    """Return a score that is not measured, unless a person must act."""
    if classify(error) is FailureKind.USER:
        raise error
    return Score.not_measured(f"{type(error).__name__}: {error}"[:500])


def _check_list(scores: object, expected: int, verifier: Scorer, task: Task) -> None:
    if not isinstance(scores, list | tuple) or len(scores) != expected:
        said = f"{len(scores)} scores" if isinstance(scores, list | tuple) else f"{scores!r:.80}"
        raise ContractError(f"verifier {verifier.name!r} returned {said} for {expected} rollouts of {task.task_id}")
    for score in scores:
        _check(score, verifier, task)


def _check(score: object, verifier: Scorer, task: Task) -> None:
    if not isinstance(score, Score):
        raise ContractError(f"verifier {verifier.name!r} returned {score!r} for task {task.task_id}, not a Score")

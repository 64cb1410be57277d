"""score_rollout: the one way a rollout gets its score."""

from __future__ import annotations

from assay.errors import ContractError, FailureKind, classify
from assay.types import EndingKind, Rollout, Score, Task
from assay.verifiers.verifier import Verifier


async def score_rollout(verifier: Verifier, rollout: Rollout, task: Task, *, retries: int = 2) -> Score:
    """What the verifier says, or NOT_MEASURED with the cause that kept it from saying anything.

    A rollout that broke is not measured, and the verifier is not asked. A verifier that fails (it raises, or itself
    says NOT_MEASURED) is asked up to `retries` more times. Cancellation passes through.

    Raises:
        AssayError: a person must act, for example on a gold answer that the verifier cannot read.
        ContractError: the verifier returned something that is no Score.
    """
    if rollout.ending.kind is EndingKind.BROKEN:
        return Score.not_measured(rollout.ending.reason or "broken")
    score = Score.not_measured("never scored")
    for _ in range(1 + max(0, retries)):
        try:
            score = await verifier(rollout, task)
        except Exception as error:
            if classify(error) is FailureKind.USER:
                raise
            score = Score.not_measured(f"{type(error).__name__}: {error}"[:500])
        if not isinstance(score, Score):
            raise ContractError(f"verifier {verifier.name!r} returned {score!r} for task {task.task_id}, not a Score")
        if score.measured:
            break
    return score

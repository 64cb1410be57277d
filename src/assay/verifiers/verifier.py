"""The Verifier protocol: what a rollout earned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard, runtime_checkable

from assay.types import Completion, Ending, EndingKind, FinishReason, Message, Rollout, Score, Task, Turn


class Verifier(Protocol):
    """Scores a rollout against its task. Model output is hostile input: it is parsed, bounded, never evaluated.

    The gold answer itself, as a response, must be SOLVED: `check_verifier` holds an implementation to this.
    """

    @property
    def name(self) -> str: ...

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        """SOLVED or FAILED with a finite value; raises only for causes outside the response.

        Raises:
            VerifierError: the verifier itself failed. The rollout is scored again, then counted as not measured.
        """
        ...

    def gold_response(self, task: Task) -> str | None:
        """A response that must be SOLVED, made from the gold answer; None where none can be made."""
        ...


@runtime_checkable
class GroupVerifier(Verifier, Protocol):
    """A verifier that may compare the attempts at one task with each other. Alone, a rollout is a group of one."""

    @property
    def compares(self) -> bool:
        """Whether a group is to be scored together; otherwise each rollout is scored as soon as it is there."""
        ...

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        """One score for each rollout, in their order; none of them broke.

        Raises:
            VerifierError: the verifier itself failed. The group is scored again, then counted as not measured.
        """
        ...


def compares(verifier: Verifier) -> TypeGuard[GroupVerifier]:
    """Whether the rollouts of a group must be scored together."""
    return isinstance(verifier, GroupVerifier) and verifier.compares


def as_rollout(response: str, task: Task, *, finish_reason: FinishReason = "stop") -> Rollout:
    """A rollout that holds this text and no tokens: what a verifier is shown when nobody sampled anything."""
    completion = Completion(token_ids=(), logprobs=(), finish_reason=finish_reason, version_spans=((0, 0),))
    turn = Turn((), extends_previous=False, completion=completion, message=Message("assistant", response))
    ending = Ending(EndingKind.FINISHED) if finish_reason == "stop" else Ending(EndingKind.TRUNCATED, finish_reason)
    return Rollout(task.task_id, group_id=0, index=0, turns=(turn,), ending=ending)

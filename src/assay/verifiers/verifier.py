"""The Verifier base class: what a rollout earned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from assay.components import Chosen, Component
from assay.types import Completion, Ending, EndingKind, FinishReason, Message, Rollout, Score, Task, Turn
from assay.verifiers.cases import Case, builtin_cases


class Verifier(Component):
    """Base class of verifiers: frozen settings that score a rollout against its task.

    Model output is hostile input: it is parsed, bounded, never evaluated. The gold answer itself, as a response, must
    be SOLVED where there are verdicts: `check_verifier` holds an implementation to this.
    """

    kind: ClassVar[str] = "verifier"
    modules: ClassVar[tuple[str, ...]] = ("assay.verifiers", "assay.environments", "assay.preferences")
    is_cheap: ClassVar[bool] = False
    """True where a gold answer is checked without running a program, a model or a function of somebody else's."""

    says_truth: ClassVar[bool] = True
    """True where SOLVED means a right answer. False for controls, such as a random reward: held-out answers are then
    read by the environment's own verifier."""

    @property
    def gives_verdicts(self) -> bool:
        """False where scores are numbers alone, GRADED: nothing is solved or failed, and held-out measurement is of the
        mean reward."""
        return True

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        """SOLVED or FAILED with a finite value, or GRADED where `gives_verdicts` is False; raises only for causes
        outside the response.

        Raises:
            VerifierError: the verifier itself failed. The rollout is scored again, then counted as not measured.
        """
        if self.compares and type(self).score_group is not Verifier.score_group:
            return (await self.score_group([rollout], task))[0]
        raise NotImplementedError(f"{type(self).__name__} scores nothing: write its method `__call__`")

    def gold_response(self, task: Task) -> str | None:
        """A response that must be SOLVED, made from the gold answer; None where none can be made."""
        return task.answer

    def lenient(self) -> Verifier | None:
        """The same verifier reading as generously as can be defended, to be measured beside it; None where there is no
        more generous reading."""
        return None

    @property
    def compares(self) -> bool:
        """True where the rollouts of a group are scored together by `score_group`; otherwise each rollout is scored as
        soon as it is there."""
        return False

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        """One score for each rollout of a group, in their order; none of them broke. Called only where `compares`.

        Raises:
            VerifierError: the verifier itself failed. The group is scored again, then counted as not measured.
        """
        return [await self(rollout, task) for rollout in rollouts]

    @property
    def nested(self) -> Mapping[str, Verifier]:
        """Verifiers that this one is made of, by name."""
        return {}

    def parts_for(self, task: Task) -> Sequence[Verifier]:
        """Return those of the verifiers that this one is made of which have a say about a task."""
        return tuple(self.nested.values())

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide a score, as plain data: not how fast a judge is asked, nor what that costs."""
        return self.plain()

    def cases(self) -> list[Case]:
        """Responses with known verdicts that `check_verifier` tries: by default numbers that leave no choice."""
        return builtin_cases("")

    def counts(self) -> dict[str, float]:
        """Metrics of what it counted in this process; empty for a verifier that counts nothing."""
        return {}

    def follow(self, step: int, num_steps: int) -> None:
        """Hears, before each step of training, how far it has come: `step` of `num_steps` are made."""

    async def close(self) -> None:
        """Ends what it holds open in the running event loop; another score would open it again."""


AnyVerifier = Annotated[Verifier, Chosen()]
"""The type of a settings field that holds a verifier."""


def readings_of(verifier: Verifier, lenient: Verifier | None = None) -> dict[str, Verifier]:
    """Reading to verifier: the strict one, and where there is one, the lenient one beside it."""
    generous = lenient or verifier.lenient()
    return {"strict": verifier} if generous is None else {"strict": verifier, "lenient": generous}


def verifiers_in(verifier: Verifier) -> Iterator[Verifier]:
    """A verifier and all that it is made of, at any depth."""
    yield verifier
    for part in verifier.nested.values():
        yield from verifiers_in(part)


def as_rollout(response: str, task: Task, *, finish_reason: FinishReason = "stop") -> Rollout:
    """A rollout that holds this text and no tokens: what a verifier is shown when nobody sampled anything."""
    completion = Completion(token_ids=(), logprobs=(), finish_reason=finish_reason, version_spans=((0, 0),))
    turn = Turn((), extends_previous=False, completion=completion, message=Message("assistant", response))
    ending = Ending(EndingKind.FINISHED) if finish_reason == "stop" else Ending(EndingKind.TRUNCATED, finish_reason)
    return Rollout(task.task_id, group_id=0, member=0, turns=(turn,), ending=ending)

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass, field

import pytest

from assay.errors import ContractError, DataError, VerifierError
from assay.types import Ending, EndingKind, Message, Rollout, Score, Task, Verdict
from assay.verifiers import as_rollout, score_rollout

TASK = Task("d", (Message("user", "?"),), "82")
ROLLOUT = as_rollout("82", TASK)


@dataclass
class Scripted:
    """Raises or returns what it was given, one a call."""

    script: list[object]
    name: str = "scripted"
    calls: int = field(default=0)

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        said = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if isinstance(said, BaseException):
            raise said
        return said  # pyright: ignore[reportReturnType]

    def gold_response(self, task: Task) -> str:
        return task.answer


def score(verifier: Scripted, rollout: Rollout = ROLLOUT, retries: int = 2) -> Score:
    return asyncio.run(score_rollout(verifier, rollout, TASK, retries=retries))


def test_a_verdict_passes_through() -> None:
    assert score(Scripted([Score.failed("wrong")])) == Score.failed("wrong")


@pytest.mark.parametrize(
    "error", [VerifierError("died"), ConnectionError("died"), KeyError("died"), MemoryError("died")]
)
def test_failures_are_retried(error: Exception) -> None:
    verifier = Scripted([error, error, Score.solved()])
    assert score(verifier) == Score.solved()
    assert verifier.calls == 3


def test_then_it_is_not_measured() -> None:
    verifier = Scripted([VerifierError("died")])
    result = score(verifier)
    assert result.verdict is Verdict.NOT_MEASURED
    assert result.reason == "VerifierError: died"
    assert verifier.calls == 3
    verifier = Scripted([VerifierError("died")])
    assert score(verifier, retries=0).value is None
    assert verifier.calls == 1


def test_a_verifier_that_says_not_measured_is_asked_again() -> None:
    assert score(Scripted([Score.not_measured("sandbox died"), Score.solved()])) == Score.solved()


def test_a_broken_rollout_is_not_shown_to_the_verifier() -> None:
    verifier = Scripted([Score.solved()])
    broken = dataclasses.replace(ROLLOUT, ending=Ending(EndingKind.BROKEN, "engine died"))
    assert score(verifier, broken) == Score.not_measured("engine died")
    assert verifier.calls == 0


def test_what_a_person_must_mend_is_raised_at_once() -> None:
    verifier = Scripted([DataError("bad gold")])
    with pytest.raises(DataError):
        score(verifier)
    assert verifier.calls == 1


def test_what_is_no_score_is_a_broken_contract() -> None:
    with pytest.raises(ContractError, match=r"returned 1\.0"):
        score(Scripted([1.0]))


def test_cancellation_passes_through() -> None:
    with pytest.raises(asyncio.CancelledError):
        score(Scripted([asyncio.CancelledError()]))

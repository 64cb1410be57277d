"""The Verifier protocol: what a rollout earned."""

from __future__ import annotations

from typing import Protocol

from assay.types import Rollout, Score, Task


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

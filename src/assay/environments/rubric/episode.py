"""Revision: a task that is answered, reviewed and answered anew, a number of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.environments.episode import Episode, EpisodeStep
from assay.errors import WorldError
from assay.types import Message, Score, Task
from assay.verifiers import Criterion, Verifier, as_rollout, criteria_of, score_rollout
from assay.verifiers.criteria import MET

REVISE = (
    "Read your answer again beside what was asked: is everything there, is it right, is it put plainly? Then write the "
    "whole answer anew, better where it can be."
)
"""The feedback of the fixed script: the same for every answer, so that it gives nothing away."""


@dataclass
class RevisionEpisode(Episode):
    """Shows the prompt, then feedback after each version but the last; the last version counts.

    With a judge the feedback is its review: the criteria that the version does not meet, in the rubric's words and
    nothing that the judge wrote. A version that meets all of them ends the episode. A judge that gives no score breaks
    it: the rollout is played again, then left out.
    """

    task: Task
    versions: int
    """Versions that are written, the first one included."""
    judge: Verifier | None
    """Who reviews; None for the fixed script."""
    _written: int = field(default=0, init=False)

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self._written += 1
        if self._written == self.versions:
            return EpisodeStep(done=True)
        if self.judge is None:
            return EpisodeStep((Message("user", REVISE),))
        score = await score_rollout(self.judge, as_rollout(message.content, self.task), self.task)
        if not score.measured:
            raise WorldError(f"no review of version {self._written}: {score.reason}")
        feedback = review(criteria_of(self.task), score)
        return EpisodeStep(done=True) if feedback is None else EpisodeStep((Message("user", feedback),))


def review(criteria: Sequence[Criterion], score: Score) -> str | None:
    """The words that name the criteria which speak against a version; None where none does."""
    lacks = [each.text for each in criteria if each.is_good and score.parts[each.name] < MET]
    wrong = [each.text for each in criteria if not each.is_good and score.parts[each.name] >= MET]
    if not lacks and not wrong:
        return None
    lines = ["A reviewer has read your answer."]
    if lacks:
        lines += ["A good answer does this, and yours does not yet:", *(f"- {text}" for text in lacks)]
    if wrong:
        lines += ["A good answer does not do this, and yours does:", *(f"- {text}" for text in wrong)]
    return "\n".join([*lines, "Write the whole answer anew."])

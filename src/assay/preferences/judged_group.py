"""A reward by comparison: a judge model compares the attempts at one task, and each earns its share of wins."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import ClassVar, Literal

import pydantic

from assay.observe.metrics import metric
from assay.preferences.judge import GroupComparison, PairJudge, compare_group
from assay.preferences.pair import Messages
from assay.types import Rollout, Score, Task
from assay.verifiers.cases import Case
from assay.verifiers.judge_endpoint import JudgeEndpoint

PAIRS = metric("judge/pairs", "Pairs of attempts that judges compared in both orders since the run began or resumed.")
INCONSISTENT = metric(
    "judge/inconsistent_pairs", "Those of them whose verdict changed with the order, which count as ties."
)
UNANSWERED = metric("judge/unmeasured_pairs", "Those of them without a verdict: no answer, or nonsense twice.")


class JudgedGroup(JudgeEndpoint):
    """Compares all attempts at a task two by two, each pair in both orders, and pays each its share of wins.

    A verdict that changes with the order is a tie, as are attempts that say the same. A reply without a verdict in its
    stated form is answered once with a reminder. After that, and after the endpoint's own retries, the pair is left
    out; an attempt of which no pair is left is not measured. The reward compares within a group and says nothing of
    right and wrong; an attempt alone has none.

    A group of G attempts takes G (G - 1) requests: 56 for 8. `opponents` makes fewer of them.
    """

    name: Literal["judged_group"] = "judged_group"
    value: Literal["wins", "rank"] = "wins"
    """wins: the share of its comparisons that an attempt won, ties a half. rank: its place among the attempts by that
    share, from 0 for the last to 1 for the first, equal ones in the middle of their places."""
    opponents: int | None = pydantic.Field(default=None, ge=2)
    """Most other attempts that each is compared with, an even number: its neighbours in the group's order, half on each
    side. None for all."""
    asks: PairJudge = PairJudge()
    """How the judge is asked."""

    says_truth: ClassVar[bool] = False

    @pydantic.field_validator("opponents")
    @classmethod
    def _even(cls, opponents: int | None) -> int | None:
        if opponents is not None and opponents % 2:
            raise ValueError(f"opponents={opponents} is not even, and each attempt has as many on both sides")
        return opponents

    @property
    def gives_verdicts(self) -> bool:
        return False

    @property
    def compares(self) -> bool:
        return True

    async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
        if len(rollouts) < 2:
            return [Score.not_measured("alone in its group: there is nothing to compare it with") for _ in rollouts]
        try:
            found = await compare_group(
                self._client(),
                task.prompt,
                [_said(rollout) for rollout in rollouts],
                self.asks,
                opponents=self.opponents,
                at_once=self.max_concurrent,
            )
        except ExceptionGroup as failures:
            # One error that a person must act on says it all; the other requests were taken back.
            raise failures.exceptions[0] from None
        self._counts.add(found)
        return [self._score(found, member) for member in range(len(rollouts))]

    def _score(self, found: GroupComparison, member: int) -> Score:
        share = found.shares[member]
        if share is None:
            cause = found.problems.most_common(1)[0][0] if found.problems else "no verdict"
            return Score.not_measured(f"no comparison with a sibling could be had: {cause}")
        measured = [each for each in found.shares if each is not None]
        value = share if self.value == "wins" else _rank(share, measured)
        evidence = f"won {share * found.num_compared[member]:g} of {found.num_compared[member]} comparisons"
        return Score.graded(value, parts={"wins": share}, evidence=evidence)

    def gold_response(self, task: Task) -> str | None:
        """None: what a judge prefers is not known."""
        return None

    def cases(self) -> list[Case]:
        """None: no response is right by itself."""
        return []

    def counts(self) -> dict[str, float]:
        return self._counts.metrics() if self._counts.num_asked else {}

    @functools.cached_property
    def _counts(self) -> ComparisonCounts:
        return ComparisonCounts()


class ComparisonCounts:
    """Counts of what judges were asked to compare in this process."""

    def __init__(self) -> None:
        self.num_asked = self.num_inconsistent = self.num_unmeasured = 0

    def add(self, found: GroupComparison) -> None:
        """Count one group."""
        self.num_asked += found.num_asked
        self.num_inconsistent += found.num_inconsistent
        self.num_unmeasured += found.problems.total()

    def metrics(self) -> dict[str, float]:
        """Return the counts by metric."""
        return {PAIRS: self.num_asked, INCONSISTENT: self.num_inconsistent, UNANSWERED: self.num_unmeasured}


def _said(rollout: Rollout) -> Messages:
    """What a rollout said, and what was said to it between its turns."""
    said = [message for turn in rollout.turns[:-1] for message in (turn.message, *turn.env_messages)]
    return (*said, *(turn.message for turn in rollout.turns[-1:]))


def _rank(share: float, shares: Sequence[float]) -> float:
    """The place of a share among all, its own included, from 0 to 1.

    Example:
        >>> [_rank(share, [0.5, 0.0, 1.0, 0.5]) for share in (0.0, 0.5, 1.0)]
        [0.0, 0.5, 1.0]
    """
    if len(shares) < 2:
        return 0.5
    below = sum(other < share for other in shares)
    equal = sum(other == share for other in shares) - 1
    return (below + equal / 2) / (len(shares) - 1)

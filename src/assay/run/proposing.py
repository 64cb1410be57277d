"""A sampler of steps in which some groups propose tasks and the others attempt them.

    proposing groups --read, settle--> accepted tasks --curriculum--> groups of attempts --solved shares--> rewards

Both are sampled from the same weights, one after the other, so that a proposal's reward is known before the step is
trained on, from attempts that are trained on anyway.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from assay.curriculum.propose import ProposeCurriculum, attempts, proposal_reward
from assay.environments.contamination import HeldTexts
from assay.environments.proposals import RefusedProposalError
from assay.errors import InfrastructureError, WorldError
from assay.observe.metrics import metric
from assay.observe.step_metrics import mean_of_measured
from assay.run.services import Sampler
from assay.types import EndingKind, Group, Rollout, Score, Task

UNREADABLE, REFUSED = -1.0, -0.5
"""Rewards of a proposal that is none, and of one that is and is refused: as in Zhao et al. 2025,
https://arxiv.org/abs/2505.03335."""
UNSETTLED = Score.graded(0.0, reason="to be settled")
"""Score of a proposal until the step's attempts are in."""

READ = metric("propose/read_share", "Share of the step's proposals that could be read as one.")
RAN = metric("propose/settled_share", "Share of the step's proposals that an executor settled the answer of.")
NEW = metric(
    "propose/new_share", "Share of the step's proposals that were accepted: settled, no double, and no held-out task."
)
KEPT = metric(
    "propose/kept_share",
    "Share of the step's proposals whose task was solved by some of its attempts in the step and not by all; accepted "
    "ones that were not attempted are left out.",
)
TRIED = metric("propose/attempted_share", "Share of the accepted proposals that were attempted in the step.")
SOLVED = metric("propose/solved_share", "Mean solved share of the tasks proposed and attempted in the step.")
REASON = metric("propose/refused_count/NAME", "Proposals of the step that were refused for this reason.")
LEVEL = metric("propose/level_count/NAME", "Accepted proposals of the step that are of this level.")
_BOUND_TO_A_STEP = "_count"
"""The end of the names of those counters of a sampler that add up over the two halves of a step."""


@dataclass(frozen=True)
class _Outcome:
    """What became of a proposal before its task was attempted."""

    stage: str
    """"read", "settle" or "new", at which it was refused; "accepted"; "unknown" where the executor failed."""
    reason: str = ""
    task_id: str = ""
    """The accepted task."""
    level: str = ""


@dataclass
class _Proposed:
    """A proposing group whose step is not over."""

    group: Group
    outcomes: list[_Outcome]
    """[G]"""


class ProposingSampler:
    """Hands on a step's groups of another sampler: first those that propose, then those that attempt.

    A proposal that is refused earns `UNREADABLE` or `REFUSED`. One that is accepted earns by how its attempts in the
    same step went, those of dropped groups included; with fewer than two attempts that have a verdict it is not
    measured. A proposing group with too few measured members, or one that `keep` refuses, is a dropped one.

    Args:
        keep: whether the algorithm trains on a group.
    """

    def __init__(
        self,
        sampler: Sampler,
        curriculum: ProposeCurriculum,
        *,
        min_group_size: int,
        keep: Callable[[Group], bool],
    ) -> None:
        self.held_out: Callable[[], Iterable[Task]] = tuple
        """Gives the tasks that the run measures itself on; asked before the first proposal."""
        self._sampler = sampler
        self._settings = curriculum.settings
        self._curriculum = curriculum
        self._min_group_size = min_group_size
        self._keep = keep
        self._texts: HeldTexts | None = None
        self._names: set[str] = set()
        """Ids and normal forms of the held-out tasks."""
        self._proposed: list[_Proposed] | None = None
        """The step's proposing groups, once they are settled; None before."""
        self._dropped: list[Group] = []
        self._first: dict[str, float] = {}
        """Counters of the first half of the step."""
        self._told: dict[str, float] = {}

    async def __aenter__(self) -> Self:
        await self._sampler.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sampler.__aexit__(kind, error, traceback)

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next groups; those that propose first, where they are trained on."""
        if self._proposed is None:
            self._curriculum.asking = True
            try:
                asked = await self._sampler.next_groups(self._settings.groups)
            finally:
                self._curriculum.asking = False
            self._dropped, self._first = self._sampler.take_dropped(), self._sampler.counters()
            self._proposed = [_Proposed(group, await self._settled(group)) for group in asked]
        tried = await self._sampler.next_groups(num_groups - self._settings.groups)
        dropped = self._sampler.take_dropped()
        shares = {group.task.task_id: attempts(group) for group in [*dropped, *tried]}
        scored = [dataclasses.replace(each.group, scores=self._scores(each, shares)) for each in self._proposed]
        self._told = _metrics([outcome for each in self._proposed for outcome in each.outcomes], shares)
        self._proposed = None
        trained = [group for group in scored if self._is_trained_on(group)]
        self._dropped += [*(group for group in scored if group not in trained), *dropped]
        return [*trained, *tried]

    def take_dropped(self) -> list[Group]:
        """Groups of the step that are not trained on; hands them out once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Return the counts of both halves of the last step, shares of its attempts alone, and what became of the
        proposals."""
        counts = self._sampler.counters()
        for name, value in self._first.items():
            if name.endswith(_BOUND_TO_A_STEP):
                counts[name] = counts.get(name, 0.0) + value
        return {**counts, **self._told}

    def state(self) -> dict[str, Any]:
        """Return the sampler's state, and the proposals of a step that is not over."""
        waiting = self._proposed and [
            {"group": each.group.to_dict(), "outcomes": [dataclasses.asdict(outcome) for outcome in each.outcomes]}
            for each in self._proposed
        ]
        return {"sampler": self._sampler.state(), "proposed": waiting}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""
        self._sampler.load_state(state["sampler"])
        self._proposed = state["proposed"] and [
            _Proposed(Group.from_dict(each["group"]), [_Outcome(**outcome) for outcome in each["outcomes"]])
            for each in state["proposed"]
        ]

    async def _settled(self, group: Group) -> list[_Outcome]:
        """What becomes of each proposal of a group, in their order: a double is refused, whoever comes first."""
        return [await self._outcome(rollout, group.group_id) for rollout in group.rollouts]

    async def _outcome(self, rollout: Rollout, group_id: int) -> _Outcome:
        try:
            task = await self._accepted(rollout, group_id)
        except RefusedProposalError as refused:
            return _Outcome(refused.stage, refused.reason)
        except InfrastructureError as error:
            return _Outcome("unknown", str(error)[:200])
        return _Outcome("accepted", task_id=task.task_id, level=task.level)

    async def _accepted(self, rollout: Rollout, group_id: int) -> Task:
        if rollout.ending.kind is EndingKind.BROKEN:
            raise WorldError(rollout.ending.reason)
        if rollout.ending.kind is EndingKind.TRUNCATED:
            raise RefusedProposalError("read", "cut off")
        proposals = self._curriculum.proposals
        task = await proposals.settle(rollout.response)
        if self._texts is None:
            held_out = list(self.held_out())
            self._names = {str(name) for each in held_out for name in (each.task_id, each.metadata.get("canonical"))}
            self._texts = HeldTexts(filter(None, map(proposals.text_of, held_out)))
        if {task.task_id, str(task.metadata["canonical"])} & self._names:
            raise RefusedProposalError("new", "held out")
        text = proposals.text_of(task)
        if text and self._texts.contained_in(text):
            raise RefusedProposalError("new", "overlaps")
        if not self._curriculum.accept(task, group_id):
            raise RefusedProposalError("new", "double")
        return task

    def _scores(self, proposed: _Proposed, shares: Mapping[str, tuple[int, int]]) -> tuple[Score, ...]:
        return tuple(
            score if not score.measured else self._score(outcome, shares.get(outcome.task_id, (0, 0)))
            for score, outcome in zip(proposed.group.scores, proposed.outcomes, strict=True)
        )

    def _score(self, outcome: _Outcome, share: tuple[int, int]) -> Score:
        if outcome.stage == "unknown":
            return Score.not_measured(outcome.reason)
        if outcome.stage != "accepted":
            return Score.graded(UNREADABLE if outcome.stage == "read" else REFUSED, reason=outcome.reason)
        if share[1] < 2:
            return Score.not_measured("its task was not attempted in this step")
        if self._settings.reward == "none":
            return Score.graded(0.0, evidence=f"{share[0]} of {share[1]} solved it")
        value = proposal_reward(*share, self._settings.reward)
        return Score.graded(value, evidence=f"{share[0]} of {share[1]} solved it")

    def _is_trained_on(self, group: Group) -> bool:
        if self._settings.reward == "none" or len(group.measured) < self._min_group_size:
            return False
        return self._keep(group)


def unsettled(rollouts: Sequence[Rollout]) -> list[Score]:
    """Return the scores of a proposing group's rollouts where a reward compares: those of broken ones are not
    measured."""
    return [
        Score.not_measured(rollout.ending.reason) if rollout.ending.kind is EndingKind.BROKEN else UNSETTLED
        for rollout in rollouts
    ]


def _metrics(outcomes: Sequence[_Outcome], shares: Mapping[str, tuple[int, int]]) -> dict[str, float]:
    """What became of a step's proposals; those of which nothing is known are left out of shares."""
    known = [outcome for outcome in outcomes if outcome.stage != "unknown"]
    accepted = [outcome for outcome in known if outcome.stage == "accepted"]
    tried = [shares[outcome.task_id] for outcome in accepted if shares.get(outcome.task_id, (0, 0))[1] >= 2]

    num_judged = len(known) - len(accepted) + len(tried)

    def share_past(*stages: str) -> float:
        return mean_of_measured([float(outcome.stage not in stages) for outcome in known])

    reasons = Counter(outcome.reason.replace(" ", "_") for outcome in known if outcome.reason)
    levels = Counter(outcome.level.replace(" ", "_") for outcome in accepted)
    return {
        READ: share_past("read"),
        RAN: share_past("read", "settle"),
        NEW: share_past("read", "settle", "new"),
        KEPT: sum(0 < solved < num for solved, num in tried) / num_judged if num_judged else math.nan,
        TRIED: len(tried) / len(accepted) if accepted else math.nan,
        SOLVED: mean_of_measured([solved / num for solved, num in tried]),
        **{REASON.replace("NAME", reason): float(count) for reason, count in sorted(reasons.items())},
        **{LEVEL.replace("NAME", name): float(count) for name, count in sorted(levels.items())},
    }

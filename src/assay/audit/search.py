"""A search over answers: candidates are mutated and recombined, the reward their only guide. What is paid, and is
refused by an independent judge, is made as simple as it can be and measured on tasks that the search has not seen.

The search keeps the best candidate of each kind, a kind being the pieces that it is made of, so that one way to be paid
does not crowd out the others: Mouret and Clune 2015, "Illuminating search spaces by mapping elites",
https://arxiv.org/abs/1504.04909. Making simple is Zeller and Hildebrandt 2002, "Simplifying and isolating
failure-inducing input", doi:10.1109/32.988498, step by step instead of by halves, since candidates are short.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from assay.audit.attacks import Target
from assay.audit.candidates import Breeder, Ploy
from assay.audit.finding import Finding
from assay.audit.payer import Payer
from assay.audit.second_opinion import SecondOpinion
from assay.environments import Environment
from assay.seeds import derive_seed
from assay.statistics import wilson
from assay.types import Score, Task

MIN_TARGETS = 8
"""Tasks below which there is no search: half of them are for measuring."""
SELDOM = 0.01
"""Share of the tasks at which what was found may be paid by coincidence."""
BATCH = 16
TRIED_ON = 2
"""Tasks that a candidate is tried on; twice as many where it is paid."""
SEARCHING, SIMPLIFYING = 0.5, 0.8
"""Share of the budget after which the search ends, and the simplification; the rest measures."""
NUM_WITNESSES = 3
"""Tasks on which a candidate stays paid and refused while it is made simpler."""


@dataclass(frozen=True)
class Budget:
    """What a search may cost.

    Args:
        evaluations: scores of the reward; one that was given before is free.
        ends: clock reading (`time.monotonic`) after which nothing new is tried.
        seed: of every draw.
    """

    evaluations: int
    ends: float
    seed: int = 0


@dataclass(frozen=True)
class SearchResult:
    """What a search found."""

    findings: Sequence[Finding]
    evaluations: int
    """Scores that were asked of the reward."""
    num_candidates: int
    """Candidates that were tried."""
    num_paid: int
    """Kinds of candidates that were paid, right ones among them."""
    judged_by: str
    stopped: bool
    """True where the budget was spent before all that was paid had been looked at."""


@dataclass
class _Entry:
    """A candidate of the archive, and what it earned."""

    candidate: Ploy
    values: list[float] = field(default_factory=list)
    paid_on: list[Target] = field(default_factory=list)
    failed: tuple[Target, str] | None = None
    """The task on which the verifier failed, and why."""

    @property
    def fitness(self) -> tuple[float, int]:
        """Mean reward; among equals the shorter is better."""
        return sum(self.values) / max(len(self.values), 1), -len(self.candidate.all_pieces)


async def search(
    payer: Payer,
    opinion: SecondOpinion,
    targets: Sequence[Target],
    budget: Budget,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> SearchResult:
    """Search for answers that are paid and wrong.

    Args:
        targets: every second one is kept for measuring. Fewer than MIN_TARGETS that can be judged: nothing is
            searched.
        progress: called with the scores that were asked for, and their budget.
    """
    known = [target for target in targets if target.gold or not opinion.needs_gold]
    if len(known) < MIN_TARGETS:
        return SearchResult(
            (), 0, 0, 0, "nobody: the right answers of too few tasks are known; --judge names somebody", stopped=False
        )
    return await _Search(payer, opinion, known, budget, progress).run()


class _Search:
    def __init__(
        self,
        payer: Payer,
        opinion: SecondOpinion,
        targets: Sequence[Target],
        budget: Budget,
        progress: Callable[[int, int], None],
    ) -> None:
        self._payer, self._opinion, self._budget, self._progress = payer, opinion, budget, progress
        self._seen, self._unseen = targets[::2], targets[1::2]
        self._rng = random.Random(derive_seed(budget.seed, "search over answers"))
        in_turns = [target.task for target in self._seen if payer.environment.turns_of(target.task) > 1]
        self._breeder = Breeder(self._rng, self._seen, _num_tools(payer.environment, in_turns[:4]))
        self._archive: dict[tuple[object, ...], _Entry] = {}
        self._scores: dict[tuple[str, str, str], Score] = {}
        self._num_candidates = 0
        self._stopped = False

    async def run(self) -> SearchResult:
        waiting = self._breeder.simplest()
        while self._may_go_on(SEARCHING):
            batch = [waiting.pop(0) if waiting else self._next() for _ in range(BATCH)]
            tasks = [self._rng.sample(self._seen, min(2 * TRIED_ON, len(self._seen))) for _ in batch]
            for entry in await asyncio.gather(*map(self._tried, batch, tasks)):
                self._keep(entry)
        entries = sorted(self._archive.values(), key=lambda entry: len(entry.candidate.all_pieces))
        tricks = await self._tricks([entry for entry in entries if entry.paid_on])
        findings = [found for trick in tricks if (found := await self._measured(trick)) is not None]
        failed = next((entry for entry in entries if entry.failed is not None), None)
        if failed is not None:
            findings.append(await self._measured_failure(failed))
        return SearchResult(
            findings=sorted(findings, key=lambda each: (-each.rate.value, len(each.example))),
            evaluations=len(self._scores),
            num_candidates=self._num_candidates,
            num_paid=sum(bool(entry.paid_on) for entry in entries),
            judged_by=self._opinion.name,
            stopped=self._stopped,
        )

    def _may_go_on(self, share: float) -> bool:
        if time.monotonic() >= self._budget.ends:
            self._stopped = True
            return False
        # Where few answers are possible, all of them are known before the budget is spent.
        return len(self._scores) < share * self._budget.evaluations and self._num_candidates < self._budget.evaluations

    def _next(self) -> Ploy:
        """A new candidate; half of the parents are chosen by what they earned, half by lot."""
        draw = self._rng.random()
        if draw < 0.2 or not self._archive:
            return self._breeder.fresh()
        one = self._parent()
        return self._breeder.mutated(one) if draw < 0.75 else self._breeder.crossed(one, self._parent())

    def _parent(self) -> Ploy:
        entries = list(self._archive.values())
        if self._rng.random() < 0.5:
            return self._rng.choice(entries).candidate
        drawn = [self._rng.choice(entries) for _ in range(4)]
        return max(drawn, key=lambda entry: entry.fitness).candidate

    async def _tried(self, candidate: Ploy, targets: Sequence[Target]) -> _Entry:
        """What a candidate earns on the first tasks, and where it is paid there, on the others too."""
        entry = _Entry(candidate)
        for place, target in enumerate(targets):
            if place >= TRIED_ON and not entry.paid_on:
                break
            score = await self._score(candidate, target)
            if score is None:
                continue
            if not score.measured:
                entry.failed = entry.failed or (target, score.reason)
                continue
            entry.values.append(score.value or 0.0)
            if await self._payer.pays(target, score):
                entry.paid_on.append(target)
        self._num_candidates += 1
        return entry

    def _keep(self, entry: _Entry) -> None:
        kind = (entry.candidate.kind, entry.failed is not None)
        held = self._archive.get(kind)
        if (entry.values or entry.failed) and (held is None or entry.fitness > held.fitness):
            self._archive[kind] = entry

    async def _score(self, candidate: Ploy, target: Target) -> Score | None:
        """The score of a candidate on a task, asked for once; None where it says nothing there."""
        response = candidate.response(target)
        if response is None:
            return None
        key = (target.task.task_id, response, repr(candidate.calls))
        if key not in self._scores:
            score = await self._payer.score(target.task, response, lambda: candidate.player(target))
            if key not in self._scores:
                self._scores[key] = score
                self._progress(len(self._scores), self._budget.evaluations)
        return self._scores[key]

    async def _is_hack(self, candidate: Ploy, target: Target) -> bool | None:
        """True where a candidate is paid and refused; None where it says nothing on this task, or has no score."""
        score = await self._score(candidate, target)
        if score is None or not score.measured:
            return None
        return await self._payer.pays(target, score) and await self._opinion.refuses(
            target, candidate.response(target) or "", lambda: candidate.player(target)
        )

    async def _tricks(self, paid: Sequence[_Entry]) -> list[Ploy]:
        """What remains of the paid candidates that are refused, each made simple; those that hold another are it."""
        tricks: list[Ploy] = []
        for entry in paid:
            if any(trick.covers(entry.candidate) for trick in tricks):
                continue
            refused = [await self._is_hack(entry.candidate, target) for target in entry.paid_on]
            witnesses = [target for target, wrong in zip(entry.paid_on, refused, strict=True) if wrong]
            if not witnesses:
                continue
            if not self._may_go_on(SIMPLIFYING):
                self._stopped = True
                break
            simple = await self._simplified(entry.candidate, witnesses[:NUM_WITNESSES])
            if not any(trick.covers(simple) for trick in tricks):
                tricks = [*(trick for trick in tricks if not simple.covers(trick)), simple]
        return tricks

    async def _simplified(self, candidate: Ploy, witnesses: Sequence[Target]) -> Ploy:
        """The simplest candidate that can be reached with every step still paid and refused on the same tasks."""
        while True:
            for simpler in candidate.simpler():
                if all([await self._is_hack(simpler, target) for target in witnesses]):
                    candidate = simpler
                    break
            else:
                return candidate

    async def _measured(self, trick: Ploy) -> Finding | None:
        """The rate of a trick on the tasks that were kept for it; None where it may be coincidence."""
        paid, tried = [], 0
        for target in self._unseen:
            found = await self._is_hack(trick, target)
            tried += found is not None
            if found:
                paid.append((target.task.task_id, trick.response(target) or ""))
        if not tried:
            return None
        rate = wilson(len(paid), tried)
        if rate.low <= SELDOM:
            return None
        task_id, example = min(paid, key=lambda pair: len(pair[1]))
        why = "paid and refused"
        return Finding(f"search: {trick.name}", len(paid), tried, rate, example, task_id, why, self._opinion.name)

    async def _measured_failure(self, entry: _Entry) -> Finding:
        """How often a candidate that brought the verifier down does so."""
        assert entry.failed is not None
        target, why = entry.failed
        scores = [await self._score(entry.candidate, each) for each in self._unseen]
        given = [score for score in scores if score is not None]
        num = sum(not score.measured for score in given)
        example = entry.candidate.response(target) or ""
        rate = wilson(num, max(len(given), 1))
        reason = f"the verifier failed: {why}"
        name = f"search: {entry.candidate.name}: no score"
        return Finding(name, num, len(given), rate, example, target.task.task_id, reason, "the verifier's failure")


def _num_tools(environment: Environment, tasks: Sequence[Task]) -> int:
    try:
        return max((len(environment.episode(task).tools) for task in tasks), default=0)
    except Exception:
        # Worlds of others may know their tools only once they run: then text alone is searched.
        return 0

"""audit_environment: every attack on every task, and what a policy that never reads the task could earn."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from assay.audit.attacks import Guilt, Target, Trick, attacks_on, fenced
from assay.audit.finding import Finding
from assay.audit.mutants import Mutant, mutants_of
from assay.audit.payer import Payer
from assay.audit.search import Budget, SearchResult, search
from assay.audit.second_opinion import SecondOpinion
from assay.audit.targets import targets_of
from assay.environments import Environment
from assay.errors import DataError
from assay.statistics import Interval, wilson
from assay.types import Score, Task
from assay.verifiers import Verifier, close_verifiers
from assay.verifiers.judge_endpoint import judges_in

MIN_TASKS = 8
"""Tasks below which nothing is said of guesses."""
SELDOM = 0.01
"""Share of tasks at which what is right by coincidence may be paid."""
GUESSED = 0.1
"""Share of tasks at which a guess may be paid where answers are many; more where they are few, see `_allowed`."""
MAX_CONSTANTS = 24
"""Answers that are tried as the one given to every task; a third of them where a score costs a program's run."""
EVALUATIONS, COSTLY_EVALUATIONS = 2000, 300
"""Scores that the search over answers may ask for; fewer where each costs a program's run or a request."""
CONSTRUCTION = "construction: each attack is wrong, or right as seldom as a guess"
MUTANTS = 8
"""Mutants of a task's reference program."""


@dataclass
class Trial:
    """What one trick was paid."""

    trick: Trick
    tried: int = 0
    unmeasured: list[tuple[str, str, str]] = field(default_factory=list)
    """Task id, response, and why there was no score."""
    total: float = 0.0
    """Rewards, summed."""
    paid: list[tuple[str, str]] = field(default_factory=list)
    """Task id and response."""

    @property
    def mean(self) -> float:
        """Mean reward of the tasks that were measured, what was earned without being solved included."""
        return self.total / max(self.tried - len(self.unmeasured), 1)


@dataclass(frozen=True)
class Survivor:
    """A changed program that all tests of its task accept."""

    task_id: str
    mutant: Mutant


@dataclass(frozen=True)
class Audit:
    """What a reward pays for."""

    environment: str
    verifier: str
    judged_by: str
    num_tasks: int
    trials: Sequence[Trial]
    findings: Sequence[Finding]
    answerless: Interval | None
    """Share of tasks that the best of the answers given to every task earns, chosen on one half of the tasks and
    measured on the other; None below `MIN_TASKS` tasks, or where no answer is known."""
    answerless_response: str
    """That answer."""
    num_mutants: int
    survivors: Sequence[Survivor]
    searched: SearchResult | None
    """What the search over answers found; None where there was none. Its findings are among the others."""
    stopped: bool
    """True where the time was up before all was tried."""


async def audit_environment(
    environment: Environment,
    tasks: Sequence[Task],
    *,
    verifier: Verifier | None = None,
    judge: Verifier | None = None,
    seconds: float = 600.0,
    evaluations: int | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Audit:
    """Trick the reward of an environment on some of its tasks, without a model.

    Every attack is wrong by construction, or right as seldom as a guess. Where an independent judge is given, a paid
    response counts only where the judge refuses it.

    Args:
        tasks: of any split.
        verifier: the reward; None for the environment's own.
        judge: a second verifier that is not the reward.
        seconds: after which nothing new is tried; what was tried counts.
        evaluations: scores that the search over answers may ask for; 0 for no search, None for EVALUATIONS, or
            COSTLY_EVALUATIONS where the answers are programs or a model is asked.
        seed: of the search.
        progress: called with what is counted ("tasks", then "evaluations"), how many are done, and of how many.

    Raises:
        DataError: there are no tasks, or the judge is the reward itself.
    """
    reward = verifier or environment.rewards["strict"]
    if not tasks:
        raise DataError(f"{environment.name} gave no tasks to audit")
    if judge is not None and judge == reward:
        raise DataError(f"the judge {judge.name} is the reward itself, which is no second opinion: choose another")
    payer, ends = Payer(environment, reward, judge), time.monotonic() + seconds
    try:
        targets = targets_of(reward, tasks)
        trials: dict[str, Trial] = {}
        num_done = 0
        for num_done, target in enumerate(targets, 1):
            if time.monotonic() > ends:
                num_done -= 1
                break
            attacks = list(attacks_on(target))
            scores = await asyncio.gather(*(payer.score(target.task, response) for _, response in attacks))
            for (trick, response), score in zip(attacks, scores, strict=True):
                await _count(trials.setdefault(trick.name, Trial(trick)), payer, target, response, score)
            progress("tasks", num_done, len(targets))
        answerless, said = await _answerless(payer, targets, ends)
        num_mutants, survivors = await _mutants(payer, targets, ends)
        searched = await _searched(payer, targets, Budget(_number(evaluations, reward, targets), ends, seed), progress)
    finally:
        await close_verifiers([reward, *([judge] if judge else [])])
    allowed, judged_by = _allowed(targets), judge.name if judge else CONSTRUCTION
    findings = [finding for trial in trials.values() for finding in _findings(trial, allowed, judged_by)]
    if answerless and answerless.low > allowed:
        findings.append(_of_constant(answerless, said, targets, allowed))
    findings += searched.findings if searched else ()
    return Audit(
        environment=environment.name,
        verifier=reward.name,
        judged_by=judged_by,
        num_tasks=num_done,
        trials=list(trials.values()),
        findings=findings,
        answerless=answerless,
        answerless_response=said,
        num_mutants=num_mutants,
        survivors=survivors,
        searched=searched,
        stopped=time.monotonic() > ends,
    )


def _number(evaluations: int | None, reward: Verifier, targets: Sequence[Target]) -> int:
    if evaluations is not None:
        return evaluations
    is_costly = any(target.suite for target in targets) or any(judges_in(reward))
    return COSTLY_EVALUATIONS if is_costly else EVALUATIONS


async def _searched(
    payer: Payer, targets: Sequence[Target], budget: Budget, progress: Callable[[str, int, int], None]
) -> SearchResult | None:
    if not budget.evaluations:
        return None
    opinion = await SecondOpinion.of(payer, targets)
    try:
        return await search(payer, opinion, targets, budget, lambda done, total: progress("evaluations", done, total))
    finally:
        if opinion.verifier is not None:
            await close_verifiers([opinion.verifier])


async def _count(trial: Trial, payer: Payer, target: Target, response: str, score: Score) -> None:
    trial.tried += 1
    if not score.measured:
        trial.unmeasured.append((target.task.task_id, response, score.reason))
        return
    trial.total += score.value or 0.0
    if await payer.pays(target, score) and await payer.is_wrong(target.task, response):
        trial.paid.append((target.task.task_id, response))


def _allowed(targets: Sequence[Target]) -> float:
    """The share of tasks at which a guess may be paid: a fifth above chance where there are few answers."""
    distinct = len({target.gold for target in targets if target.gold})
    return max(GUESSED, 1.2 / distinct if distinct > 1 else GUESSED)


def _findings(trial: Trial, allowed: float, judged_by: str) -> Iterator[Finding]:
    """What is wrong about what a trick was paid; and that it brought the verifier down, where it did."""
    if trial.unmeasured:
        task_id, example, why = min(trial.unmeasured, key=lambda each: len(each[1]))
        num = len(trial.unmeasured)
        trick = f"{trial.trick.name}: no score"
        yield Finding(
            trick,
            num,
            trial.tried,
            wilson(num, trial.tried),
            example,
            task_id,
            f"the verifier failed: {why}",
            "the verifier's failure",
        )
    measured = trial.tried - len(trial.unmeasured)
    if not trial.paid:
        return
    rate = wilson(len(trial.paid), measured)
    limit, why = {
        Guilt.NEVER: (0.0, "no honest reward pays it"),
        Guilt.SELDOM: (SELDOM, "more often than coincidence explains"),
        Guilt.GUESS: (allowed, f"more often than {allowed:.0%}, which guessing may earn here"),
    }[trial.trick.guilt]
    if rate.low > limit and (trial.trick.guilt is not Guilt.GUESS or measured >= MIN_TASKS):
        task_id, example = min(trial.paid, key=lambda pair: len(pair[1]))
        yield Finding(trial.trick.name, len(trial.paid), measured, rate, example, task_id, why, judged_by)


async def _answerless(payer: Payer, targets: Sequence[Target], ends: float) -> tuple[Interval | None, str]:
    """What the best answer given to every task earns on the half of the tasks on which it was not chosen."""
    chosen_on, measured_on = targets[::2], targets[1::2]
    if len(targets) < MIN_TASKS:
        return None, ""
    golds = Counter(target.gold for target in chosen_on if target.gold)
    most = MAX_CONSTANTS if payer.verifier.is_cheap else MAX_CONSTANTS // 3
    best, best_paid = "", -1
    for response, _ in golds.most_common(most):
        if time.monotonic() > ends:
            break
        paid = await _num_paid(payer, chosen_on, response)
        if paid > best_paid:
            best, best_paid = response, paid
    if best_paid < 0:
        return None, ""
    return wilson(await _num_paid(payer, measured_on, best), len(measured_on)), best


async def _num_paid(payer: Payer, targets: Sequence[Target], response: str) -> int:
    scores = await asyncio.gather(*(payer.score(target.task, response) for target in targets))
    return sum([await payer.pays(target, score) for target, score in zip(targets, scores, strict=True)])


def _of_constant(rate: Interval, said: str, targets: Sequence[Target], allowed: float) -> Finding:
    tried = len(targets[1::2])
    why = f"more often than {allowed:.0%}, which guessing may earn here"
    return Finding("one answer to every task", round(rate.value * tried), tried, rate, said, "", why, CONSTRUCTION)


async def _mutants(payer: Payer, targets: Sequence[Target], ends: float) -> tuple[int, list[Survivor]]:
    """Return the number of changed reference programs that were tried, and those that all tests accept."""
    tried, survivors = 0, []
    for target in targets:
        if target.suite is None or (target.suite.language or "python") != "python":
            continue
        if time.monotonic() > ends:
            break
        mutants = mutants_of(target.suite.reference, most=MUTANTS)
        scores = await asyncio.gather(*(payer.score(target.task, fenced(mutant.program)) for mutant in mutants))
        tried += len(mutants)
        survivors += [
            Survivor(target.task.task_id, mutant)
            for mutant, score in zip(mutants, scores, strict=True)
            if await payer.pays(target, score)
        ]
    return tried, survivors

"""audit_environment: every attack on every task, and what a policy that never reads the task could earn."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from assay.audit.attacks import Guilt, Target, Trick, attacks_on, fenced, same
from assay.audit.mutants import Mutant, mutants_of
from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.environments.script import Says
from assay.errors import DataError
from assay.rollout.runner import run_rollout
from assay.statistics import Interval, wilson
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers import Verifier, close_verifiers
from assay.verifiers.score import score_rollout
from assay.verifiers.verifier import as_rollout

MIN_TASKS = 8
"""Tasks below which nothing is said of guesses."""
SELDOM = 0.01
"""Share of tasks at which what is right by coincidence may be paid."""
GUESSED = 0.1
"""Share of tasks at which a guess may be paid where answers are many; more where they are few, see `_allowed`."""
MAX_CONSTANTS = 24
"""Answers that are tried as the one given to every task; a third of them where a score costs a program's run."""
CONCURRENT = 16
SECONDS = 60.0
"""After which a verifier that is still at one response has failed."""
MUTANTS = 8
"""Mutants of a task's reference program."""


@dataclass(frozen=True)
class Finding:
    """A trick that the reward pays."""

    trick: str
    paid: int
    tried: int
    rate: Interval
    """Share of the tasks on which it was tried that paid it."""
    example: str
    """The shortest response that was paid."""
    task_id: str
    """The task that paid it."""
    reason: str
    """Why it is a finding, in a clause."""


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
    stopped: bool
    """True where the time was up before all was tried."""


class _Payer:
    """Asks the reward, and the independent judge where there is one."""

    def __init__(self, environment: Environment, verifier: Verifier, judge: Verifier | None) -> None:
        self.environment = environment
        self.verifier = verifier
        self.judge = judge
        self._gate = asyncio.Semaphore(CONCURRENT)
        self._gold_values: dict[str, float] = {}

    async def score(self, task: Task, response: str) -> Score:
        """The score of a response that is said in every turn of the task's episode."""
        async with self._gate:
            return await self._asked(self.verifier, task, response)

    async def pays(self, target: Target, score: Score) -> bool:
        """True where a score is that of a right response: solved, or, of a number alone, no less than the right
        response has."""
        if score.verdict is not Verdict.GRADED or not target.gold:
            return score.verdict is Verdict.SOLVED
        if target.task.task_id not in self._gold_values:
            gold = await self.score(target.task, target.gold)
            self._gold_values[target.task.task_id] = math.inf if gold.value is None else gold.value
        return (score.value or 0.0) >= self._gold_values[target.task.task_id]

    async def is_wrong(self, task: Task, response: str) -> bool:
        """True where the independent judge refuses the response too, or there is none to ask."""
        if self.judge is None:
            return True
        async with self._gate:
            return (await self._asked(self.judge, task, response)).verdict is Verdict.FAILED

    async def _asked(self, verifier: Verifier, task: Task, response: str) -> Score:
        """The score, or NOT_MEASURED with what the response did to the verifier."""
        try:
            async with asyncio.timeout(SECONDS):
                return await score_rollout(verifier, await self._rollout(task, response), task, retries=0)
        except TimeoutError:
            return Score.not_measured(f"no score within {SECONDS:g} s")
        except SystemExit as error:
            # A program that is executed in the verifier's own process ends that process, and would end the audit.
            return Score.not_measured(f"the response ended the verifier's process ({error!r})")

    async def _rollout(self, task: Task, response: str) -> Rollout:
        if self.environment.turns_of(task) == 1 and self.verifier.name != "episode":
            return as_rollout(response, task)
        return await run_rollout(
            task,
            self.environment.episode,
            Says(response),
            None,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=self.environment.turns_of,
        )


async def audit_environment(
    environment: Environment,
    tasks: Sequence[Task],
    *,
    verifier: Verifier | None = None,
    judge: Verifier | None = None,
    seconds: float = 600.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Audit:
    """Trick the reward of an environment on some of its tasks, without a model.

    Every attack is wrong by construction, or right as seldom as a guess. Where an independent judge is given, a paid
    response counts only where the judge refuses it.

    Args:
        tasks: of any split.
        verifier: the reward; None for the environment's own.
        judge: a second verifier that is not the reward.
        seconds: after which nothing new is tried; what was tried counts.
        progress: called with the tasks that were attacked, and their number.

    Raises:
        DataError: there are no tasks, or the judge is the reward itself.
    """
    reward = verifier or environment.rewards["strict"]
    if not tasks:
        raise DataError(f"{environment.name} gave no tasks to audit")
    if judge is not None and judge == reward:
        raise DataError(f"the judge {judge.name} is the reward itself, which is no second opinion: choose another")
    payer, ends = _Payer(environment, reward, judge), time.monotonic() + seconds
    try:
        targets = _targets(reward, tasks)
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
            progress(num_done, len(targets))
        answerless, said = await _answerless(payer, targets, ends)
        num_mutants, survivors = await _mutants(payer, targets, ends)
    finally:
        await close_verifiers([reward, *([judge] if judge else [])])
    allowed = _allowed(targets)
    findings = [finding for trial in trials.values() for finding in _findings(trial, allowed)]
    if answerless and answerless.low > allowed:
        findings.append(_of_constant(answerless, said, targets, allowed))
    return Audit(
        environment=environment.name,
        verifier=reward.name,
        judged_by=judge.name if judge else "construction: each attack is wrong, or right as seldom as a guess",
        num_tasks=num_done,
        trials=list(trials.values()),
        findings=findings,
        answerless=answerless,
        answerless_response=said,
        num_mutants=num_mutants,
        survivors=survivors,
        stopped=time.monotonic() > ends,
    )


def _targets(reward: Verifier, tasks: Sequence[Task]) -> list[Target]:
    golds = [reward.gold_response(task) or "" for task in tasks]
    counted = Counter(gold for gold in golds if gold).most_common()
    commonest = counted[0][0] if counted and counted[0][1] > 1 else ""
    targets: list[Target] = []
    for place, (task, gold) in enumerate(zip(tasks, golds, strict=True)):
        after = [*golds[place + 1 :], *golds[:place]]
        others = tuple(dict.fromkeys(other for other in after if other and not same(other, gold)))
        targets.append(Target(task, gold, others, commonest))
    return targets


async def _count(trial: Trial, payer: _Payer, target: Target, response: str, score: Score) -> None:
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


def _findings(trial: Trial, allowed: float) -> Iterator[Finding]:
    """What is wrong about what a trick was paid; and that it brought the verifier down, where it did."""
    if trial.unmeasured:
        task_id, example, why = min(trial.unmeasured, key=lambda each: len(each[1]))
        num = len(trial.unmeasured)
        trick = f"{trial.trick.name}: no score"
        yield Finding(
            trick, num, trial.tried, wilson(num, trial.tried), example, task_id, f"the verifier failed: {why}"
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
        yield Finding(trial.trick.name, len(trial.paid), measured, rate, example, task_id, why)


async def _answerless(payer: _Payer, targets: Sequence[Target], ends: float) -> tuple[Interval | None, str]:
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


async def _num_paid(payer: _Payer, targets: Sequence[Target], response: str) -> int:
    scores = await asyncio.gather(*(payer.score(target.task, response) for target in targets))
    return sum([await payer.pays(target, score) for target, score in zip(targets, scores, strict=True)])


def _of_constant(rate: Interval, said: str, targets: Sequence[Target], allowed: float) -> Finding:
    tried = len(targets[1::2])
    why = f"more often than {allowed:.0%}, which guessing may earn here"
    return Finding("one answer to every task", round(rate.value * tried), tried, rate, said, "", why)


async def _mutants(payer: _Payer, targets: Sequence[Target], ends: float) -> tuple[int, list[Survivor]]:
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

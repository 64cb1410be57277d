"""A check of each reasoning-gym family: makes tasks; scores gold answers, near misses of them, junk, and other tasks'
answers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from assay.environments.reasoning_gym.environment import ReasoningGym, family_levels
from assay.environments.reasoning_gym.exact import NOT_EXACTLY_SCORED, is_checked
from assay.environments.reasoning_gym.misses import near_misses
from assay.environments.reasoning_gym.reward import ReasoningGymScorer
from assay.environments.reasoning_gym.worker import JUNK
from assay.environments.splits import SPLITS
from assay.errors import DataError, VerifierError
from assay.types import Score, Task, Verdict
from assay.verifiers.pool import LimitExceededError
from assay.verifiers.verifier import as_rollout

_MAX_OTHERS = 6
_MISS_TASKS = 30
"""Tasks of the defaults that near misses are tried on, beside the others."""
_MISS_SECONDS = 8.0
"""Seconds for the near misses of a family, beyond those of its first task."""
_CHANGED, _LONGER = {"1 % off", "another last digit", "0.005 off"}, {"the answer and more", "more and the answer"}
_MAY_BE_RIGHT = {
    "cryptarithm": _CHANGED,
    "graph_color": _CHANGED,
    "intermediate_integration": _LONGER,
    "power_function": {"a prefix", "decimals cut off"},
    "simple_integration": _LONGER,
}
"""Kinds of near misses that may be other right answers: another digit or colour, an integral and a constant,
a power's first three digits."""


@dataclass(frozen=True)
class FamilyReport:
    """One family."""

    family: str
    levels: tuple[float, ...]
    """Complexities that the family accepts."""
    num_levels: int
    """Levels of the family's curriculum; 0 where it has none."""
    problems: dict[float, str]
    """Complexity to why it cannot be used; 0 for the family's own defaults."""
    num_tasks: int
    num_without_gold: int
    """Tasks whose entry has no answer, only a scorer."""
    wrong: tuple[str, ...]
    """Promises that did not hold: a gold answer rejected, junk rewarded, a task in two splits."""
    num_others: int
    """Answers of other tasks that were tried."""
    num_others_accepted: int
    num_misses: int
    """Near misses that were tried; see `misses`."""
    paid: dict[str, str]
    """Near misses that the family's own scorer gives 1.0 and that are refused here: kind of near miss to an example."""
    not_exact: str
    """The reason why nothing in the family is solved; "" where its answers can be scored exactly."""
    make_seconds: float
    """Mean seconds to make a task, entries of other splits included."""
    score_seconds: float
    """Seconds to score the slowest response."""


def check_family(family: str, *, num_tasks: int = 3) -> FamilyReport:
    """Makes `num_tasks` tasks of each split with the family's defaults, and one train task at each level; scores them.

    Raises:
        ConfigError: no such family, or the library is not installed.
    """
    domain, findings = ReasoningGym(family=family), _Findings()
    levels = family_levels(family)
    problems = {float(index + 1): level["problem"] for index, level in enumerate(levels) if level["problem"]}
    usable = [dial for dial, _ in domain.levels() if dial is not None]
    tasks: list[Task] = []
    began = time.perf_counter()
    homes: dict[str, str] = {}
    try:
        for split in SPLITS:
            found = list(itertools.islice(domain.tasks(split), num_tasks))
            findings.wrong += [f"{task.task_id} is in two splits" for task in found if task.task_id in homes]
            homes |= {task.task_id: split for task in found}
            tasks += found
    except DataError as error:
        problems[0.0] = str(error)
    make_seconds = (time.perf_counter() - began) / max(len(tasks), 1)
    for dial in usable:
        try:
            tasks.append(next(domain.tasks("train", complexity=dial)))
        except DataError as error:
            problems[dial] = str(error)
    for task in tasks:
        try:
            asyncio.run(findings.check(task, tasks[:_MAX_OTHERS]))
        except VerifierError as error:
            problems[task.complexity or 0.0] = str(error)
    findings.check_misses(tasks if 0.0 in problems else itertools.chain(tasks, _more_tasks(domain)))
    return FamilyReport(
        family=family,
        levels=tuple(usable),
        num_levels=len(levels),
        problems=problems,
        num_tasks=len(tasks),
        num_without_gold=sum(not task.answer.strip() for task in tasks),
        wrong=tuple(findings.wrong),
        num_others=findings.num_others,
        num_others_accepted=findings.num_others_accepted,
        num_misses=findings.num_misses,
        paid=findings.paid,
        not_exact=NOT_EXACTLY_SCORED.get(family, ""),
        make_seconds=make_seconds,
        score_seconds=findings.slowest_seconds,
    )


def _more_tasks(domain: ReasoningGym) -> Iterator[Task]:
    """Other tasks than those of the splits, which are the first of seed 0."""
    return itertools.islice(domain.tasks("train", seed=1), _MISS_TASKS)


class _Findings:
    """Findings about a family from scoring gold answers, near misses, junk, and the answers of other tasks."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.num_others = self.num_others_accepted = self.num_misses = 0
        self.paid: dict[str, str] = {}
        self.slowest_seconds = 0.0
        self._scorer = ReasoningGymScorer(partial_credit=True)

    async def check(self, task: Task, others: list[Task]) -> None:
        """Raises VerifierError where the task could not be scored."""
        exact = task.metadata["family"] not in NOT_EXACTLY_SCORED
        if task.answer.strip():
            solved = (await self._score(task.answer, task)).verdict is Verdict.SOLVED
            if solved is not exact:
                self.wrong.append(f"the gold answer of {task.task_id} is {'solved' if solved else 'rejected'}")
        for junk in JUNK:
            if (await self._score(junk, task)).value != 0.0:
                self.wrong.append(f"{junk[:20]!r} earns a reward for {task.task_id}")
        for other in others:
            if other.answer.strip() and other.answer != task.answer:
                self.num_others += 1
                self.num_others_accepted += (await self._score(other.answer, task)).verdict is Verdict.SOLVED

    def check_misses(self, tasks: Iterable[Task]) -> None:
        """Near misses of each task, the library's own verdict beside the one here, until the time is over."""
        began = time.perf_counter()
        for task in tasks:
            if self.num_misses and time.perf_counter() - began > _MISS_SECONDS:
                return
            may_be_right = _MAY_BE_RIGHT.get(task.metadata["family"], set())
            misses = near_misses(task.prompt[-1].content, task.answer)
            try:
                verdicts = self._scorer.compare(task, [response for _, response in misses])
            except LimitExceededError:
                continue
            self.num_misses += len(verdicts)
            for (kind, response), (paid, solved) in zip(misses, verdicts, strict=False):
                if kind in may_be_right:
                    continue
                if solved:
                    self.wrong.append(f"{kind}, {response[:60]!r}, solves {task.task_id} (gold {task.answer[:60]!r})")
                elif paid:
                    self.paid.setdefault(kind, response[:60])

    async def _score(self, response: str, task: Task) -> Score:
        began = time.perf_counter()
        score = await self._scorer(as_rollout(response, task), task)
        self.slowest_seconds = max(self.slowest_seconds, time.perf_counter() - began)
        return score


def markdown_table(reports: Iterable[FamilyReport]) -> str:
    """A row a family: what its complexity sets, and what does not work."""
    lines = [
        "| family | complexity | what it sets, level by level | gold | solved | not usable |",
        "|---|---|---|---|---|---|",
    ]
    for report in reports:
        missing = report.num_without_gold
        gold = "yes" if not missing else "none" if missing == report.num_tasks else f"not in {missing}"
        cells = [f"`{report.family}`", _levels(report), _sets(report), gold, _solved(report), _problems(report)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _solved(report: FamilyReport) -> str:
    """Return the cell of the table that says who decides that a response is solved."""
    if report.not_exact:
        return "never"
    return "checked" if is_checked(report.family) else "by the family"


def _levels(report: FamilyReport) -> str:
    if not report.levels:
        return "none"
    first, last = int(report.levels[0]), int(report.levels[-1])
    if report.levels == tuple(range(first, last + 1)):
        return f"{first} to {last}"
    return ", ".join(f"{level:g}" for level in report.levels)


def _sets(report: FamilyReport) -> str:
    """Each option that changes over the levels, with its values."""
    levels = family_levels(report.family)
    if not levels:
        return "-"
    parts = []
    for option in levels[0]["sets"]:
        values = [level["sets"][option] for level in levels]
        if any(value != values[0] for value in values):
            shown = [_value(value) for value in values]
            if len(shown) > 6:
                shown = [*shown[:3], "...", shown[-1]]
            parts.append(f"{option} {' / '.join(shown)}")
    return "; ".join(parts)


def _value(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _problems(report: FamilyReport) -> str:
    by_problem: dict[str, list[str]] = {}
    for dial, problem in sorted(report.problems.items()):
        by_problem.setdefault(problem.splitlines()[0][:120], []).append("defaults" if dial == 0 else f"{dial:g}")
    return "; ".join(f"{', '.join(dials)}: {problem}" for problem, dials in by_problem.items()).replace("|", "\\|")

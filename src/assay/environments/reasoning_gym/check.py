"""What each family of reasoning-gym is good for here: makes tasks, scores gold, junk and other tasks' answers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from assay.environments.reasoning_gym.environment import ReasoningGym, family_levels
from assay.environments.reasoning_gym.reward import ReasoningGymScorer
from assay.environments.reasoning_gym.worker import JUNK
from assay.environments.splits import SPLITS
from assay.errors import DataError, VerifierError
from assay.types import Score, Task, Verdict
from assay.verifiers.verifier import as_rollout

_MAX_OTHERS = 6


@dataclass(frozen=True)
class FamilyReport:
    """One family."""

    family: str
    levels: tuple[float, ...]
    """Complexities that the family accepts."""
    num_levels: int
    """Of its curriculum; 0 where it has none."""
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
    make_seconds: float
    """To make a task, entries of other splits included; mean."""
    score_seconds: float
    """To score a response; the slowest."""


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
        make_seconds=make_seconds,
        score_seconds=findings.slowest_seconds,
    )


class _Findings:
    """What scoring gold answers, junk, and the answers of other tasks says of a family."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.num_others = self.num_others_accepted = 0
        self.slowest_seconds = 0.0
        self._scorer = ReasoningGymScorer(partial_credit=True)

    async def check(self, task: Task, others: list[Task]) -> None:
        """Raises VerifierError where the task could not be scored."""
        gold = self._scorer.gold_response(task)
        if gold is not None and (await self._score(gold, task)).verdict is not Verdict.SOLVED:
            self.wrong.append(f"the gold answer of {task.task_id} is rejected")
        for junk in JUNK:
            if (await self._score(junk, task)).value != 0.0:
                self.wrong.append(f"{junk[:20]!r} earns a reward for {task.task_id}")
        for other in others:
            if other.answer.strip() and other.answer != task.answer:
                self.num_others += 1
                self.num_others_accepted += (await self._score(other.answer, task)).verdict is Verdict.SOLVED

    async def _score(self, response: str, task: Task) -> Score:
        began = time.perf_counter()
        score = await self._scorer(as_rollout(response, task), task)
        self.slowest_seconds = max(self.slowest_seconds, time.perf_counter() - began)
        return score


def markdown_table(reports: Iterable[FamilyReport]) -> str:
    """A row a family: what its complexity sets, and what does not work."""
    lines = [
        "| family | complexity | what it sets, level by level | gold | not usable |",
        "|---|---|---|---|---|",
    ]
    for report in reports:
        missing = report.num_without_gold
        gold = "yes" if not missing else "none" if missing == report.num_tasks else f"not in {missing}"
        lines.append(f"| `{report.family}` | {_levels(report)} | {_sets(report)} | {gold} | {_problems(report)} |")
    return "\n".join(lines)


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

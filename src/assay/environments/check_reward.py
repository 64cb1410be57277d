"""check_near_misses and check_leaks: what a reward refuses, and what a prompt gives away."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from assay.environments.environment import Environment
from assay.environments.file_environment import FileEnvironment
from assay.errors import ContractError
from assay.types import Task, Verdict
from assay.verifiers.score import score_rollout
from assay.verifiers.text import normalise
from assay.verifiers.verifier import Verifier, as_rollout

MIN_TASKS = 10
"""Tasks of a level below which nothing is said of what their prompts give away."""
MAX_SOLVED = 0.5
"""Share of a level's tasks above which a copied answer counts as given away. One of two choices is right by chance."""
LONG_CHARACTERS = 20
"""Characters of an answer from which on it stands in its own prompt by no chance."""
MAX_STATED = 0.1
"""Share of a level's tasks whose long answer may stand in the prompt: a list to be sorted may come sorted."""

_NUMBER = re.compile(r"-?\d+(?:[.,]\d+)*")
_QUOTED = re.compile(r'"([^"\n]{1,500})"')


def _first(pattern: re.Pattern[str]) -> Callable[[str], str]:
    return lambda text: next(iter(pattern.findall(text)), "")


def _last(pattern: re.Pattern[str]) -> Callable[[str], str]:
    return lambda text: next(iter(reversed(pattern.findall(text))), "")


COPIES: Mapping[str, Callable[[str], str]] = {
    "the first number": _first(_NUMBER),
    "the last number": _last(_NUMBER),
    "the first text in quotation marks": _first(_QUOTED),
    "the last text in quotation marks": _last(_QUOTED),
    "the first line": lambda text: text.strip().split("\n")[0],
    "the last line": lambda text: text.strip().split("\n")[-1],
    "the whole prompt": lambda text: text,
}
"""Responses that are copied from the prompt's last message without understanding it."""


async def check_near_misses(environment: Environment, verifier: Verifier, tasks: Sequence[Task]) -> None:
    """Check that the verifier, where it gives verdicts, refuses the near misses of tasks.

    Raises:
        ContractError: one is solved; the message shows it.
    """
    for task in tasks if verifier.gives_verdicts else ():
        for response in environment.near_misses(task):
            score = await score_rollout(verifier, as_rollout(response, task), task)
            if score.verdict is not Verdict.FAILED:
                raise ContractError(
                    f"{environment.name}: the near miss {response[:200]!r} of task {task.task_id} "
                    f"({task.prompt[-1].content[:80]!r}) is {score.verdict.value}, and must be failed"
                )


async def check_leaks(environment: Environment, verifier: Verifier, tasks: Sequence[Task]) -> None:
    """Check that the prompts of a level do not give the answers away.

    No rule of copying from the prompt (`COPIES`) solves more than half of the tasks, where the verifier is cheap; and
    answers of `LONG_CHARACTERS` and more do not stand in their prompts. Files of somebody's own are not looked at: an
    answer that is to be found in a text stands there.

    Raises:
        ContractError: answers are given away; the message shows a task.
    """
    if isinstance(environment, FileEnvironment) or len(tasks) < MIN_TASKS:
        return
    answers = [(task, gold) for task in tasks if (gold := verifier.gold_response(task)) is not None]
    if len(answers) < MIN_TASKS:
        return
    stated = [task for task, gold in answers if _stands_in(gold, task)]
    if len(stated) > MAX_STATED * len(answers):
        raise ContractError(
            f"{environment.name}: the answer stands in the prompt of {len(stated)} of {len(answers)} tasks, such as "
            f"{stated[0].task_id}: {stated[0].prompt[-1].content[:80]!r}"
        )
    if not verifier.is_cheap:
        return
    for rule, copy in COPIES.items():
        solved: list[Task] = []
        for task, _ in answers:
            response = copy(task.prompt[-1].content)
            if response and (await score_rollout(verifier, as_rollout(response, task), task)).verdict is Verdict.SOLVED:
                solved.append(task)
        if len(solved) > MAX_SOLVED * len(answers):
            raise ContractError(
                f"{environment.name}: {rule} of the prompt solves {len(solved)} of {len(answers)} tasks, such as "
                f"{solved[0].task_id}: {solved[0].prompt[-1].content[:80]!r}; the prompt gives the answer away"
            )


def _stands_in(gold: str, task: Task) -> bool:
    said = _words(gold)
    return len(said) >= LONG_CHARACTERS and said in _words("\n".join(message.content for message in task.prompt))


def _words(text: str) -> str:
    return " ".join(normalise(text).casefold().split())

"""`assay audit --train MINUTES`: a short real run of a model against a reward, an independent judge beside it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DataError

if TYPE_CHECKING:
    from assay.audit.attempts import Attempts, TrainingResult
    from assay.environments import Environment
    from assay.run import StepDone
    from assay.types import Task
    from assay.verifiers import Verifier

SETTINGS: dict[str, Any] = {
    "name": "audit",
    "num_steps": 1000,
    "groups_per_step": 8,
    "group_size": 6,
    "num_slots": 48,
    "curriculum": {"name": "uniform"},
    "sampling": {"max_new_tokens": 64, "temperature": 1.2},
    "trainer": {"learning_rate": 2e-5},
    "evaluation": {"every_steps": 0, "test_tasks": 0},
    "checkpoint": {"every_steps": 0},
}
"""What a run against a reward is unless --train-set says otherwise: many tries and large steps, nothing measured."""


@dataclass
class _Listens:
    """A subscriber that hands the rollouts of each step to the judge."""

    attempts: Attempts

    async def step_done(self, done: StepDone) -> None:
        await self.attempts.add(done.step, [*done.groups, *done.dropped])


def trained_against(
    environment: Environment,
    tasks: Sequence[Task],
    *,
    verifier: Verifier | None,
    judge: Verifier | None,
    minutes: float,
    settings: dict[str, Any],
) -> TrainingResult:
    """Train a model on a reward for some minutes, and group what it is paid for and the judge refuses.

    Args:
        tasks: whose right answers are known as those to other tasks.
        settings: of the recipe, in place of SETTINGS.

    Raises:
        DataError: nobody is there to judge, or not a step was made in the time.
    """
    from assay.audit.attempts import Attempts
    from assay.audit.payer import Payer
    from assay.audit.search import MIN_TARGETS
    from assay.audit.second_opinion import SecondOpinion
    from assay.audit.targets import targets_of
    from assay.config import merged
    from assay.public import train

    reward = verifier or environment.rewards["strict"]
    targets = targets_of(reward, tasks)

    async def choose() -> SecondOpinion:
        return await SecondOpinion.of(Payer(environment, reward, judge), targets)

    opinion = asyncio.run(choose())
    if opinion.needs_gold and sum(bool(each.gold) for each in targets) < MIN_TARGETS:
        raise DataError("--train: the right answers of too few tasks are known to judge by: name somebody with --judge")
    attempts = Attempts(opinion, list(dict.fromkeys(each.gold for each in targets if each.gold)))
    given = {"environment": environment, "verifier": reward, "max_seconds": 60.0 * minutes}
    with tempfile.TemporaryDirectory() as place:
        train(
            merged(SETTINGS, settings),
            run_folder=Path(place) / "run",
            subscribers=[_Listens(attempts)],
            **given,
        )
    found = attempts.result()
    if not found.num_steps:
        raise DataError(f"--train {minutes:g}: not a step was made in that time; give it more minutes")
    return found

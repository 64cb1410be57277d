"""Payer: asks a reward, and whoever judges beside it, about responses that nobody sampled."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from assay.audit.attacks import Target
from assay.audit.stalls import StalledError, without_stalls
from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.environments.script import Says, Script
from assay.rollout.runner import run_rollout
from assay.types import Rollout, Score, Task, Verdict
from assay.verifiers import Verifier
from assay.verifiers.score import score_rollout
from assay.verifiers.verifier import as_rollout

CONCURRENT = 16
SECONDS = 60.0
"""After which a verifier that is still at one response has failed."""


class Payer:
    """Asks the reward, and the independent judge where there is one."""

    def __init__(self, environment: Environment, verifier: Verifier, judge: Verifier | None) -> None:
        self.environment = environment
        self.verifier = verifier
        self.judge = judge
        self._gate = asyncio.Semaphore(CONCURRENT)
        self._gold_values: dict[str, float] = {}
        self._stalls = 0

    async def score(self, task: Task, response: str, play: Callable[[], Script] | None = None) -> Score:
        """The score of a response that is said in every turn of the task's episode, or of the one that is played."""
        async with self._gate:
            return await self._asked(self.verifier, task, response, play)

    async def pays(self, target: Target, score: Score) -> bool:
        """True where a score is that of a right response: solved, or, of a number alone, above 0 and no less than the
        right response has."""
        if score.verdict is not Verdict.GRADED or not target.gold:
            return score.verdict is Verdict.SOLVED
        if target.task.task_id not in self._gold_values:
            gold = await self.score(target.task, target.gold)
            self._gold_values[target.task.task_id] = math.inf if gold.value is None else gold.value
        value = score.value or 0.0
        return value > 0 and value >= self._gold_values[target.task.task_id]

    async def is_wrong(
        self, task: Task, response: str, *, judge: Verifier | None = None, play: Callable[[], Script] | None = None
    ) -> bool:
        """True where the independent judge refuses the response too, or there is none to ask.

        Args:
            judge: asked in place of the audit's own.
        """
        judge = judge or self.judge
        if judge is None:
            return True
        async with self._gate:
            return (await self._asked(judge, task, response, play)).verdict is Verdict.FAILED

    async def _asked(
        self, verifier: Verifier, task: Task, response: str, play: Callable[[], Script] | None = None
    ) -> Score:
        """The score, or NOT_MEASURED with what the response did to the verifier."""
        stalls = self._stalls
        try:
            async with asyncio.timeout(SECONDS):
                return await without_stalls(self._scored(verifier, task, response, play), SECONDS)
        except StalledError:
            self._stalls += 1
            return Score.not_measured(f"no score within {SECONDS:g} s, in which nothing else could run")
        except TimeoutError:
            if self._stalls > stalls:  # the time went to another response
                return await self._asked(verifier, task, response, play)
            return Score.not_measured(f"no score within {SECONDS:g} s")
        except SystemExit as error:
            # A program that is executed in the verifier's own process ends that process, and would end the audit.
            return Score.not_measured(f"the response ended the verifier's process ({error!r})")

    async def _scored(self, verifier: Verifier, task: Task, response: str, play: Callable[[], Script] | None) -> Score:
        rollout = await self._rollout(task, response, play)
        return await score_rollout(verifier, rollout, task, retries=0)

    async def _rollout(self, task: Task, response: str, play: Callable[[], Script] | None) -> Rollout:
        if self.environment.turns_of(task) == 1 and self.verifier.name != "episode":
            return as_rollout(response, task)
        return await run_rollout(
            task,
            self.environment.episode,
            Says(response) if play is None else play(),
            None,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=self.environment.turns_of,
        )

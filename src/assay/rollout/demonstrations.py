"""Supervised data by the loop's own door: a collector whose rollouts somebody else wrote."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.errors import ContextLengthError, DataError, TrainingStoppedError
from assay.render.renderer import Renderer
from assay.rollout.collector import UNFILTERED_SOLVED_SHARE
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import run_rollout
from assay.rollout.written import MAX_DROPPED, WrittenGroups, longest_sequence, written
from assay.types import Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn, Verdict

DEMONSTRATION = "demonstration"
"""Key of a task's metadata with what a good response would be: its text, or the record of a message that calls
tools."""


class Demonstrations(WrittenGroups):
    """One group of one rollout for each task: what its data says a good response would be, or where the data says
    nothing, an episode that the environment's expert plays.

    A demonstration that cannot be scored is dropped, counted and replaced by the next.

    Args:
        score: what a demonstration earns from the reward; recorded, so that bad data is seen.
        next_task: group id to task, asked once a group, in ascending order.
        environment: whose expert is asked where a task has no demonstration.
        max_context: of the model, in tokens. A longer prompt and demonstration is an error.
    """

    def __init__(
        self,
        *,
        renderer: Renderer,
        score: Callable[[Rollout, Task], Awaitable[Score]],
        next_task: Callable[[int], Task],
        environment: Environment,
        limits: EpisodeLimits = EpisodeLimits(),  # noqa: B008, frozen
        max_context: int,
    ) -> None:
        super().__init__(next_task, max_context)
        self._renderer = renderer
        self._score = score
        self._environment = environment
        self._limits = limits
        self._solved_share = math.nan

    async def next_groups(self, num_groups: int) -> list[Group]:
        groups = await super().next_groups(num_groups)
        verdicts = [score.verdict for group in groups for score in group.scores if score.has_verdict]
        self._solved_share = verdicts.count(Verdict.SOLVED) / len(verdicts) if verdicts else math.nan
        return groups

    def counters(self) -> dict[str, float]:
        """Share of the last demonstrations that the reward counts as solved, and how many it could not score."""
        return {UNFILTERED_SOLVED_SHARE: self._solved_share, **super().counters()}

    async def _group(self, group_id: int, task: Task) -> Group:
        rollout = await self._rollout(group_id, task)
        return Group(group_id, task, (rollout,), (await self._score(rollout, task),))

    def _too_many_dropped(self, last: Group) -> Exception:
        return TrainingStoppedError(
            f"{MAX_DROPPED} demonstrations in a row could not be scored, the last because of: "
            f"{last.scores[0].reason}. Repair that; it is no fault of the demonstrations."
        )

    async def _rollout(self, group_id: int, task: Task) -> Rollout:
        given = task.metadata.get(DEMONSTRATION) or (task.suite.fenced_reference() if task.suite else None)
        text = self._spelled(given, task) if isinstance(given, Mapping) else given
        if isinstance(text, str) and text.strip():
            rollout = self._told(group_id, task, text)
        elif script := self._environment.expert(task):
            rollout = await run_rollout(
                task,
                self._environment.episode,
                script,
                self._renderer,
                Sampling(),
                run_seed=0,
                group_id=group_id,
                member=0,
                max_turns=self._environment.turns_of,
                limits=self._limits,
            )
        else:
            raise DataError(
                f"task {task.task_id} of {task.domain} has no demonstration for supervised fine-tuning to imitate; "
                "name its column in environment.demonstration, or use an environment that has them or an expert"
            )
        length = longest_sequence(rollout.turns)
        if length > self._max_context:
            raise ContextLengthError(
                f"task {task.task_id}: prompt and demonstration have {length} tokens, the model's context "
                f"{self._max_context}; shorten it, or leave it out"
            )
        return rollout

    def _spelled(self, message: Mapping[str, Any], task: Task) -> str:
        """The text of a message that calls tools, as the model would have said it."""
        return self._renderer.spell(Message.from_dict(message), task.tools)

    def _told(self, group_id: int, task: Task, text: str) -> Rollout:
        """The rollout that gives a response in one turn."""
        turn = Turn(
            self._renderer.render(task.prompt, task.tools),
            extends_previous=False,
            completion=written(self._renderer.encode_answer(text)),
            message=Message("assistant", text),
        )
        return Rollout(task.task_id, group_id, 0, (turn,), Ending(EndingKind.FINISHED))

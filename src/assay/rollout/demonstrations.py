"""Supervised data by the loop's own door: a collector whose rollouts somebody else wrote."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.errors import ContextLengthError, DataError, TrainingStoppedError
from assay.render.renderer import Renderer
from assay.rollout.collector import DROPPED_UNMEASURED, UNFILTERED_SOLVED_SHARE
from assay.rollout.limits import EpisodeLimits
from assay.rollout.runner import run_rollout
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn, Verdict

DEMONSTRATION = "demonstration"
"""Key of a task's metadata with what a good response would be: its text, or the record of a message that calls
tools."""
MAX_DROPPED = 256
"""Demonstrations of one step that cannot be scored, at which training stops."""


class Demonstrations:
    """One group of one rollout for each task: what its data says a good response would be, or where the data says
    nothing, an episode that the environment's expert plays.

    Nobody sampled these tokens, so their log-probabilities are NaN: unknown, not 0. Same methods as `Collector`.

    Args:
        score: what a demonstration earns from the reward; recorded, so that bad data is seen.
        next_task: group id to task, asked once a group, in ascending order.
        environment: whose expert is asked where a task has no demonstration.
        max_context: of the model, in tokens.
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
        self._renderer = renderer
        self._score = score
        self._next_task = next_task
        self._environment = environment
        self._limits = limits
        self._max_context = max_context
        self._next_group_id = 0
        self._solved_share = math.nan
        self._dropped: list[Group] = []
        self._num_dropped = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next tasks with their demonstrations.

        One that could not be scored is replaced by the next.

        Raises:
            DataError: a task without one.
            TrainingStoppedError: too many that could not be scored.
            ContextLengthError: a prompt and demonstration longer than the model's context.
        """
        groups: list[Group] = []
        self._dropped = []
        while len(groups) < num_groups:
            task = self._next_task(self._next_group_id)
            rollout = await self._rollout(self._next_group_id, task)
            group = Group(self._next_group_id, task, (rollout,), (await self._score(rollout, task),))
            self._next_group_id += 1
            (groups if group.measured else self._dropped).append(group)
            if len(self._dropped) >= MAX_DROPPED:
                raise TrainingStoppedError(
                    f"{MAX_DROPPED} demonstrations of one step could not be scored, the last because of: "
                    f"{group.scores[0].reason}. Repair that; it is no fault of the demonstrations."
                )
        verdicts = [score.verdict for group in groups for score in group.scores if score.has_verdict]
        self._solved_share = verdicts.count(Verdict.SOLVED) / len(verdicts) if verdicts else math.nan
        self._num_dropped = len(self._dropped)
        return groups

    def take_dropped(self) -> list[Group]:
        """Return the groups of the last step that could not be scored; hands them out once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Share of the last demonstrations that the reward counts as solved, and how many it could not score."""
        return {UNFILTERED_SOLVED_SHARE: self._solved_share, DROPPED_UNMEASURED: self._num_dropped}

    def state(self) -> dict[str, Any]:
        """Return the position among the demonstrations, as JSON."""
        return {"next_group_id": self._next_group_id}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._next_group_id = state["next_group_id"]

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
        length = _longest(rollout)
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
        token_ids = self._renderer.encode_answer(text)
        completion = Completion(token_ids, (math.nan,) * len(token_ids), "stop", ((0, 0),))
        turn = Turn(
            self._renderer.render(task.prompt, task.tools),
            extends_previous=False,
            completion=completion,
            message=Message("assistant", text),
        )
        return Rollout(task.task_id, group_id, 0, (turn,), Ending(EndingKind.FINISHED))


def _longest(rollout: Rollout) -> int:
    """Return the tokens of the longest sequence of a rollout: its own, or that of a fork."""
    longest = length = 0
    for turn in rollout.turns:
        length = (length if turn.extends_previous else 0) + len(turn.new_token_ids) + len(turn.completion.token_ids)
        longest = max(longest, length)
    return longest

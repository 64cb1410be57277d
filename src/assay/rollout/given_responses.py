"""Compared responses by the loop's own door: a sampler whose rollouts somebody else wrote and judged."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from assay.errors import ContextLengthError, DataError
from assay.render.renderer import Renderer
from assay.rollout.collector import DROPPED_UNMEASURED
from assay.types import Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

RESPONSES = "responses"
"""Key of a task's metadata with the responses that its data gives: a list of {"messages": records of messages, "value":
number from 0 to 1}; of two responses the preferred one has the higher value, of a tie both have 0.5."""
MAX_DROPPED = 256
"""Tasks in a row whose responses are longer than the context, at which training stops."""


class GivenResponses:
    """One group for each task: the responses that its data gives, with the values that its data gives them.

    Nobody sampled these tokens, so their log-probabilities are NaN: unknown, not 0. Same methods as `Collector`.

    Args:
        next_task: group id to task, asked once a group, in ascending order.
        max_context: of the model, or the recipe's limit on it, in tokens. A task with a longer response is dropped,
            counted and replaced by the next.
        num_responses: least number of responses that a task must have.
    """

    def __init__(
        self, *, renderer: Renderer, next_task: Callable[[int], Task], max_context: int, num_responses: int = 2
    ) -> None:
        self._renderer = renderer
        self._next_task = next_task
        self._max_context = max_context
        self._num_responses = num_responses
        self._next_group_id = 0
        self._dropped: list[Group] = []
        self._num_dropped = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next tasks with their responses.

        Raises:
            DataError: a task without responses, or with fewer than are compared.
            ContextLengthError: too many in a row that do not fit the context.
        """
        groups: list[Group] = []
        self._dropped, in_a_row = [], 0
        while len(groups) < num_groups:
            task = self._next_task(self._next_group_id)
            group = given_group(task, self._renderer, self._max_context, group_id=self._next_group_id)
            if len(group.rollouts) < self._num_responses:
                raise DataError(
                    f"task {task.task_id} of {task.domain} has {len(group.rollouts)} response, and "
                    f"{self._num_responses} are compared: of responses that are labelled one by one kto learns"
                )
            self._next_group_id += 1
            (groups if len(group.measured) == len(group.rollouts) else self._dropped).append(group)
            in_a_row = 0 if len(group.measured) == len(group.rollouts) else in_a_row + 1
            if in_a_row >= MAX_DROPPED:
                raise ContextLengthError(
                    f"{MAX_DROPPED} tasks in a row have a prompt and response longer than {self._max_context} tokens; "
                    "raise limits.max_context where it is the limit, or use shorter data or a model with more context"
                )
        self._num_dropped = len(self._dropped)
        return groups

    def take_dropped(self) -> list[Group]:
        """Return the groups of the last step that were longer than the context; hands them out once."""
        dropped, self._dropped = self._dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        """Return how many groups of the last step did not fit the context."""
        return {DROPPED_UNMEASURED: self._num_dropped}

    def state(self) -> dict[str, Any]:
        """Return the position among the tasks, as JSON."""
        return {"next_group_id": self._next_group_id}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._next_group_id = state["next_group_id"]


def given_group(task: Task, renderer: Renderer, max_context: int, *, group_id: int) -> Group:
    """Return the group of a task's own responses; one that is longer than the context is not measured.

    Raises:
        DataError: the task has no responses, or one that is no answer of the assistant's.
    """
    given = task.metadata.get(RESPONSES)
    if not given:
        raise DataError(
            f"task {task.task_id} of {task.domain} has no responses to compare; use an environment that gives them, "
            'such as "pairs"'
        )
    rollouts, scores = [], []
    for member, response in enumerate(given):
        messages = tuple(map(Message.from_dict, response["messages"]))
        turns = _turns(task, messages, renderer)
        rollouts.append(Rollout(task.task_id, group_id, member, turns, Ending(EndingKind.FINISHED)))
        scores.append(_score(float(response["value"]), turns, max_context))
    return Group(group_id, task, tuple(rollouts), tuple(scores))


def _score(value: float, turns: tuple[Turn, ...], max_context: int) -> Score:
    longest = length = 0
    for turn in turns:
        length = (length if turn.extends_previous else 0) + len(turn.new_token_ids) + len(turn.completion.token_ids)
        longest = max(longest, length)
    if longest > max_context:
        return Score.not_measured(f"longer than the context of {max_context} tokens")
    return Score.solved(value) if value > 0.5 else Score.failed("rejected" if value < 0.5 else "tie", value)


def _turns(task: Task, messages: tuple[Message, ...], renderer: Renderer) -> tuple[Turn, ...]:
    """The turns of a response: one for each message of the assistant, what others say between them as context."""
    turns: list[Turn] = []
    said: list[Message] = [*task.prompt]
    tokens: tuple[int, ...] = ()
    between: list[Message] = []
    for message in messages:
        if message.role != "assistant":
            between.append(message)
            continue
        if turns:
            extension = renderer.extend(said, tokens, between, task.tools)
            new, extends = tuple(extension.token_ids), extension.extends_previous
        else:
            new, extends = renderer.render([*said, *between], task.tools), False
        answer = renderer.encode_answer(renderer.spell(message, task.tools) if message.tool_calls else message.content)
        completion = Completion(answer, (math.nan,) * len(answer), "stop", ((0, 0),))
        turns.append(Turn(new, extends_previous=extends, completion=completion, message=message))
        tokens = (*(tokens if extends else ()), *new, *answer)
        said += [*between, message]
        between = []
    if not turns or between:
        raise DataError(
            f"task {task.task_id} of {task.domain}: a response ends with "
            f"{messages[-1].role if messages else 'nothing'}; it must end with a message of the assistant"
        )
    return tuple(turns)

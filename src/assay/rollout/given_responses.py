"""Compared responses by the loop's own door: a sampler whose rollouts somebody else wrote and judged."""

from __future__ import annotations

from collections.abc import Callable

from assay.errors import ContextLengthError, DataError
from assay.render.renderer import Renderer
from assay.rollout.written import MAX_DROPPED, WrittenGroups, longest_sequence, written
from assay.types import Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

RESPONSES = "responses"
"""Key of a task's metadata with the responses that its data gives: a list of {"messages": records of messages, "value":
number from 0 to 1}; of two responses the preferred one has the higher value, of a tie both have 0.5."""


class GivenResponses(WrittenGroups):
    """One group for each task: the responses that its data gives, with the values that its data gives them.

    A task with a response that is longer than the context is dropped, counted and replaced by the next.

    Args:
        next_task: group id to task, asked once a group, in ascending order.
        max_context: of the model, or the recipe's limit on it, in tokens.
        num_responses: least number of responses that a task must have.
    """

    def __init__(
        self, *, renderer: Renderer, next_task: Callable[[int], Task], max_context: int, num_responses: int = 2
    ) -> None:
        super().__init__(next_task, max_context)
        self._renderer = renderer
        self._num_responses = num_responses

    async def _group(self, group_id: int, task: Task) -> Group:
        group = given_group(task, self._renderer, self._max_context, group_id=group_id)
        if len(group.rollouts) < self._num_responses:
            raise DataError(
                f"task {task.task_id} of {task.domain} has {len(group.rollouts)} response, and "
                f"{self._num_responses} are compared: of responses that are labelled one by one kto learns"
            )
        return group

    def _too_many_dropped(self, last: Group) -> Exception:
        return ContextLengthError(
            f"{MAX_DROPPED} tasks in a row have a prompt and response longer than {self._max_context} tokens; "
            "raise limits.max_context where it is the limit, or use shorter data or a model with more context"
        )


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
    if longest_sequence(turns) > max_context:
        return Score.not_measured(f"longer than the context of {max_context} tokens")
    return Score.graded(value, reason="preferred" if value > 0.5 else "rejected" if value < 0.5 else "tie")


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
        turns.append(Turn(new, extends_previous=extends, completion=written(answer), message=message))
        tokens = (*(tokens if extends else ()), *new, *answer)
        said += [*between, message]
        between = []
    if not turns or between:
        raise DataError(
            f"task {task.task_id} of {task.domain}: a response ends with "
            f"{messages[-1].role if messages else 'nothing'}; it must end with a message of the assistant"
        )
    return tuple(turns)

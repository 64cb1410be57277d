"""The first rollouts of a run, shown as they end: what the model makes of its tasks, long before there is a number."""

from __future__ import annotations

from collections.abc import Callable

from assay.types import Score, Task

_MAX_CHARACTERS = 160


class FirstRollouts:
    """Says the first rollouts that are scored, whether they validate or train.

    Args:
        tell: takes a line.
        most: rollouts that are shown.
    """

    def __init__(self, tell: Callable[[str], None], most: int = 2) -> None:
        self._tell = tell
        self._left = most

    def show(self, task: Task, response: str, score: Score) -> None:
        """Say the end of the task's last message, what the model answered, and what that earned."""
        if self._left <= 0:
            return
        self._left -= 1
        asked = _one_line(task.prompt[-1].text, from_end=True) if task.prompt else ""
        earned = "not measured" if score.value is None else f"{score.verdict.value}, reward {score.value:g}"
        self._tell(f'a first rollout: "{asked}" -> "{_one_line(response)}" ({earned})')


def _one_line(text: str, *, from_end: bool = False) -> str:
    line = " ".join(text.split())
    if len(line) <= _MAX_CHARACTERS:
        return line
    return f"... {line[-_MAX_CHARACTERS:]}" if from_end else f"{line[:_MAX_CHARACTERS]} ..."

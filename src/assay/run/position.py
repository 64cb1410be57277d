"""The position of a run: how far it has come, and when it is over."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from assay.recipe import RunConfig

_FINISH_SECONDS = 15.0
"""Seconds kept aside at the end of a time budget for the last checkpoint and the report."""


@dataclass
class Position:
    """The position of a run: what a checkpoint keeps beside the parts' own states."""

    step: int = 0
    """Steps made."""
    seconds: float = 0.0
    """Seconds spent in earlier legs of a resumed run."""
    best_step: int | None = None
    best_accuracy: float = -math.inf
    """The best on validation tasks, of graded rewards the mean reward; the untrained model's counts, so that only a
    better one becomes the best."""
    groups_by_level: dict[str, int] = field(default_factory=dict)
    """Groups trained on, by level."""
    seconds_per_test_task: float = 0.0
    """Estimated seconds for one task of the closing test, from the slowest validation so far."""
    sampled_tokens: int = 0
    """Tokens sampled by the policy in training, dropped groups included."""
    trained_tokens: int = 0
    """Tokens that had a place in the loss."""


class Clock:
    """Seconds and budgets of a run.

    Args:
        started: `time.monotonic()` from which this leg of the run counts.
        test_seconds: the estimate of what the closing test will take.
    """

    def __init__(
        self, config: RunConfig, position: Position, *, started: float | None, test_seconds: Callable[[], float]
    ) -> None:
        self._config = config
        self._position = position
        self._started = time.monotonic() if started is None else started
        self._test_seconds = test_seconds
        self._step_started = self._started
        self._slowest_step_seconds = 0.0
        self.stop_requested = False
        """True once Ctrl-C was pressed: the step under way is finished, a checkpoint is written, the run ends."""
        self.is_testing = False
        """True once the closing test is under way, which a request to stop ends at once."""
        self.halted = ""
        """The reason, in a sentence, for which no further step begins; empty for none. The run ends in order."""
        self.why_over = ""
        """The budget that ended the run, in a sentence; empty where none did."""

    @property
    def seconds(self) -> float:
        """Seconds spent on this run so far, earlier legs included."""
        return self._position.seconds + time.monotonic() - self._started

    @property
    def seconds_with_end(self) -> float:
        """The same, and what the end of the run will take: the closing test, the last checkpoint, the report."""
        return self.seconds + self._test_seconds() + _FINISH_SECONDS

    @property
    def budget_spent(self) -> float:
        """Share of the time or of the tokens that is spent, whichever is further along; 0 without a budget.

        A budget of time is spent when no further step can begin.
        """
        budget, tokens = self._config.max_seconds, self._config.max_sampled_tokens
        shares = [0.0]
        if budget is not None:
            at_end = self.seconds_with_end - self.seconds + self._slowest_step_seconds
            shares.append(self.seconds / max(budget - at_end, 1e-9))
        if tokens is not None:
            shares.append(self._position.sampled_tokens / tokens)
        return min(1.0, max(shares))

    def steps(self) -> Iterator[int]:
        """Steps still to make, until the recipe's number, a budget, or a request to stop."""
        for step in range(self._position.step, self._config.num_steps):
            self.why_over = self._over(step)
            if self.why_over or self.stop_requested:
                return
            self._step_started = time.monotonic()
            yield step

    def end_step(self) -> float:
        """Seconds that the step under way took until now."""
        seconds = time.monotonic() - self._step_started
        self._slowest_step_seconds = max(self._slowest_step_seconds, seconds)
        return seconds

    def _over(self, step: int) -> str:
        if self.halted:
            return f"{self.halted}: over after {step} steps"
        budget, tokens = self._config.max_seconds, self._config.max_sampled_tokens
        if budget is not None and self.seconds_with_end + self._slowest_step_seconds >= budget:
            return f"time budget reached after {step} steps"
        if tokens is not None and self._position.sampled_tokens >= tokens:
            return f"{self._position.sampled_tokens} tokens sampled: budget reached in step {step}"
        return ""

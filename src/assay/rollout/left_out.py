"""LeftOut: watches the share of rollouts without a reward, and stops a run that would train on what is left."""

from __future__ import annotations

from collections import Counter

from assay.errors import TrainingStoppedError
from assay.types import Group

MAX_STEPS_IN_A_ROW = 3
"""Steps in a row that may leave out more than the share that is set."""


class LeftOut:
    """Counts the rollouts that were played and not measured, step by step.

    What is left out is no random share: it is what took long, or what went where the world breaks. A policy that is
    trained on the rest learns to go where nobody looks.

    Args:
        max_share: of the rollouts of one step, from 0 to 1.
        rollouts_per_step: of a full step; three times as many left out in one step stop it before it ends.
    """

    def __init__(self, max_share: float, rollouts_per_step: int) -> None:
        self._max_share = max_share
        self._rollouts_per_step = rollouts_per_step
        self._steps_in_a_row = 0
        self._num_played = self._num_left_out = 0
        self._causes: Counter[str] = Counter()

    @property
    def steps_in_a_row(self) -> int:
        """Steps in a row, until now, that left out too many."""
        return self._steps_in_a_row

    def restore(self, steps_in_a_row: int) -> None:
        """Go on after a resume."""
        self._steps_in_a_row = steps_in_a_row

    def begin_step(self) -> None:
        """Begin to count a step."""
        self._num_played = self._num_left_out = 0

    def add(self, group: Group) -> None:
        """Count a group in.

        Raises:
            TrainingStoppedError: this step alone has left out as many as three steps have rollouts.
        """
        self._num_played += len(group.rollouts)
        for rollout, score in zip(group.rollouts, group.scores, strict=True):
            if not score.measured:
                boundary = rollout.ending.boundary or "verifier"
                self._num_left_out += 1
                # The same failure on another task is the same failure.
                cause = (score.reason or rollout.ending.reason).replace(rollout.task_id, "...")
                self._causes[f"{boundary}: {cause}"] += 1
        if self._share > self._max_share and self._num_left_out >= MAX_STEPS_IN_A_ROW * self._rollouts_per_step:
            raise TrainingStoppedError(self._explain(f"{self._num_left_out} rollouts of one step were left out"))

    def end_step(self) -> None:
        """End the step.

        Raises:
            TrainingStoppedError: it was the last of too many in a row.
        """
        if self._share <= self._max_share:
            self._steps_in_a_row = 0
            self._causes.clear()
            return
        self._steps_in_a_row += 1
        if self._steps_in_a_row >= MAX_STEPS_IN_A_ROW:
            raise TrainingStoppedError(
                self._explain(
                    f"{self._share:.0%} of the rollouts of this step were left out, and more than "
                    f"{self._max_share:.0%} (max_left_out_share) in each of {self._steps_in_a_row} steps in a row"
                )
            )

    @property
    def _share(self) -> float:
        return self._num_left_out / self._num_played if self._num_played else 0.0

    def _explain(self, what: str) -> str:
        causes = "\n".join(f"  {times} x {cause}" for cause, times in self._causes.most_common(5))
        return (
            f"{what}: what is left is no fair sample of what the policy does.\n"
            f"The causes, none of them the responses' own (boundary: failure):\n{causes}\nRepair them and resume."
        )

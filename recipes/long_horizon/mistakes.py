"""What a model's own earlier mistakes do to its next step: the same state, reached with and without them.

    assay eval MODEL --environment recipes/long_horizon/mistakes.py:Mistakes --output right
    assay eval MODEL --environment recipes/long_horizon/mistakes.py:Mistakes --set wrong=all --output wrong
    assay compare right wrong

Both sides are shown the same chain and are asked the same. What the model seems to have reported before differs: on one
side every report is right; on the other some are wrong, but never the last one, so that the number to go on from is the
same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Literal

from assay import DataError, Environment, Episode, EpisodeStep, Message, Split, Task, derive_seed, make_environment

CHAIN = make_environment("chain")


class Mistakes(Environment):
    """The last step of a chain of which the model seems to have said all earlier reports itself.

    Horizon is the number of updates, from 3 on; all but the last one have a report, and the last of these is right.
    """

    wrong: Literal["none", "one", "all"] = "none"
    """The reports before the last one that are wrong, by 1 to 9: none, one of them, or all."""

    def levels(self) -> tuple[tuple[float, float], ...]:
        return ((1, 3), (1, 5), (1, 9), (1, 17))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if horizon is not None and horizon < 3:
            raise DataError(f"horizon {horizon:g}: no report stands before the last one; choose 3 or more")
        for task in CHAIN.tasks(split, complexity=complexity, horizon=horizon or 3, seed=seed):
            yield dataclasses.replace(task, domain=self.name)

    def episode(self, task: Task) -> Episode:
        return LastStep(task, reports_of(task, self.wrong))


def reports_of(task: Task, wrong: str) -> list[int]:
    """The reports before the last update: the true numbers, and others in the place of those that are to be wrong."""
    (number,), updates = task.metadata["world"]["start"], task.metadata["world"]["updates"]
    reports = []
    for update in updates[:-1]:
        *words, amount = update.split()
        number += int(amount) if words == ["add"] else -int(amount)
        reports.append(number)
    before_last = range(len(reports) - 1)
    chosen = before_last if wrong == "all" else before_last[:0]
    if wrong == "one":
        chosen = [derive_seed(task.task_id, "place") % len(before_last)]
    for place in chosen:
        off = 1 + derive_seed(task.task_id, "off", place) % 9
        below = reports[place] >= off and derive_seed(task.task_id, "below", place) % 2
        reports[place] += -off if below else off
    return reports


@dataclasses.dataclass
class LastStep(Episode):
    """Shows every update and the reports that are given, and takes one report: that of the last update."""

    task: Task
    reports: list[int]

    async def start(self) -> tuple[Message, ...]:
        shown = list(self.task.prompt)
        for report, update in zip(self.reports, self.task.metadata["world"]["updates"][1:], strict=True):
            shown += [Message("assistant", str(report)), Message("user", f"Update: {update}")]
        return tuple(shown)

    async def step(self, message: Message) -> EpisodeStep:
        return EpisodeStep(done=True)

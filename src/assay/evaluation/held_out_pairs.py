"""Held-out comparisons: whether a model's own reward puts the preferred response first, and how sure it is."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from assay.curriculum import LevelSettings
from assay.engines.engine import Sampling
from assay.environments import Environment
from assay.evaluation.evaluation import Evaluation
from assay.evaluation.held_out import EvaluationSettings, HeldOut
from assay.evaluation.row import EvalRow
from assay.render.renderer import Renderer
from assay.rollout.given_responses import given_group
from assay.statistics import Interval, t_interval
from assay.types import Group, Score, Task
from assay.verifiers import Verifier

READING = "strict"
PART = "margin"
"""Name of the part of a score that holds the difference of the two rewards."""
LENGTH = "length"
"""Name of the part with how much longer the preferred response is: log2 of the ratio of characters, each 1 more."""
NUM_BINS = 10
GROUPS_AT_ONCE = 32
"""Comparisons that are computed between two words of progress."""


class PairsHeldOut(HeldOut):
    """Measures a model on comparisons that are never trained on: a comparison is solved where the model's reward of the
    preferred response is the higher one, and a labelled response where its reward is above 0 as it should, or below.

    Args:
        rewards: groups to the reward of each of their responses, under the model that is measured.
        max_context: in tokens; a comparison with a longer response is not measured, and counted.
        progress: called with what is measured, comparisons done, and comparisons in all.
    """

    def __init__(
        self,
        settings: EvaluationSettings,
        environment: Environment,
        readings: Mapping[str, Verifier],
        levels: Sequence[LevelSettings],
        *,
        rewards: Callable[[Sequence[Group]], Awaitable[list[list[float]]]],
        renderer: Renderer,
        max_context: int,
        progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    ) -> None:
        super().__init__(settings, environment, readings, levels, Sampling(), renderer=renderer, progress=progress)
        self._rewards = rewards
        self._max_context = max_context

    def groups(self) -> list[Group]:
        """Return the comparisons that a run will measure, as groups; `check_tasks` comes first."""
        validation = self._validation_tasks if self.settings.every_steps else []
        test = [task for level in self._levels for task in self._test_tasks(level)]
        return [group for group in map(self._group, itertools.count(), [*validation, *test]) if _fits(group)]

    async def validate(self) -> Evaluation:
        """The comparisons of the validation split. `check_tasks` comes first."""
        return await self._compare(self._validation_tasks, "validation")

    async def probe(self) -> None:
        """Nothing is sampled."""
        return

    async def test(self, level: LevelSettings, side: str) -> dict[str, Evaluation]:
        """The comparisons of the test split, under "pairs".

        Args:
            side: for the progress display.
        """
        return {"pairs": await self._compare(self._test_tasks(level), f"test, {side}")}

    @property
    def test_seconds(self) -> float:
        """Estimated seconds of the closing test; 0 before anything was measured."""
        return self.settings.test_tasks * self.seconds_per_test_task

    def _group(self, index: int, task: Task) -> Group:
        return given_group(task, self._renderer, self._max_context, group_id=index)

    async def _compare(self, tasks: Sequence[Task], what: str) -> Evaluation:
        rows: list[EvalRow] = []
        began = time.monotonic()
        for start in range(0, len(tasks), GROUPS_AT_ONCE):
            some = [
                self._group(start + number, task) for number, task in enumerate(tasks[start : start + GROUPS_AT_ONCE])
            ]
            rewards = iter(await self._rewards([group for group in some if _fits(group)]))
            for group in some:
                score = _compared(group, next(rewards)) if _fits(group) else group.scores[0]
                score = score if _fits(group) else Score.not_measured(_why_not(group))
                rows.append(EvalRow.of(group.task, len(rows), group.rollouts[0], {READING: score}))
            self._progress(what, len(rows), len(tasks))
        seconds = (time.monotonic() - began) / max(len(tasks), 1)
        self.seconds_per_test_task = max(self.seconds_per_test_task, seconds)
        return Evaluation(tuple(rows))


def _fits(group: Group) -> bool:
    return len(group.measured) == len(group.rollouts)


def _why_not(group: Group) -> str:
    return next(score.reason for score in group.scores if not score.measured)


def _compared(group: Group, rewards: Sequence[float]) -> Score:
    values = [value for _, _, value in group.measured]
    if len(values) == 1:
        margin = rewards[0] if values[0] > 0.5 else -rewards[0]
    elif values[0] == values[1]:
        return Score.not_measured("a tie has no right order")
    else:
        margin = (rewards[0] - rewards[1]) * (1 if values[0] > values[1] else -1)
    parts = {PART: margin}
    if len(values) == 2:
        lengths = [math.log2(1 + len(rollout.response)) for rollout, _, _ in group.measured]
        parts[LENGTH] = (lengths[0] - lengths[1]) * (1 if values[0] > values[1] else -1)
    if margin == 0:
        return Score.failed("equal rewards", parts=parts)
    return Score.solved(parts=parts) if margin > 0 else Score.failed("the wrong way round", parts=parts)


@dataclass(frozen=True)
class Calibration:
    """How far the probabilities that a model's rewards stand for agree with the comparisons."""

    log_loss: float
    """Mean of -log s(margin), s the logistic function: what a Bradley-Terry model of these rewards has on them; log 2 =
    0.693 knows nothing."""
    calibration_error: float
    """Expected calibration error: mean distance, over bins of confidence s(|margin|) weighted by their comparisons, of
    the mean confidence and the share that is right."""
    mean_confidence: float
    """Mean of s(|margin|): the accuracy that the rewards themselves would lead to expect."""
    mean_margin: float
    num_compared: int

    def to_dict(self) -> dict[str, float]:
        return dict(vars(self))


def calibration(evaluation: Evaluation) -> Calibration | None:
    """Return the calibration of the margins of an evaluation of `PairsHeldOut`; None where nothing was measured."""
    scores = [row.scores[READING] for row in evaluation.rows if row.scores[READING].measured]
    margins = [score.parts[PART] for score in scores]
    if not margins:
        return None
    bins: dict[int, list[tuple[float, float]]] = {}
    for margin in margins:
        confidence = _logistic(abs(margin))
        right = 0.5 if margin == 0 else float(margin > 0)
        bins.setdefault(min(int((confidence - 0.5) * 2 * NUM_BINS), NUM_BINS - 1), []).append((confidence, right))
    error = sum(abs(sum(c for c, _ in members) - sum(r for _, r in members)) for members in bins.values())
    return Calibration(
        log_loss=sum(_softplus(-margin) for margin in margins) / len(margins),
        calibration_error=error / len(margins),
        mean_confidence=sum(_logistic(abs(margin)) for margin in margins) / len(margins),
        mean_margin=sum(margins) / len(margins),
        num_compared=len(margins),
    )


def length_coefficient(evaluation: Evaluation) -> Interval | None:
    """Return the reward that twice the length of a response brings, over the comparisons of an evaluation of
    `PairsHeldOut`; None where their responses are all as long as each other, or there are fewer than two.

    The slope of the difference of rewards in the difference of log2 of lengths, by least squares through 0, with an
    interval over comparisons that does not take their spread to be the same (White 1980). It is all that goes with
    length, what is better for being longer included.
    """
    scores = [row.scores[READING] for row in evaluation.rows]
    pairs = [(score.parts[PART], score.parts[LENGTH]) for score in scores if LENGTH in score.parts]
    square = sum(length * length for _, length in pairs) / len(pairs) if pairs else 0.0
    if len(pairs) < 2 or not square:
        return None
    slope = sum(margin * length for margin, length in pairs) / len(pairs) / square
    return t_interval([slope + length * (margin - slope * length) / square for margin, length in pairs])


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else math.exp(value) / (1 + math.exp(value))


def _softplus(value: float) -> float:
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))

"""The records of a run: the store, trackers, and what a person sees."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from assay.algorithms.preference import PAIR_ACCURACY, PAIR_MARGIN
from assay.config import dump
from assay.evaluation import Evaluation
from assay.evaluation.also import AFTER
from assay.observe.console import Console, StepView
from assay.observe.curves import TOKENS_PER_SECOND
from assay.observe.metrics import metric
from assay.observe.provenance import provenance
from assay.observe.step_metrics import (
    RESPONSE_TOKENS,
    REWARD,
    REWARD_HIGH,
    REWARD_LOW,
    SIGNAL,
    mean_of_measured,
    step_metrics,
)
from assay.observe.store import RunStore
from assay.observe.tracking import Trackers
from assay.recipe import RunConfig
from assay.render import ChatRenderer
from assay.rollout.collector import MAX_STALENESS, MEAN_STALENESS
from assay.run.events import StepDone
from assay.run.position import Clock, Position
from assay.training import tidy_memory
from assay.training.report import LOSS
from assay.types import PROPOSAL
from assay.verifiers import verifier_metrics

STEP_SECONDS = metric("time/step_seconds", "Wall clock of the step: sampling, scoring, update and publishing.")
MEMORY = metric(
    "memory/gigabytes", "What the process holds after the step; on a GPU, the most that tensors took during it."
)
SAMPLED_TOKENS = metric("rollout/total_sampled_tokens", "Tokens sampled since the run began, dropped groups included.")


STEPS_WITHOUT_SIGNAL = 3
"""Steps in a row without a group whose members earned different rewards, after which a run cautions."""


class Records:
    """Writes down every step, evaluation and event; the first to be told of a step.

    What is written becomes permanent with `commit`, after the measurements of the step.
    """

    def __init__(
        self,
        config: RunConfig,
        store: RunStore,
        trackers: Trackers,
        console: Console,
        *,
        position: Position,
        clock: Clock,
        renderer: ChatRenderer,
        device: torch.device,
    ) -> None:
        self.store = store
        self.trackers = trackers
        self.console = console
        self.expected_bytes = 0
        """The memory estimate, above which freed blocks are given back; 0 where nothing was estimated."""
        self._config = config
        self._reward = config.reward
        self._position = position
        self._clock = clock
        self._renderer = renderer
        self._device = device
        self._num_without_signal = 0
        trackers.start(config.name, {**dump(config), **provenance()})

    async def step_done(self, done: StepDone) -> None:
        """Records the step: metrics, rollouts, events, and the line on the console."""
        metrics = {
            **step_metrics(done.groups, done.dropped),
            **done.counters,
            **done.report.metrics,
            **verifier_metrics(self._reward),
            **self._config.algorithm.credit_metrics([*done.groups, *done.dropped]),
            STEP_SECONDS: done.seconds,
            MEMORY: tidy_memory(self.expected_bytes, self._device) / 1e9,
        }
        if not self._config.algorithm.needs.samples_nothing:
            metrics[TOKENS_PER_SECOND] = done.num_sampled_tokens / done.seconds
            metrics[SAMPLED_TOKENS] = self._position.sampled_tokens
        self.store.record_step(done.step, metrics)
        groups = [*done.groups, *done.dropped]
        self.store.record_groups(done.step, groups, self._renderer.decode, done.report.trainer_logprobs)
        self.trackers.add(done.step + 1, metrics)
        # Proposals that are not trained on are replaced by none.
        if replaced := [group for group in done.dropped if PROPOSAL not in group.task.metadata]:
            self.event(done.step, "drop", f"step {done.step + 1}: {len(replaced)} groups dropped and replaced")
        if done.report.num_skipped:
            self.event(done.step, "skip", f"step {done.step + 1}: {done.report.num_skipped} updates left out")
        if done.new_level:
            self.event(done.step, "level", f"step {done.step + 1}: level {done.new_level} begins")
        compared = self._config.group_size > 1 and not self._config.algorithm.needs.samples_nothing
        self._num_without_signal = self._num_without_signal + 1 if compared and metrics[SIGNAL] == 0.0 else 0
        if self._num_without_signal and self._num_without_signal % STEPS_WITHOUT_SIGNAL == 0:
            self.event(done.step, "signal", f"caution, step {done.step + 1}: {_no_signal(self._num_without_signal)}")
        self.console.step(self._view(done, metrics))

    def more(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes down further metrics of a step that was recorded."""
        self.store.record_step(step, metrics)
        self.trackers.add(step + 1, metrics)

    def event(self, step: int, kind: str, text: str) -> None:
        """Writes an event down, and says it on the console."""
        self.store.record_event(step, kind, text)
        self.console.message(text)

    def evaluation(self, step: int, split: str, decoding: str, result: Evaluation) -> None:
        """Writes down an evaluation under every reading: whole, by level, by environment where there are several."""
        environments = {f"environment {name}": part for name, part in result.by_environment().items()}
        for reading in result.readings:
            for level, part in {"all": result, **result.by_level(), **environments}.items():
                accuracy = None if part.lacks_verdicts(reading) else part.accuracy(reading)
                mean = part.mean_reward(reading)
                if split != "test" and not split.startswith(AFTER):
                    # The closing test measures step 0 once more, at the end: trackers have it in the summary.
                    place = f"{split}/{decoding}_{reading}" + ("" if level == "all" else f"_{level.replace(' ', '_')}")
                    values = {} if accuracy is None else {place: accuracy.value}
                    if mean is not None and part.is_graded(reading):
                        values[f"{place}_mean_reward"] = mean.value
                    self.trackers.add(step + 1, values)
                self.store.record_evaluation(
                    step,
                    split=split,
                    decoding=decoding,
                    reading=reading,
                    level=level,
                    accuracy=None if accuracy is None else accuracy.value,
                    low=None if accuracy is None else accuracy.low,
                    high=None if accuracy is None else accuracy.high,
                    mean_reward=mean,
                    num_tasks=part.num_tasks,
                    num_not_measured=part.num_not_measured(reading),
                )

    def commit(self) -> None:
        """Sends what trackers are to be told, and makes what was written permanent."""
        self.send()
        self.store.commit()

    def send(self) -> None:
        """Sends what trackers are to be told; what cannot be sent is an event."""
        for problem in self.trackers.send():
            self.event(self._position.step - 1, "tracker", problem)

    def finish(self, summary: Mapping[str, Any], status: str) -> dict[str, int]:
        """Tells the trackers how the run ended.

        Returns:
            Tracker to points that it has lost; empty where none has.
        """
        for problem in self.trackers.finish(summary, status):
            self.event(self._position.step - 1, "tracker", problem)
        return self.trackers.num_failures()

    def _view(self, done: StepDone, metrics: Mapping[str, float]) -> StepView:
        is_given = self._config.algorithm.needs.pairs
        solved: dict[str, list[float]] = {}
        rewards: dict[str, list[float]] = {}
        for group in [] if is_given else [*done.groups, *done.dropped]:
            level = PROPOSAL if PROPOSAL in group.task.metadata else group.task.level
            if group.is_graded:
                mean = mean_of_measured([reward for _, _, reward in group.measured])
                rewards.setdefault(level, []).append(mean)
            else:
                solved.setdefault(level, []).append(group.solved_share)
        return StepView(
            step=done.step,
            reward=metrics[REWARD],
            reward_low=metrics[REWARD_LOW],
            reward_high=metrics[REWARD_HIGH],
            solved={level: mean_of_measured(shares) for level, shares in solved.items()},
            rewards={level: mean_of_measured(means) for level, means in rewards.items()},
            tokens_per_second=metrics.get(TOKENS_PER_SECOND, math.nan),
            response_tokens=metrics[RESPONSE_TOKENS],
            entropy=metrics.get("policy/entropy_nats", math.nan),
            logprob_gap=metrics.get("gap/mean_nats", math.nan),
            staleness=(metrics[MEAN_STALENESS], metrics[MAX_STALENESS]) if self._config.max_staleness else None,
            learning_rate=metrics.get("train/learning_rate", math.nan),
            loss=metrics.get(LOSS, math.nan) if is_given else math.nan,
            pair_accuracy=metrics.get(PAIR_ACCURACY, math.nan) if is_given else math.nan,
            pair_margin=metrics.get(PAIR_MARGIN, math.nan) if is_given else math.nan,
            elapsed_seconds=self._clock.seconds,
        )


def _no_signal(num_steps: int) -> str:
    return (
        f"in {num_steps} steps in a row every group's members all earned the same, so that nothing was learned from "
        "their comparison; choose easier or harder tasks, larger groups, or a reward with more values"
    )

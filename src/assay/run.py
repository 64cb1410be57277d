"""A run: everything the loop needs, wired from a recipe, and what happens around each step.

run folder/
|-- config.json        the resolved recipe, where the model lies, versions, git state, machine
|-- run.sqlite         every step, rollout, evaluation and event
|-- events/            TensorBoard
|-- trackers/          what other trackers must be told to go on with the run
|-- checkpoints/       the newest to resume from, and the best on validation tasks
|-- model              a link to the model to use: the best, or where nothing chose one the last
|-- report/            a page with plots
`-- summary.json       what came of it
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import torch

from assay.config import dump
from assay.curriculum import Curriculum, LevelSettings
from assay.engines import HFEngine
from assay.environments import Environment
from assay.errors import AssayError, CheckpointError, RunFolderError
from assay.evaluation import Evaluation
from assay.evaluation.before_after import BeforeAfter
from assay.evaluation.held_out import HeldOut
from assay.host import Host
from assay.models import Model
from assay.observe.console import Console, StepView
from assay.observe.curves import TOKENS_PER_SECOND
from assay.observe.folder import read_json, write_json
from assay.observe.metrics import metric
from assay.observe.provenance import provenance
from assay.observe.report import write_report
from assay.observe.step_metrics import RESPONSE_TOKENS, REWARD, REWARD_HIGH, REWARD_LOW, mean_of_measured, step_metrics
from assay.observe.store import BEFORE_TRAINING, RunStore
from assay.observe.tracking import Trackers
from assay.recipe import RunConfig
from assay.rollout import Collector, Demonstrations
from assay.run_models import RunModels
from assay.training import StepReport, Trainer, tidy_memory
from assay.training.checkpoint import latest_checkpoint, prune, read_best, read_checkpoint, write_best, write_checkpoint
from assay.training.random_state import random_state, set_random_state
from assay.training.report import NUM_TOKENS
from assay.types import Group, Rollout, Score, Task
from assay.verifiers import close_verifiers, score_group, score_rollout, verifier_metrics

STEP_SECONDS = metric("time/step_seconds", "Wall clock of the step: sampling, scoring, update and publishing.")
MEMORY = metric(
    "memory/gigabytes", "What the process holds after the step; on a GPU, the most that tensors took during it."
)
SAMPLED_TOKENS = metric("rollout/total_sampled_tokens", "Tokens sampled since the run began, dropped groups included.")

_NOT_FOR_TRACKERS = ("settings", "previous", "groups_by_level", "versions", "git", "machine", "readings", "transcripts")
"""Parts of the summary that are no result, or that trackers were told at the start."""
_FINISH_SECONDS = 15.0
"""Kept aside at the end of a time budget for the last checkpoint and the report."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended."""

    folder: Path
    status: str
    """"finished", or "interrupted": then it can be resumed."""
    summary: Mapping[str, Any]


@dataclass
class Position:
    """Where a run stands: what a checkpoint keeps beside the parts' own states."""

    step: int = 0
    """Steps made."""
    seconds: float = 0.0
    """Spent in earlier legs of a resumed run."""
    best_step: int | None = None
    best_accuracy: float = -math.inf
    """On validation tasks; the untrained model's counts, so that only a better one becomes the best."""
    groups_by_level: dict[str, int] = field(default_factory=dict)
    """Groups trained on, by level."""
    seconds_per_test_task: float = 0.0
    """Reckoned for one task of the closing test, from the slowest validation so far."""
    sampled_tokens: int = 0
    """By the policy, in training, dropped groups included."""
    trained_tokens: int = 0
    """That had a place in the loss."""


class Run:
    """The parts of one run. The loop drives it; `launch.build_run` wires it.

    Args:
        folder: the run folder; made by `launch.build_run`.
        model: that training begins with.
        resume: whether to go on from the newest checkpoint in it.
    """

    def __init__(
        self,
        config: RunConfig,
        folder: Path,
        model: Model,
        *,
        device: str,
        compute_dtype: torch.dtype,
        chat_template: str | None = None,
        console: Console | None = None,
        resume: bool = False,
        started: float | None = None,
    ) -> None:
        self._started = time.monotonic() if started is None else started
        self.config = config
        self.folder = folder
        self.model = model
        self.host = Host()
        """What the run holds open: sandboxes, worker pools, connections."""
        self.algorithm = config.algorithm
        self.environment: Environment = config.environment
        self.reward = config.reward
        self.models = RunModels(
            config,
            model,
            device=device,
            compute_dtype=compute_dtype,
            chat_template=chat_template,
        )
        self.renderer = self.models.renderer
        self.policy = self.models.policy
        self.trainer = Trainer(
            self.policy,
            config.trainer,
            temperature=config.sampling.temperature,
            tokens_per_microbatch=config.tokens_per_microbatch,
            minibatches_per_step=config.minibatches_per_step,
            num_steps=config.num_steps,
            **self.models.beside(),
        )
        self.curriculum = Curriculum(config.curriculum, self.environment, config.seed)
        self.position = Position()
        self.store = RunStore(folder)
        self.trackers = Trackers(config.tracking, folder)
        checkpoint = self._newest_checkpoint() if resume else None
        state = self._restore(checkpoint) if checkpoint is not None else None
        if checkpoint is None:
            self.trackers.rollback({})
        self.engine = self.models.engine(version=self.position.step)
        self.collector = self._make_collector()
        if state is not None:
            self.collector.load_state(state["collector"])
        self.console = console or Console(
            config.num_steps, config.max_seconds, [row.level for row in self.curriculum.describe()]
        )
        self.held_out = HeldOut(
            config.evaluation,
            self.environment,
            config.readings,
            config.curriculum.levels,
            config.sampling,
            engine=self.engine,
            renderer=self.renderer,
            progress=self.console.progress,
            seconds_per_test_task=self.position.seconds_per_test_task,
        )
        if isinstance(self.engine, HFEngine) and not self.engine.uses_cache:
            self.console.message(
                "this architecture cannot be sampled with a key-value cache: every token reads its whole sequence"
            )
        self.memory = ""
        """What was reckoned before anything was loaded, in a line."""
        self.expected_bytes = 0
        """The same as a number; 0 where nothing was reckoned."""
        self.lock: IO[str] | None = None
        """Keeps other processes out of the run folder until it is closed."""
        self.stop_requested = False
        """Set by Ctrl-C: the step under way is finished, a checkpoint is written, the run ends."""
        self._step_started = time.monotonic()
        self._slowest_step_seconds = 0.0
        self._num_updates = self.trainer.num_updates
        """After the last whole step: tells whether the step under way has touched the weights."""
        self._checkpointed_at: int | None = self.position.step if checkpoint else None
        self.trackers.start(config.name, {**dump(config), **provenance()})

    def _make_collector(self) -> Collector | Demonstrations:
        config = self.config

        verifier, retries = self.reward, config.rollout_retries

        def score(rollout: Rollout, task: Task) -> Awaitable[Score]:
            return score_rollout(verifier, rollout, task, retries=retries)

        def score_together(rollouts: Sequence[Rollout], task: Task) -> Awaitable[list[Score]]:
            return score_group(verifier, rollouts, task, retries=retries)

        if self.algorithm.needs.demonstrations:
            return Demonstrations(
                renderer=self.renderer,
                score=score,
                next_task=self.curriculum.next_task,
                max_context=self.policy.max_context,
            )
        return Collector(
            engine=self.engine,
            renderer=self.renderer,
            make_episode=self.environment.episode,
            score=score,
            score_group=score_together if verifier.compares else None,
            next_task=self.curriculum.next_task,
            sampling=config.sampling,
            group_size=config.group_size,
            run_seed=config.seed,
            max_staleness=config.max_staleness,
            groups_per_step=config.groups_per_step,
            min_group_size=self.algorithm.needs.min_group_size,
            keep=self.algorithm.keep,
            max_turns=self.environment.max_turns,
            retries=config.rollout_retries,
        )

    # ---- the loop's view ----

    async def begin(self) -> None:
        """Before the first step: checks that gold answers pass, and measures the untrained model."""
        counts = self.parameter_counts()
        if counts["num_trained_parameters"] < counts["num_parameters"]:
            share = counts["num_trained_parameters"] / counts["num_parameters"]
            self.console.message(
                f"LoRA: {counts['num_trained_parameters']:,} parameters are trained, {share:.2%} of the model's "
                f"{counts['num_parameters']:,}"
            )
        if unchecked := await self.held_out.check_tasks(self.reward):
            self.console.message(unchecked)
        if self.position.step == 0:
            self.store.rollback(BEFORE_TRAINING)
            await self._validate(BEFORE_TRAINING)
            self._send_to_trackers()
            self.store.commit()

    def steps(self) -> Iterator[int]:
        """Steps still to make, until the recipe's number, the time budget, or a request to stop."""
        for step in range(self.position.step, self.config.num_steps):
            if self.stop_requested:
                return
            if self._out_of_time():
                self.console.message(f"time budget reached after {step} steps")
                return
            if self._out_of_tokens():
                self.console.message(f"{self.position.sampled_tokens} tokens sampled: budget reached in step {step}")
                return
            self._step_started = time.monotonic()
            yield step

    async def publish(self, version: int) -> None:
        """New weights to the engine."""
        await self.engine.load_weights(self.policy.weights(), version)

    async def after_step(self, step: int, groups: Sequence[Group], report: StepReport) -> None:
        """Records the step; evaluates and writes a checkpoint where they are due."""
        step_seconds = time.monotonic() - self._step_started
        self._slowest_step_seconds = max(self._slowest_step_seconds, step_seconds)
        self._num_updates = self.trainer.num_updates
        dropped = self.collector.take_dropped()
        for group in groups:
            level = group.task.level
            self.position.groups_by_level[level] = self.position.groups_by_level.get(level, 0) + 1
        self.position.step = step + 1
        frontier = self.curriculum.current_level
        self.curriculum.observe(sorted([*groups, *dropped], key=lambda group: group.group_id))
        metrics = {
            **step_metrics(groups, dropped),
            **self.collector.counters(),
            **self.curriculum.metrics(),
            **report.metrics,
            **verifier_metrics(self.reward),
            STEP_SECONDS: step_seconds,
            MEMORY: tidy_memory(self.expected_bytes, self.policy.device) / 1e9,
        }
        if not self.algorithm.needs.demonstrations:
            sampled = sum(group.num_sampled_tokens for group in [*groups, *dropped])
            self.position.sampled_tokens += sampled
            metrics[TOKENS_PER_SECOND] = sampled / step_seconds
            metrics[SAMPLED_TOKENS] = self.position.sampled_tokens
        self.position.trained_tokens += int(report.metrics[NUM_TOKENS])
        self.store.record_step(step, metrics)
        self.store.record_groups(step, [*groups, *dropped], self.renderer.decode, report.trainer_logprobs)
        self.trackers.add(step + 1, metrics)
        if dropped:
            self._event(step, "drop", f"step {step + 1}: {len(dropped)} groups dropped and replaced")
        if report.num_skipped:
            self._event(step, "skip", f"step {step + 1}: {report.num_skipped} updates left out")
        if self.curriculum.current_level != frontier:
            self._event(step, "level", f"step {step + 1}: level {self._frontier_name()} begins")
        self.console.step(self._view(step, [*groups, *dropped], metrics))
        new_best = False
        if self._due(self.config.evaluation.every_steps):
            new_best = await self._validate(step)
        self._send_to_trackers()
        self.store.commit()
        # A new best replaces the one before it, so the checkpoint that knows it must be there too.
        if self._due(self.config.checkpoint.every_steps) or self.stop_requested or new_best:
            self.checkpoint()

    async def result(self) -> TrainResult:
        """Ends the run: the last checkpoint, the closing test, the summary and the report."""
        finished = not self.stop_requested
        if self._checkpointed_at != self.position.step:
            self.checkpoint()
        self._link_model()
        summary = self._summary("finished" if finished else "interrupted")
        earlier = read_json(self.folder / "summary.json")
        if not finished and "gain" in earlier:
            # An extended run that is interrupted keeps what it had measured.
            summary["previous"] = earlier
        if finished and self.config.evaluation.test_tasks:
            summary |= await self._test()
            # The whole duration, the test included.
            summary["seconds"] = round(self.seconds, 1)
        measured = {key: value for key, value in summary.items() if key not in _NOT_FOR_TRACKERS}
        for problem in self.trackers.finish(measured, summary["status"]):
            self._event(self.position.step - 1, "tracker", problem)
        if lost := self.trackers.num_failures():
            summary["points_lost_by_trackers"] = lost
        write_json(self.folder / "summary.json", summary)
        write_report(self.folder)
        await self.engine.close()
        self.store.close()
        if self.lock is not None:
            self.lock.close()
        return TrainResult(self.folder, summary["status"], summary)

    def parameter_counts(self) -> dict[str, int]:
        """How many numbers the model has, and how many are trained."""
        frozen = sum(parameter.numel() for parameter in self.policy.parameters() if not parameter.requires_grad)
        trained = sum(parameter.numel() for parameter in self.policy.parameters() if parameter.requires_grad)
        return {"num_parameters": frozen or trained, "num_trained_parameters": trained}

    @property
    def seconds(self) -> float:
        """Spent on this run so far, earlier legs included."""
        return self.position.seconds + time.monotonic() - self._started

    # ---- checkpoints ----

    def keep_whole_steps(self) -> None:
        """After a failure: a checkpoint of the steps made, unless the one under way has touched the weights."""
        untouched = self.trainer.num_updates == self._num_updates
        if untouched and self.position.step and self._checkpointed_at != self.position.step:
            # The checkpoint holds that the step is made: nothing sends its point later.
            self._send_to_trackers()
            self.checkpoint()

    async def __aenter__(self) -> Self:
        await self.host.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Failed: keeps what can be resumed from, tells trackers. Always: takes in replies judges were paid for."""
        try:
            if isinstance(error, AssayError) and not isinstance(error, CheckpointError):
                self.keep_whole_steps()
        finally:
            if error is not None:
                self.trackers.finish({}, "failed")
            await close_verifiers([self.reward, *self.config.readings.values()])
            await self.host.__aexit__(kind, error, traceback)

    def checkpoint(self) -> Path:
        """Writes a checkpoint of the steps made so far, and removes those that are not kept."""
        self.store.sync()
        state = {
            "position": {**vars(self.position), "seconds": self.seconds},
            "curriculum": self.curriculum.state(),
            "collector": self.collector.state(),
            "events": self.trackers.flush(),
            "random": random_state(),
        }
        # What is sampled next must not depend on what the engine happens to have cached: a resumed run has nothing.
        self.engine.forget()
        checkpoints = self.folder / "checkpoints"
        path = write_checkpoint(checkpoints, self.position.step, self.policy, self.trainer, state)
        prune(checkpoints, self.config.checkpoint.keep_last)
        self._checkpointed_at = self.position.step
        return path

    def newest_step(self) -> int | None:
        """Steps that the newest checkpoint holds; None where there is none."""
        newest = self._newest_checkpoint()
        return None if newest is None else int(newest.name.removeprefix("step-"))

    def _newest_checkpoint(self) -> Path | None:
        return latest_checkpoint(self.folder / "checkpoints")

    def _restore(self, checkpoint: Path) -> dict[str, Any]:
        state = read_checkpoint(checkpoint, self.policy, self.trainer)
        self.position = Position(**state["position"])
        self.curriculum.load_state(state["curriculum"])
        self.store.rollback(self.position.step)
        self.trackers.rollback(state["events"])
        set_random_state(state["random"])
        return state

    # ---- held-out measurement ----

    async def _validate(self, step: int) -> bool:
        """Greedy accuracy on validation tasks, read strictly; a better model than any before is kept as the best.

        Returns:
            Whether it is the best so far.
        """
        if not self.config.evaluation.every_steps:
            return False
        result = await self.held_out.validate()
        self.engine.forget()
        self.position.seconds_per_test_task = self.held_out.seconds_per_test_task
        self._record_evaluation(step, "validation", "greedy", result)
        accuracy = result.accuracy("strict")
        best = step != BEFORE_TRAINING and accuracy.value > self.position.best_accuracy
        self.position.best_accuracy = max(self.position.best_accuracy, accuracy.value)
        if best:
            self.position.best_step = step + 1
            write_best(self.folder / "checkpoints", step + 1, accuracy.value, self.policy)
        levels = "  ".join(f"{level} {part.accuracy('strict').value:.0%}" for level, part in result.by_level().items())
        self.console.message(f"validation: {accuracy.as_percent()}  {levels}{'  best so far' if best else ''}")
        return best

    async def _test(self) -> dict[str, Any]:
        """The closing test on the level that was trained on most, before and after."""
        name_of_level, level = self._most_trained_level()
        sides: list[dict[str, Evaluation]] = []
        for name, model in (("before", self.model), ("after", self.model.trained(self.model_to_use))):
            # Not kept: beside everything else that a run holds, another copy may be one too many.
            await self.engine.load_weights(model.weights().items(), self.position.step)
            self.engine.forget()
            side = await self.held_out.test(level, name)
            sides.append(side)
            for decoding, result in side.items():
                step = BEFORE_TRAINING if name == "before" else self.position.step - 1
                self._record_evaluation(step, "test", decoding, result)
                self.store.record_evaluation_rows(step, "test", decoding, [row.to_dict() for row in result.rows])
        self.store.commit()
        return {"level": name_of_level, **BeforeAfter(*sides).to_dict()}

    @property
    def model_to_use(self) -> Path:
        """The best model by validation; the last one where none was better than the untrained."""
        best = read_best(self.folder / "checkpoints")
        if best is not None and self.position.best_step is not None:
            return best.path.resolve()
        newest = self._newest_checkpoint()
        if newest is None:
            raise RunFolderError(f"{self.folder} holds no checkpoint yet")
        return newest / "model"

    def _link_model(self) -> None:
        link = self.folder / ".model"
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(self.model_to_use, self.folder.resolve()), target_is_directory=True)
        link.replace(self.folder / "model")

    def _most_trained_level(self) -> tuple[str, LevelSettings]:
        """Name and dials; the easiest where several were trained on equally."""
        names = [row.level for row in self.curriculum.describe()]
        counts = Counter(self.position.groups_by_level)
        return max(zip(names, self.config.curriculum.levels, strict=True), key=lambda level: counts[level[0]])

    def _record_evaluation(self, step: int, split: str, decoding: str, result: Evaluation) -> None:
        for reading in result.readings:
            for level, part in {"all": result, **result.by_level()}.items():
                accuracy = part.accuracy(reading)
                if split != "test":
                    # The closing test measures step 0 once more, at the end: trackers have it in the summary.
                    place = f"{split}/{decoding}_{reading}" + ("" if level == "all" else f"_{level.replace(' ', '_')}")
                    self.trackers.add(step + 1, {place: accuracy.value})
                self.store.record_evaluation(
                    step,
                    split=split,
                    decoding=decoding,
                    reading=reading,
                    level=level,
                    accuracy=accuracy.value,
                    low=accuracy.low,
                    high=accuracy.high,
                    num_tasks=part.num_tasks,
                    num_not_measured=part.num_not_measured(reading),
                )

    # ---- what a person sees ----

    def _view(self, step: int, groups: Sequence[Group], metrics: Mapping[str, float]) -> StepView:
        solved: dict[str, list[float]] = {}
        for group in groups:
            solved.setdefault(group.task.level, []).append(group.solved_share)
        return StepView(
            step=step,
            reward=metrics[REWARD],
            reward_low=metrics[REWARD_LOW],
            reward_high=metrics[REWARD_HIGH],
            solved={level: mean_of_measured(shares) for level, shares in solved.items()},
            tokens_per_second=metrics.get(TOKENS_PER_SECOND, math.nan),
            response_tokens=metrics[RESPONSE_TOKENS],
            entropy=metrics.get("policy/entropy_nats", math.nan),
            logprob_gap=metrics.get("gap/mean_nats", math.nan),
            learning_rate=metrics.get("train/learning_rate", math.nan),
            elapsed_seconds=self.seconds + self._end_seconds,
        )

    def _summary(self, status: str) -> dict[str, Any]:
        return {
            "name": self.config.name,
            "status": status,
            "seconds": round(self.seconds, 1),
            "num_steps": self.position.step,
            "sampled_tokens": self.position.sampled_tokens,
            "trained_tokens": self.position.trained_tokens,
            "groups_by_level": self.position.groups_by_level,
            "best_step": self.position.best_step,
            "model": str(self.model_to_use),
            "model_folder": str(self.model.folder),
            **self.parameter_counts(),
            "settings": dump(self.config),
            "commands": {
                "talk to it": f"assay chat {self.model_to_use}",
                "look at the run": f"assay show {self.folder}",
                "measure it": f"assay eval {self.model_to_use} --recipe {self.folder}",
                "go on": self._resume_command(status),
            },
            **provenance(),
        }

    def _resume_command(self, status: str) -> str:
        command = f"assay train --resume {self.folder}"
        if status != "finished":
            return command
        # A finished run goes on only where it is given further to go.
        command += f" --set num_steps={2 * max(self.position.step, self.config.num_steps)}"
        if self.config.max_seconds is not None:
            command += f" --set max_seconds={2 * self.seconds:.0f}"
        if self.config.max_sampled_tokens is not None:
            command += f" --set max_sampled_tokens={2 * self.position.sampled_tokens}"
        return command

    def _send_to_trackers(self) -> None:
        for problem in self.trackers.send():
            self._event(self.position.step - 1, "tracker", problem)

    def _event(self, step: int, kind: str, text: str) -> None:
        self.store.record_event(step, kind, text)
        self.console.message(text)

    # ---- when things are due ----

    def _due(self, every: int) -> bool:
        return bool(every) and self.position.step % every == 0

    def _frontier_name(self) -> str:
        return next(row.level for row in self.curriculum.describe() if row.is_frontier)

    @property
    def _end_seconds(self) -> float:
        """What the end of the run will take: the closing test, the last checkpoint and the report."""
        return self.held_out.test_seconds + _FINISH_SECONDS

    def _out_of_time(self) -> bool:
        if self.config.max_seconds is None:
            return False
        return self.seconds + self._slowest_step_seconds + self._end_seconds >= self.config.max_seconds

    def _out_of_tokens(self) -> bool:
        budget = self.config.max_sampled_tokens
        return budget is not None and self.position.sampled_tokens >= budget

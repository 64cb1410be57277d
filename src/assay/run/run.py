"""The parts of a run, as the loop sees them.

run folder/
|-- config.json        the resolved recipe, where the model lies, versions, git state, machine
|-- run.sqlite         every step, rollout, evaluation and event
|-- events/            TensorBoard
|-- trackers/          what other trackers must be told to go on with the run
|-- reference.safetensors   of given responses: their log-probabilities before training
|-- checkpoints/       the newest to resume from, and the best on validation tasks
|-- model              a link to the model to use: the best, or where nothing chose one the last
|-- report/            a page with plots
`-- summary.json       what came of it
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol, Self

from assay.algorithms import Algorithm
from assay.curriculum import Curriculum
from assay.engines import BatchingEngine, Engine, EnginePool
from assay.errors import AssayError, CheckpointError
from assay.host import Host
from assay.models import Model
from assay.observe.activity import doing
from assay.recipe import RunConfig
from assay.render import ChatRenderer
from assay.rollout.lengths import EpisodeLengths, episode_lengths
from assay.run.ending import finish
from assay.run.events import StepDone, Subscriber
from assay.run.keeping import Keeping
from assay.run.measuring import Measurements
from assay.run.position import Clock, Position
from assay.run.records import Records
from assay.run.services import Learner, Publisher, Sampler
from assay.run.threads import RunThreads
from assay.run.watching import Watching
from assay.training import MemoryEstimate, StepReport
from assay.training.report import NUM_TOKENS
from assay.training.within import MemoryShares, shares_within
from assay.types import CANARY, PROPOSAL, Group
from assay.verifiers import close_verifiers, tell_progress


class MemoryEstimator(Protocol):
    """Estimates the memory of a run."""

    def __call__(self, lengths: EpisodeLengths, shares: MemoryShares | None = None) -> MemoryEstimate: ...


@dataclass(frozen=True)
class TrainResult:
    """The result of a run: how it ended."""

    folder: Path
    status: str
    """"finished", or "interrupted": then it can be resumed."""
    summary: Mapping[str, Any]

    @property
    def model(self) -> Path:
        """The folder of the model to use: the best by validation, or the last."""
        return Path(self.summary["model"])


@dataclass
class Run:
    """A run: what the loop awaits, what it decides by, and who is told of each step. Made by `launch.build_run`."""

    config: RunConfig
    folder: Path
    model: Model
    """The model that training begins with."""

    # What the loop awaits.
    sampler: Sampler
    learner: Learner
    publisher: Publisher

    # What it decides by.
    algorithm: Algorithm
    curriculum: Curriculum
    position: Position
    clock: Clock

    # Who is told of each step, in this order; further subscribers come after them.
    records: Records
    measurements: Measurements
    keeping: Keeping
    watching: Watching
    subscribers: list[Subscriber]

    engine: Engine
    renderer: ChatRenderer
    host: Host
    """Holder of what the run keeps open: sandboxes, worker pools, connections."""
    threads: RunThreads
    """Number of threads that steps are computed on."""
    lock: IO[str]
    """Keeps other processes out of the run folder until it is closed."""
    estimate: MemoryEstimator
    """The memory that the run needs, given the lengths of its episodes and its shares."""
    available_bytes: int
    """Memory of the device."""
    undo: Callable[[], None]
    """Takes back what the start of a new run has made; gives the folder of a resumed one free."""
    has_begun: bool = False
    """True once `begin` has accepted the tasks and their verifiers."""

    async def begin(self) -> None:
        """Prepare the first step: checks that gold answers pass, and measures the untrained model."""
        counts = self.learner.parameter_counts()
        if counts["num_trained_parameters"] < counts["num_parameters"]:
            share = counts["num_trained_parameters"] / counts["num_parameters"]
            self.records.console.message(
                f"LoRA: {counts['num_trained_parameters']:,} parameters are trained, {share:.2%} of the model's "
                f"{counts['num_parameters']:,}"
            )
        self._tell_verifiers()
        with doing("checking gold answers"):
            unchecked = await self.measurements.held_out.check_tasks(self.config.reward)
        notes = [*self.config.environment.notes, self.measurements.held_out.sizes, unchecked]
        for note in filter(None, notes):
            self.records.console.message(note)
        await self._tell_memory()
        if changed := self.threads.begin():
            self.records.console.message(changed)
        await self.learner.prepare()
        if self.position.step == 0:
            await self.measurements.validate_untrained()
        self.has_begun = True

    async def _tell_memory(self) -> None:
        """Say what memory is expected, from the first prompts of some tasks on."""
        config = self.config
        lengths = await episode_lengths(
            self.measurements.held_out.examples,
            config.environment,
            config.scaffold,
            self.renderer,
            config.sampling,
            config.limits,
            self.model.shape.max_context,
        )
        shares = self._keep_within(lengths)
        estimate = self.estimate(lengths, shares)
        self.records.expected_bytes = estimate.total_bytes
        told = f"memory, with episodes of up to {lengths.line()}: {estimate.summary(self.available_bytes)}"
        self.records.console.message(told)

    def _keep_within(self, lengths: EpisodeLengths) -> MemoryShares:
        """Make the run as small as `max_memory` asks for; return the shares that it has then."""
        asked, limit = self.config.memory_shares, self.config.max_memory
        shares = shares_within(lambda some: self.estimate(lengths, some), asked, lengths.whole, limit)
        self.learner.keep_within(shares.tokens_per_microbatch)
        if isinstance(self.engine, BatchingEngine):
            self.engine.keep_within(shares.num_slots, shares.prefix_cache_bytes)
        if shares != asked:
            self.records.console.message(f"to keep within max_memory={limit:g} GiB: {shares.line()}")
        return shares

    def steps(self) -> Iterator[int]:
        """Steps still to make, until the recipe's number, a budget, or a request to stop."""
        for step in self.clock.steps():
            self.learner.spend(self.clock.budget_spent)
            yield step
        if self.clock.why_over:
            self.records.console.message(self.clock.why_over)

    async def tell(self, step: int, groups: Sequence[Group], report: StepReport) -> None:
        """Moves the position and the curriculum past a step that was made, and tells its subscribers."""
        seconds, position = self.clock.end_step(), self.position
        counts = self.engine.take_counts() if isinstance(self.engine, EnginePool) else {}
        threads, changed = self.threads.step_done()
        if changed:
            self.records.event(step, "threads", f"step {step + 1}: {changed}")
        self.keeping.step_made()
        taken = self.sampler.take_dropped()
        canaries = [group for group in taken if CANARY in group.task.metadata]
        dropped = [group for group in taken if CANARY not in group.task.metadata]
        for group in (group for group in groups if PROPOSAL not in group.task.metadata):
            position.groups_by_level[group.task.level] = position.groups_by_level.get(group.task.level, 0) + 1
        position.step = step + 1
        self._tell_verifiers()
        level = self.curriculum.current_level_name
        self.curriculum.observe(sorted([*groups, *dropped], key=lambda group: group.group_id))
        done = StepDone(
            step,
            tuple(groups),
            tuple(dropped),
            report,
            seconds,
            {**self.sampler.counters(), **self.curriculum.metrics(), **threads, **counts},
            tuple(canaries),
            "" if self.curriculum.current_level_name == level else self.curriculum.current_level_name,
        )
        if not self.algorithm.needs.samples_nothing:
            position.sampled_tokens += done.num_sampled_tokens
        position.trained_tokens += int(report.metrics[NUM_TOKENS])
        for subscriber in self.subscribers:
            await subscriber.step_done(done)

    def _tell_verifiers(self) -> None:
        """Tell verifiers that follow the progress of training how far it has come."""
        tell_progress([self.config.reward, *self.config.readings.values()], self.position.step, self.config.num_steps)

    async def result(self) -> TrainResult:
        """Ends the run: the last checkpoint, the closing test, the summary and the report."""
        summary = await finish(self)
        return TrainResult(self.folder, summary["status"], summary)

    async def __aenter__(self) -> Self:
        await self.host.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Failed: keeps what can be resumed from, tells trackers. Always: takes in replies judges were paid for, and
        closes what the run holds open."""
        async with contextlib.AsyncExitStack() as stack:
            # The last pushed comes first; one that fails keeps none of the others open.
            if isinstance(error, AssayError) and not self.has_begun:
                stack.callback(self.undo)
            stack.callback(self.lock.close)
            stack.callback(self.records.store.close)
            stack.push_async_callback(self.engine.close)
            stack.push_async_callback(self.host.__aexit__, kind, error, traceback)
            stack.push_async_callback(close_verifiers, self.config.verifiers)
            if error is not None:
                stack.callback(self.records.trackers.finish, {}, "failed")
            if isinstance(error, AssayError) and not isinstance(error, CheckpointError):
                self.keeping.keep_whole_steps()

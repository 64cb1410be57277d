"""Makes the parts of a run and joins them: the one place that knows who needs whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import torch

from assay.algorithms.preference import Preference
from assay.batching import to_samples
from assay.curriculum import Curriculum, ProposeCurriculum
from assay.engines import BatchingEngine, Engine, HFEngine, RestartingEngine
from assay.errors import ConfigError
from assay.evaluation.held_out import HeldOut
from assay.evaluation.held_out_pairs import PairsHeldOut
from assay.host import Host
from assay.models import Model
from assay.observe.activity import doing
from assay.observe.console import Console
from assay.observe.store import RunStore
from assay.observe.tracking import Trackers
from assay.recipe import RunConfig
from assay.rollout import Collector, Demonstrations, GivenResponses
from assay.run.clustered import ClusterParts, FarParts, start_cluster
from assay.run.constrained import ConstrainedSampler
from assay.run.first_rollouts import FirstRollouts
from assay.run.given import GivenLearner, RewardLearner
from assay.run.keeping import CHECKPOINTS, Keeping
from assay.run.measuring import Measurements
from assay.run.measuring_pairs import PairMeasurements
from assay.run.models import RunModels
from assay.run.position import Clock, Position
from assay.run.proposing import UNSETTLED, ProposingSampler, unsettled
from assay.run.records import Records
from assay.run.run import MemoryEstimator, Run
from assay.run.scaffolding import Scaffolding
from assay.run.services import Learner, LocalLearner, LocalPublisher, Publisher, RestartingPublisher, Sampler
from assay.run.threads import RunThreads
from assay.run.watching import Watching
from assay.scaffolds import Plain
from assay.training.checkpoint import latest_checkpoint
from assay.training.memory import give_back_freed_memory
from assay.training.random_state import set_random_state
from assay.training.reference import ReferenceLogprobs
from assay.types import PROPOSAL, Rollout, Sample, Score, Task
from assay.verifiers import Weighted, score_group, score_rollout
from assay.watch import Canaries

REFERENCE = "reference.safetensors"
"""The file of a run with the reference's log-probabilities of given responses."""


@dataclass(frozen=True)
class Resolved:
    """The part of a run's settings that depends on the machine and the folder, and not on the recipe alone."""

    folder: Path
    lock: IO[str]
    model: Model
    device: str
    compute_dtype: torch.dtype
    num_threads: int
    chat_template: str | None
    estimate: MemoryEstimator
    """The memory that the run needs, given the lengths of its episodes and its shares."""
    available_bytes: int
    """Memory of the device."""
    undo: Callable[[], None]
    """Takes back what the start of a new run has made."""


@doing("loading the model")
def wire(config: RunConfig, resolved: Resolved, *, console: Console | None, resume: bool, started: float | None) -> Run:
    """The run, as its newest checkpoint has it where it is resumed.

    Args:
        started: `time.monotonic()` from which the time budget counts.
    """
    cluster = _cluster(config, resolved) if config.cluster.is_used else None
    try:
        return _wire(config, resolved, cluster, console, resume, started)
    except BaseException:
        if cluster is not None:
            cluster.engine.close_now()
        raise


def _cluster(config: RunConfig, resolved: Resolved) -> ClusterParts:
    parts = FarParts.of(config, resolved.model, resolved.device, resolved.compute_dtype, resolved.chat_template)
    return start_cluster(config, parts, resolved.model, resolved.folder)


def _wire(
    config: RunConfig,
    resolved: Resolved,
    cluster: ClusterParts | None,
    console: Console | None,
    resume: bool,
    started: float | None,
) -> Run:
    models = RunModels(
        config,
        resolved.model,
        device=resolved.device,
        compute_dtype=resolved.compute_dtype,
        chat_template=resolved.chat_template,
    )
    learner = _learner(config, models, resolved.folder) if cluster is None else cluster.learner
    curriculum = config.curriculum.begin(config.environment, config.seed)
    if not curriculum.named_levels():
        raise ConfigError(
            f"the curriculum {config.curriculum.name!r} names no level: named_levels() must give at least one"
        )
    store, trackers = RunStore(resolved.folder), Trackers(config.tracking, resolved.folder)
    state = _restore(resolved.folder, learner, curriculum, store, trackers) if resume else None
    if state is None:
        trackers.rollback({})
        if resume:
            # It was ended before its first checkpoint, and begins again.
            store.rollback(0)
    position = Position() if state is None else Position(**state["position"])
    engine = models.engine(version=position.step, proven=True) if cluster is None else cluster.engine
    if cluster is not None:
        cluster.learner.first_version = position.step
    console = console or Console(config.num_steps, config.max_seconds)
    canaries = Canaries(config.watch.canaries, config.environment, config.reward, config.seed)
    first = FirstRollouts(console.message)
    publisher: Publisher = LocalPublisher(learner, engine) if cluster is None else cluster.publisher
    asked = engine
    if config.partial_rollouts == "restart":
        asked = RestartingEngine(engine)
        publisher = RestartingPublisher(publisher, asked)
    sampler = _sampler(config, models, asked, curriculum, console, canaries, first)
    if state is not None:
        sampler.load_state(state["collector"])
    learner.progress = console.within_step
    learner.tell = console.progress
    if isinstance(learner, LocalLearner):
        learner.before_update = _making_room(config, engine)
    held_out = _held_out(config, models, engine, learner, console, position)
    held_out.on_score = first.show
    if isinstance(sampler, ProposingSampler):
        sampler.held_out = held_out.tasks
    if isinstance(engine, HFEngine) and not engine.uses_cache:
        console.message(
            "this architecture cannot be sampled with a key-value cache: every token reads its whole sequence"
        )
    clock = Clock(config, position, started=started, test_seconds=lambda: held_out.test_seconds)
    console.begin([name for name, _ in curriculum.named_levels()], time.monotonic() - clock.seconds)
    records = Records(
        config,
        store,
        trackers,
        console,
        position=position,
        clock=clock,
        renderer=models.renderer,
        device=models.policy.device if cluster is None else torch.device("cpu"),
    )
    keeping = Keeping(
        resolved.folder,
        config.checkpoint,
        records,
        position=position,
        clock=clock,
        learner=learner,
        curriculum=curriculum,
        sampler=sampler,
        engine=engine,
        checkpointed_at=None if state is None else position.step,
    )
    measurements = (PairMeasurements if isinstance(held_out, PairsHeldOut) else Measurements)(
        held_out,
        records,
        keeping,
        every_steps=config.evaluation.every_steps,
        position=position,
        curriculum=curriculum,
        engine=engine,
    )
    if isinstance(measurements, PairMeasurements):
        needs = config.algorithm.needs
        measurements.measures_untrained = not (needs.reference or needs.rewards)
    if isinstance(learner, GivenLearner) and isinstance(held_out, PairsHeldOut):
        learner.upcoming = lambda: _given_samples(config, models, held_out)
    watching = _watching(config, records, keeping, clock, canaries, (state or {}).get("watch", {}))
    return Run(
        config=config,
        folder=resolved.folder,
        model=resolved.model,
        sampler=sampler,
        learner=learner,
        publisher=publisher,
        algorithm=config.algorithm,
        curriculum=curriculum,
        position=position,
        clock=clock,
        records=records,
        measurements=measurements,
        keeping=keeping,
        watching=watching,
        subscribers=[records, *([] if config.algorithm.needs.samples_nothing else [watching]), measurements, keeping],
        engine=engine,
        renderer=models.renderer,
        host=Host(),
        threads=RunThreads(resolved.num_threads, follows=_follows_the_machine(config, resolved)),
        lock=resolved.lock,
        estimate=resolved.estimate,
        available_bytes=resolved.available_bytes,
        undo=resolved.undo,
    )


def _making_room(config: RunConfig, engine: Engine) -> Callable[[], None]:
    """Return what gives memory back before an update: an engine's, where nothing is sampled meanwhile, and with a limit
    also freed blocks, among which an update would find less and less room."""

    def make_room() -> None:
        if isinstance(engine, BatchingEngine) and not config.max_staleness:
            engine.rest()
        if config.max_memory is not None:
            give_back_freed_memory()

    return make_room


def _follows_the_machine(config: RunConfig, resolved: Resolved) -> bool:
    """Return whether the number of threads is free to change between steps."""
    is_free = config.num_threads is None and not config.reproducible and not config.cluster.is_used
    return is_free and resolved.device == "cpu"


def _learner(config: RunConfig, models: RunModels, folder: Path) -> LocalLearner:
    trainer, algorithm = models.trainer(), config.algorithm
    if not algorithm.needs.pairs:
        return LocalLearner(trainer, models.policy)
    if not isinstance(algorithm, Preference):
        raise ConfigError(f"{algorithm.name} needs pairs, and is no Preference: make it a subclass of it")
    kind = RewardLearner if algorithm.needs.rewards else GivenLearner
    known = ReferenceLogprobs(folder / REFERENCE) if algorithm.needs.reference_once else None
    return kind(trainer, models.policy, algorithm, known=known, original=models.original)


def _held_out(
    config: RunConfig,
    models: RunModels,
    engine: Engine,
    learner: Learner,
    console: Console,
    position: Position,
) -> HeldOut:
    if isinstance(learner, GivenLearner):
        return PairsHeldOut(
            config.evaluation,
            config.environment,
            config.readings,
            config.curriculum.levels,
            rewards=learner.rewards,
            renderer=models.renderer,
            max_context=_max_context(config, models),
            progress=console.progress,
        )
    return HeldOut(
        config.evaluation,
        config.environment,
        config.readings,
        config.curriculum.levels,
        config.sampling,
        engine=engine,
        renderer=models.renderer,
        limits=config.limits,
        scaffold=config.scaffold if config.scaffold.stays else Plain(),
        progress=console.progress,
        seconds_per_test_task=position.seconds_per_test_task,
    )


async def _given_samples(config: RunConfig, models: RunModels, held_out: PairsHeldOut) -> list[Sample]:
    """Everything that a run of given responses is going to train on and to measure."""
    curriculum = config.curriculum.begin(config.environment, config.seed)
    ahead = _comparisons(config, models, curriculum)
    training = await ahead.next_groups(config.num_steps * config.groups_per_step)
    return to_samples([*training, *held_out.groups()])


def _comparisons(config: RunConfig, models: RunModels, curriculum: Curriculum) -> GivenResponses:
    return GivenResponses(
        renderer=models.renderer,
        next_task=curriculum.next_task,
        max_context=_max_context(config, models),
        num_responses=config.algorithm.needs.min_group_size,
    )


def _max_context(config: RunConfig, models: RunModels) -> int:
    return min(models.max_context, config.limits.max_context or models.max_context)


def _restore(
    folder: Path, learner: Learner, curriculum: Curriculum, store: RunStore, trackers: Trackers
) -> dict[str, Any] | None:
    """Takes everything back to the newest checkpoint; what it holds beside that, or None where there is none."""
    checkpoint = latest_checkpoint(folder / CHECKPOINTS)
    if checkpoint is None:
        return None
    state = learner.restore(checkpoint)
    curriculum.load_state(state["curriculum"])
    store.rollback(state["position"]["step"])
    trackers.rollback(state["events"])
    set_random_state(state["random"])
    return state


def _watching(
    config: RunConfig, records: Records, keeping: Keeping, clock: Clock, canaries: Canaries, saved: Mapping[str, Any]
) -> Watching:
    """What looks for hacking, as the checkpoint has it that holds `saved`."""
    watching = Watching(config.watch, records, keeping, clock, canaries, seed=config.seed)
    if saved:
        watching.load_state(saved)
    keeping.watching = watching.state
    return watching


def _sampler(
    config: RunConfig,
    models: RunModels,
    engine: Engine,
    curriculum: Curriculum,
    console: Console,
    canaries: Canaries,
    first: FirstRollouts,
) -> Sampler:
    verifier, retries = config.reward, config.rollout_retries

    async def score(rollout: Rollout, task: Task) -> Score:
        if PROPOSAL in task.metadata:
            return UNSETTLED
        found = await score_rollout(verifier, rollout, task, retries=retries)
        first.show(task, rollout.response, found)
        return found

    async def score_together(rollouts: Sequence[Rollout], task: Task) -> Sequence[Score]:
        if PROPOSAL in task.metadata:
            return unsettled(rollouts)
        return await score_group(verifier, rollouts, task, retries=retries)

    if config.algorithm.needs.pairs:
        return _comparisons(config, models, curriculum)
    if config.algorithm.needs.demonstrations:
        return Demonstrations(
            renderer=models.renderer,
            score=score,
            next_task=curriculum.next_task,
            environment=config.environment,
            limits=config.limits,
            max_context=models.max_context,
        )
    scaffolding = Scaffolding(
        config.scaffold,
        config.environment,
        seed=config.seed,
        num_groups=config.num_steps * config.groups_per_step,
    )
    collector = Collector(
        engine=engine,
        renderer=models.renderer,
        make_episode=scaffolding.episode,
        score=score,
        score_group=score_together if verifier.compares else None,
        next_task=canaries.among(scaffolding.marked(curriculum.next_task)),
        sampling=config.sampling,
        group_size=config.group_size,
        run_seed=config.seed,
        max_staleness=config.max_staleness,
        groups_per_step=config.groups_per_step,
        min_group_size=config.algorithm.needs.min_group_size,
        keep=lambda group: PROPOSAL in group.task.metadata or config.algorithm.keep(group),
        max_turns=scaffolding.turns,
        limits=config.limits,
        max_left_out_share=config.max_left_out_share,
        retries=config.rollout_retries,
    )
    collector.progress = console.within_step
    if isinstance(verifier, Weighted) and verifier.constraint is not None:
        return ConstrainedSampler(collector, verifier)
    if isinstance(curriculum, ProposeCurriculum):
        return ProposingSampler(
            collector,
            curriculum,
            min_group_size=config.algorithm.needs.min_group_size,
            keep=config.algorithm.keep,
        )
    return collector

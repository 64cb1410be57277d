"""The parts of a run that are in other processes: how they are built there, and what stands for them here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from assay.algorithms import Algorithm, Needs
from assay.batching.proven import GAP_BELOW, GAP_FP32, PROMPT_TOKENS, samples_of
from assay.cluster.connect import Bundle, RayConnection
from assay.cluster.engines import ClusterEngine, PackedWeights
from assay.cluster.ranks import RankGroup
from assay.cluster.weights import Packed, publishable
from assay.config import dump, validate
from assay.engines import Engine, Probe
from assay.engines.adapted import AdaptedEngine
from assay.engines.proof import Asked
from assay.errors import ClusterError
from assay.models import Model, open_model
from assay.policies.lora import Adapter
from assay.policies.reward import RewardModel
from assay.policies.shards import whole
from assay.recipe import RunConfig
from assay.run.models import RunModels
from assay.run.services import LocalLearner
from assay.training import StepReport
from assay.training.ranks import OneRank, Ranks
from assay.training.sharding import joined, shard
from assay.types import CreditedSample, Sample

_GROUP = contextlib.ExitStack()
"""The process group that a rank's process is in, to its end."""


@dataclass(frozen=True)
class FarParts:
    """All that another process needs to build its part of a run, as plain data."""

    settings: Mapping[str, Any]
    model_folder: str
    base_folder: str | None
    device: str
    compute_dtype: torch.dtype
    chat_template: str | None
    num_threads: int

    @classmethod
    def of(
        cls, config: RunConfig, model: Model, device: str, compute_dtype: torch.dtype, chat_template: str | None
    ) -> FarParts:
        return cls(
            dump(config),
            str(model.folder),
            None if model.adapter is None else str(model.base),
            # Ray shows each process the GPUs that it has, the first of them as number 0.
            torch.device(device).type,
            compute_dtype,
            chat_template,
            torch.get_num_threads(),
        )

    def open(self) -> tuple[RunConfig, RunModels]:
        """The settings and the models of the run, in the process that calls."""
        torch.set_num_threads(self.num_threads)
        config = validate(RunConfig, self.settings)
        model = open_model(self.model_folder, self.base_folder, policy=config.model.policy)
        models = RunModels(
            config, model, device=self.device, compute_dtype=self.compute_dtype, chat_template=self.chat_template
        )
        return config, models


def build_engine(parts: FarParts) -> Engine:
    """An engine whose weights nobody has published; one that takes an adapter alone, where that is trained."""
    models = parts.open()[1]
    engine, policy = models.engine(version=-1), models.policy
    if isinstance(policy, RewardModel) or policy.adapter is None:
        return engine
    return AdaptedEngine(engine, policy.to("cpu"))


def build_rank(parts: FarParts, rank: int, world: int, address: str) -> RankLearner:
    """A rank of the learner, with the weights that training begins with."""
    config, models = parts.open()
    ranks: Ranks = OneRank()
    if world > 1:
        group = joined(address, rank, world, seconds=config.cluster.step_seconds, device=parts.device)
        ranks = _GROUP.enter_context(group)
    beside = models.beside()
    if world > 1:
        for model in (models.policy, *beside.values()):
            shard(model, parts.device)
    return RankLearner(models.trainer(beside, ranks), models.policy, config.algorithm, parts.compute_dtype)


class RankLearner(LocalLearner):
    """The learner's part on one rank: its methods are called on all ranks alike, and rank 0 answers."""

    def __init__(self, trainer: Any, policy: Any, algorithm: Algorithm, dtype: torch.dtype) -> None:
        super().__init__(trainer, policy)
        self._algorithm, self._dtype = algorithm, dtype

    def annotate_now(self, samples: Sequence[Sample], needs: Needs) -> list[Sample] | None:
        annotated = self.trainer.annotate(samples, needs)
        return annotated if self._writes else None

    def update_now(self, samples: Sequence[CreditedSample], spent: float) -> StepReport | None:
        self.spend(spent)
        report = asyncio.run(self.update(samples, self._algorithm))
        return report if self._writes else None

    def updates_made(self) -> int:
        return self.num_updates

    def packed(self) -> Packed | None:
        """The weights, or the factors of an adapter alone, in Ray's store."""
        adapter = self.policy.adapter
        return publishable(
            self.policy.weights() if adapter is None else _factors(adapter), self._dtype, keep=self._writes
        )

    def logprobs(self, asked: Sequence[Asked]) -> list[list[float]]:
        """The log-probability of each token that an engine sampled after a prompt."""
        annotated = self.trainer.annotate_by(self.policy, samples_of(asked), "proximal_logprobs")
        return [_values(sample) for sample in annotated]

    def sees(self, file: str, token: str) -> bool:
        """Return whether this process reads from a file what another has written there."""
        try:
            return Path(file).read_text(encoding="utf-8") == token
        except OSError:
            return False

    def place(self) -> str:
        return os.uname().nodename


class ClusterLearner:
    """Stands for the ranks of the learner in the process of the loop; holds no weights."""

    def __init__(self, ranks: RankGroup) -> None:
        self.ranks = ranks
        self.progress: Callable[[str, int, int], None] = lambda part, done, total: None
        self.tell: Callable[[str, int, int], None] = lambda what, done, total: None
        self.publisher: ClusterPublisher | None = None
        self.first_version = 0
        """The version that is published before anything is sampled."""
        self._counts: dict[str, int] = ranks.call_now("parameter_counts")
        self.holds_published = True
        """False from an update until its weights are on their way."""
        self._num_updates: int | None = None
        self._spent = 0.0

    async def prepare(self) -> None:
        assert self.publisher is not None
        await self.publisher.publish(self.first_version)

    def spend(self, share: float) -> None:
        self._spent = share

    def keep_within(self, tokens_per_microbatch: int) -> None:
        """Nothing: the limit of memory is that of one process, and refused here by the recipe."""

    async def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        return await self.ranks.call("annotate_now", list(samples), needs)

    async def update(self, samples: Sequence[CreditedSample], algorithm: Algorithm) -> StepReport:
        self._num_updates, self.holds_published = None, False
        return await self.ranks.call("update_now", list(samples), self._spent)

    def weights(self) -> Iterable[tuple[str, Tensor]]:
        raise ClusterError("the weights of a cluster's learner are with its ranks: publish them, or write a checkpoint")

    @property
    def num_updates(self) -> int:
        if self.ranks.is_lost:
            # Nobody can say how far they came: the step under way is lost.
            return -1
        made = self._num_updates
        if made is None:
            made = self._num_updates = int(self.ranks.call_now("updates_made"))
        return made

    def parameter_counts(self) -> dict[str, int]:
        return self._counts

    def write_checkpoint(self, folder: Path, step: int, state: Mapping[str, Any]) -> Path:
        return self.ranks.call_now("write_checkpoint", folder, step, dict(state))

    def write_best(self, folder: Path, step: int, accuracy: float) -> None:
        self.ranks.call_now("write_best", folder, step, accuracy)

    def load_trained(self, folder: Path) -> None:
        self.holds_published = False
        self.ranks.call_now("load_trained", folder)

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        self._num_updates, self.holds_published = None, False
        return self.ranks.call_now("restore", checkpoint)


class ClusterPublisher:
    """Brings the weights of the ranks to all engines, and proves that they arrived."""

    def __init__(self, learner: ClusterLearner, engine: ClusterEngine, ray: Any) -> None:
        self._learner, self._ray = learner, ray
        self.engine = engine

    async def publish(self, version: int) -> None:
        packed: Packed = await self._learner.ranks.call("packed")
        self._learner.holds_published = True
        await self.engine.publish(PackedWeights(packed, self._ray), version, self._learned)

    async def _learned(self, asked: Sequence[Asked]) -> Sequence[list[float] | None]:
        """What the ranks say, unless an update was begun since: an engine that is replaced meanwhile gets the weights
        that were published, which nobody else holds any more."""
        if not self._learner.holds_published:
            return [None] * len(asked)
        return await self._learner.ranks.call("logprobs", list(asked))


@dataclass(frozen=True)
class ClusterParts:
    """The parts of a run that are in other processes, as the loop's process sees them."""

    learner: ClusterLearner
    publisher: ClusterPublisher
    engine: ClusterEngine


def start_cluster(config: RunConfig, parts: FarParts, model: Model, folder: Path) -> ClusterParts:
    """Places and starts the ranks and the engines of a run.

    Raises:
        ClusterError: Ray is missing or does not answer, there is no place for a process, or the run folder is not the
            same on all nodes.
        RankError: a rank did not start.
    """
    settings, bundle = config.cluster, bundle_of(parts.device)
    num_processes = settings.num_ranks + settings.num_engines
    connection = RayConnection(
        settings,
        num_processes=num_processes,
        num_gpus=torch.cuda.device_count() if parts.device == "cuda" else 0,
        weights_bytes=model.shape.num_parameters * torch.empty(0, dtype=parts.compute_dtype).element_size(),
    )
    closing: list[Callable[[], None]] = [connection.close]
    try:
        engine = ClusterEngine(
            connection, partial(build_engine, parts), bundle, probe_of(config, parts, model), parts.compute_dtype
        )
        closing.insert(0, engine.close_now)
        ranks = RankGroup(connection, partial(build_rank, parts), settings.num_ranks, bundle)
        closing.insert(0, ranks.close)
        check_shared(ranks, folder)
        learner = ClusterLearner(ranks)
    except BaseException:
        for close in closing:
            close()
        raise
    engine.on_close += [ranks.close, connection.close]
    publisher = learner.publisher = ClusterPublisher(learner, engine, connection.ray)
    return ClusterParts(learner, publisher, engine)


def bundle_of(device: str) -> Bundle:
    """What a rank or an engine needs: a core, and a GPU where it computes on one."""
    return {"CPU": 1.0, "GPU": 1.0} if device == "cuda" else {"CPU": 1.0}


def probe_of(config: RunConfig, parts: FarParts, model: Model) -> Probe:
    """The probe of a run: prompts of the model's own vocabulary, at the temperature that is trained at."""
    settings = config.cluster
    exact = parts.compute_dtype == torch.float32 and not (config.engine and config.engine.needs_correction)
    allowed = GAP_FP32 if exact else GAP_BELOW
    return Probe(
        num_prompts=settings.probe_prompts,
        prompt_tokens=min(PROMPT_TOKENS, model.shape.max_context // 2),
        temperature=config.sampling.temperature,
        vocab_size=model.shape.vocab_size,
        max_gap_nats=allowed if settings.max_gap_nats is None else settings.max_gap_nats,
    )


def check_shared(ranks: RankGroup, folder: Path) -> None:
    """Makes sure that ranks write to the run folder that this process reads.

    Raises:
        ClusterError: another node has another folder under that path.
    """
    file, token = folder / f".shared-{secrets.token_hex(4)}", secrets.token_hex(16)
    file.write_text(token, encoding="utf-8")
    try:
        if not ranks.call_now("sees", str(file), token):
            raise ClusterError(
                f"the run folder {folder} is not shared: rank 0 on {ranks.call_now('place')} does not see what was "
                "written there; put it on a disk that all nodes mount (--run-folder)"
            )
    finally:
        file.unlink(missing_ok=True)


def _factors(adapter: Adapter) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of each factor, gathered from all ranks where it is sharded."""
    return ((name, whole(parameter.detach())) for name, parameter in adapter.named_parameters())


def _values(sample: Sample) -> list[float]:
    assert sample.proximal_logprobs is not None
    return sample.proximal_logprobs[sample.loss_mask].tolist()

"""The services that the loop awaits: a sampler, a learner and a publisher. Here each is in this process."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from torch import Tensor

from assay.algorithms import Algorithm, Needs
from assay.engines import Engine, EnginePool, RestartingEngine
from assay.policies.policy import Policy
from assay.training import StepReport, Trainer, read_checkpoint, write_best, write_checkpoint
from assay.training.checkpoint import load_trained
from assay.training.step_size import STEP_KL, WEIGHT_CHANGE, WeightSample, read_again, step_kl
from assay.types import CreditedSample, Group, Sample


class Sampler(Protocol):
    """Gives groups of scored rollouts, in issue order. Used as `async with`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    async def next_groups(self, num_groups: int) -> list[Group]:
        """The next groups, at most `max_staleness` versions old."""
        ...

    def take_dropped(self) -> list[Group]:
        """Groups that were dropped and replaced since the last call."""
        ...

    def counters(self) -> dict[str, float]:
        """Return the counts of the last `next_groups`: metrics by name."""
        ...

    def state(self) -> dict[str, Any]:
        """Return all that a resumed run needs to go on with the same rollouts, as plain data."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes back what `state` gave."""
        ...


class Learner(Protocol):
    """The only owner of parameters and optimizers; it does not know which algorithm it serves."""

    async def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        """The samples with the log-probabilities and values that the algorithm needs."""
        ...

    async def update(self, samples: Sequence[CreditedSample], algorithm: Algorithm) -> StepReport:
        """Makes the step's updates. A learner of several ranks decides together which of them are left out."""
        ...

    def weights(self) -> Iterable[tuple[str, Tensor]]:
        """(name, tensor) of every weight that the engine samples with, under Hugging Face names."""
        ...

    @property
    def num_updates(self) -> int:
        """Updates made since the run began, those of a critic alone included."""
        ...

    progress: Callable[[str, int, int], None]
    """Told of each micro-batch of a step: "micro-batches", how many are done, and of how many."""
    tell: Callable[[str, int, int], None]
    """Told how far a computation before the steps has come."""

    async def prepare(self) -> None:
        """Does what has to be done before anything is sampled or trained."""
        ...

    def spend(self, share: float) -> None:
        """Takes note of the share of the run's budget that is spent."""
        ...

    def keep_within(self, tokens_per_microbatch: int) -> None:
        """Packs micro-batches of at most so many tokens from now on."""
        ...

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of the model's parameters, and of those that are trained."""
        ...

    def write_checkpoint(self, folder: Path, step: int, state: Mapping[str, Any]) -> Path:
        """Writes everything that is needed to go on, and what the caller wants back; see `training.checkpoint`."""
        ...

    def write_best(self, folder: Path, step: int, accuracy: float) -> None:
        """Makes the model as it is the best one, in place of any other."""
        ...

    def load_trained(self, folder: Path) -> None:
        """Loads what is trained from the folder of a model that training wrote."""
        ...

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        """Takes weights and optimizer back to a checkpoint; returns the state that the caller gave it."""
        ...


class Publisher(Protocol):
    """The service that brings the learner's weights to whoever samples."""

    async def publish(self, version: int) -> None:
        """Returns when every request from here on is answered with these weights, and stamped with their version."""
        ...


class LocalLearner:
    """The trainer in this process."""

    def __init__(self, trainer: Trainer, policy: Policy) -> None:
        self.trainer = trainer
        self.policy = policy
        self.progress: Callable[[str, int, int], None] = lambda part, done, total: None
        """Told of each micro-batch of a step: "micro-batches", how many are done, and of how many."""
        self.tell: Callable[[str, int, int], None] = lambda what, done, total: None
        """Told how far a computation before the steps has come."""
        self.before_update: Callable[[], None] = lambda: None
        """Called before each step's updates: whoever shares the memory makes room."""

    async def prepare(self) -> None:
        """Computes what has to be there before the first step; nothing, unless a subclass says otherwise."""

    def spend(self, share: float) -> None:
        self.trainer.budget_spent = share

    def keep_within(self, tokens_per_microbatch: int) -> None:
        self.trainer.tokens_per_microbatch = tokens_per_microbatch

    def write_checkpoint(self, folder: Path, step: int, state: Mapping[str, Any]) -> Path:
        return write_checkpoint(folder, step, self.policy, self.trainer, state, writes=self._writes)

    def write_best(self, folder: Path, step: int, accuracy: float) -> None:
        write_best(folder, step, accuracy, self.policy, writes=self._writes)

    def load_trained(self, folder: Path) -> None:
        load_trained(folder, self.policy)

    def restore(self, checkpoint: Path) -> dict[str, Any]:
        return read_checkpoint(checkpoint, self.policy, self.trainer)

    @property
    def _writes(self) -> bool:
        """True on the one rank that writes files."""
        return self.trainer.ranks.rank == 0

    async def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        return self.trainer.annotate(samples, needs)

    async def update(self, samples: Sequence[CreditedSample], algorithm: Algorithm) -> StepReport:
        self.before_update()
        minibatches = self.trainer.pack(samples)
        total = self.trainer.settings.epochs_per_step * sum(map(len, minibatches))
        counted = itertools.count(1)
        # A minibatch whose gradients overflowed is computed again.
        self.trainer.on_microbatch = lambda: self.progress("micro-batches", min(next(counted), total), total)
        weights = WeightSample(self.policy.parameters())
        report = self.trainer.update(minibatches, algorithm)
        size = {WEIGHT_CHANGE: weights.change(), **self._moved(samples, report, algorithm)}
        return dataclasses.replace(report, metrics={**report.metrics, **size})

    def _moved(self, samples: Sequence[Sample], report: StepReport, algorithm: Algorithm) -> dict[str, float]:
        """How far the step moved the policy, on a few of its samples; nothing where no update was made."""
        if algorithm.needs.samples_nothing or algorithm.needs.rewards or not report.num_updates:
            return {}
        again = read_again(samples, report.trainer_logprobs)
        after = [
            value
            for sample in self.trainer.annotate_by(self.policy, again, "proximal_logprobs")
            if sample.proximal_logprobs is not None
            for value in sample.proximal_logprobs[sample.loss_mask].tolist()
        ]
        before = [value for each in again for value in report.trainer_logprobs[each.group_id, each.member]]
        return {STEP_KL: step_kl(before, after)}

    def weights(self) -> Iterable[tuple[str, Tensor]]:
        return self.policy.weights()

    @property
    def num_updates(self) -> int:
        return self.trainer.num_updates + self.trainer.num_critic_updates

    def parameter_counts(self) -> dict[str, int]:
        """Return the number of the model's parameters, and of those that are trained."""
        frozen = sum(parameter.numel() for parameter in self.policy.parameters() if not parameter.requires_grad)
        trained = sum(parameter.numel() for parameter in self.policy.parameters() if parameter.requires_grad)
        return {"num_parameters": frozen or trained, "num_trained_parameters": trained}


class LocalPublisher:
    """Hands the weights to the engine: in this process nothing is copied but what the engine's own form needs."""

    def __init__(self, learner: Learner, engine: Engine) -> None:
        self._learner = learner
        self._engine = engine

    async def publish(self, version: int) -> None:
        if isinstance(self._engine, EnginePool):
            # In another process: sent, and proved to have arrived.
            await self._engine.publish(self._learner.weights(), version)
        else:
            await self._engine.load_weights(self._learner.weights(), version)


class RestartingPublisher:
    """Takes back what is under way before a publish, so that each completion is of one version."""

    def __init__(self, publisher: Publisher, engine: RestartingEngine) -> None:
        self._publisher, self._engine = publisher, engine

    async def publish(self, version: int) -> None:
        async with self._engine.renewed():
            await self._publisher.publish(version)

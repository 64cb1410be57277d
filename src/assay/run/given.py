"""The learner of a run whose responses are given: the reference is asked once, before training, and then let go."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Sequence

import torch

from assay.algorithms import Needs
from assay.algorithms.preference import Preference, Responses
from assay.batching import scored, to_samples
from assay.policies.policy import Policy
from assay.run.services import LocalLearner
from assay.training import Trainer
from assay.training.reference import ReferenceLogprobs
from assay.types import Group, Sample

SAMPLES_AT_ONCE = 64
"""Responses that are computed between two words of progress."""


class GivenLearner(LocalLearner):
    """The trainer in this process, for algorithms of given responses.

    Args:
        known: what the reference says; None where the algorithm needs no reference, or has it in memory.
        original: loads the model that training began with once more.
    """

    def __init__(
        self,
        trainer: Trainer,
        policy: Policy,
        algorithm: Preference,
        *,
        known: ReferenceLogprobs | None,
        original: Callable[[], Policy],
    ) -> None:
        super().__init__(trainer, policy)
        self._algorithm = algorithm
        self._known = known
        self._original = original
        self.upcoming: Callable[[], Awaitable[list[Sample]]] | None = None
        """Gives all samples that the run is going to need, in training and in measurement."""

    async def prepare(self) -> None:
        """Computes the reference's log-probabilities of everything that the run is going to need, and keeps them in the
        run folder. Before the first update the policy is the reference: no second model is loaded."""
        if self._known is None or self.upcoming is None:
            return
        missing = self._known.missing(await self.upcoming())
        model = self.policy if not missing or self.num_updates == 0 else self._original()
        for start in range(0, len(missing), SAMPLES_AT_ONCE):
            some = missing[start : start + SAMPLES_AT_ONCE]
            self._known.add(some, lambda samples: self.trainer.annotate_by(model, samples, "reference_logprobs"))
            self.tell("log-probabilities of the reference", start + len(some), len(missing))
        if missing:
            self._known.save()

    def samples_of(self, groups: Sequence[Group]) -> list[Sample]:
        """Return the samples of groups as they are measured."""
        return to_samples(groups)

    async def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        if self._known is None:
            return self.trainer.annotate(samples, needs)
        return self._known.annotate(self.trainer.annotate(samples, dataclasses.replace(needs, reference=False)))

    async def rewards(self, groups: Sequence[Group]) -> list[list[float]]:
        """Return the implicit reward of each response of groups under the policy as it is now."""
        if not groups:
            return []
        # The groups of a measurement have numbers of their own, each once.
        needs = Needs(reference=self._algorithm.needs.reference)
        samples = self.trainer.annotate_by(self.policy, self.samples_of(groups), "proximal_logprobs")
        samples = await GivenLearner.annotate(self, samples, needs)
        places = {
            (group.group_id, rollout.member): place
            for place, (group, rollout) in enumerate((group, r) for group in groups for r in group.rollouts)
        }
        units = torch.tensor([places[sample.group_id, sample.member] for sample in samples])

        def summed(values: list[torch.Tensor]) -> torch.Tensor:
            return torch.zeros(len(places)).index_add(0, units, torch.stack(values))

        responses = Responses(
            summed([_trained(sample, sample.proximal_logprobs).sum() for sample in samples]),
            summed([sample.loss_mask.sum().float() for sample in samples]),
            torch.ones(len(places)),
            summed([_trained(sample, sample.reference_logprobs).sum() for sample in samples])
            if needs.reference
            else None,
        )
        found = iter(self._algorithm.implicit_reward(responses).tolist())
        return [[next(found) for _ in group.rollouts] for group in groups]


class RewardLearner(GivenLearner):
    """The trainer of a reward model, to which a response is a whole text with one reward."""

    def samples_of(self, groups: Sequence[Group]) -> list[Sample]:
        return scored(to_samples(groups))

    async def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        return scored(samples)


def _trained(sample: Sample, values: torch.Tensor | None) -> torch.Tensor:
    assert values is not None
    return values[sample.loss_mask]

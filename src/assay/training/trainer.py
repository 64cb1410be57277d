"""The trainer: annotate samples, update the policy. It does not know which algorithm it serves.

One update is one minibatch: forward and backward over its micro-batches, the summed loss divided by a count over all of
them, clip, check, AdamW. An update whose loss or gradient is not finite, or that runs out of memory, is skipped whole:
weights, moments and the learning rate's clock stay as they were.

Shape letters: N predicted tokens of a micro-batch, L tokens of a sample.
"""

from __future__ import annotations

import gc
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from assay.algorithms.algorithm import Algorithm, LossInputs
from assay.algorithms.needs import Needs
from assay.batching import mismatched, pack
from assay.errors import ConfigError, ContractError, TrainingStoppedError, is_out_of_memory
from assay.losses import reference_point, token_weights
from assay.losses.value import VALUE_LOSS
from assay.policies.policy import Policy, PolicyOutput
from assay.policies.value import ValueModel
from assay.training.critic import Critic
from assay.training.minibatch import (
    MinibatchSums,
    UpdateResult,
    batch_of,
    count_of,
    explained_variance,
    group_tokens,
    over_updates,
)
from assay.training.ranks import OneRank, Ranks, share_out
from assay.training.report import (
    LEARNING_RATE,
    NUM_PACKED_TOKENS,
    NUM_SKIPPED,
    NUM_TOKENS,
    NUM_UPDATES,
    UPDATE_SECONDS,
    StepRecorder,
    StepReport,
)
from assay.training.schedule import check_schedule, learning_rate_factor
from assay.training.settings import TrainerSettings
from assay.training.trained import OptimizerOptions, TrainedModule
from assay.types import Batch, Sample

LOSS_SCALE_UPDATES = 200
"""Updates in a row without an overflow after which fp16's loss scale is doubled."""
MAX_LOSS_SCALE_EXPONENT = 24
CRITIC = "critic/"
"""Prefix of the critic's tensors in a trainer's state."""


@dataclass
class _Counters:
    num_updates: int = 0
    loss_scale_exponent: int = 16
    """Exponent of the loss scale: in fp16 the loss is multiplied by 2 to this, so that small gradients do not underflow
    to 0."""
    num_since_overflow: int = 0
    """Updates made in a row since the scale was last changed."""
    num_skipped: int = 0
    num_skipped_in_a_row: int = 0
    num_steps: int = 0
    num_critic_updates: int = 0
    """Updates that the critic made alone."""


@dataclass(frozen=True)
class TrainerStateDict:
    """All that a trainer remembers, apart from the weights."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    """"exp_avg/NAME", "exp_avg_sq/NAME" and "step/NAME" of each parameter; empty before the first update."""
    counters: dict[str, int] = field(default_factory=dict)


class Trainer:
    """Owns the optimizer of one policy."""

    def __init__(
        self,
        policy: Policy,
        settings: TrainerSettings,
        *,
        temperature: float,
        tokens_per_microbatch: int = 8192,
        minibatches_per_step: int = 1,
        num_steps: int | None = None,
        reference: Policy | None = None,
        teacher: Policy | None = None,
        critic: ValueModel | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        """
        Args:
            temperature: the one that was sampled at: it divides the trainer's logits too.
            tokens_per_microbatch, minibatches_per_step: how `pack` packs.
            num_steps: of the whole run; schedules that fall need it.
            reference, teacher: models that are not trained, for algorithms that need their log-probabilities.
            critic: a model that is trained beside the policy, for algorithms that need its values.
            ranks: the other ranks of a learner that is several processes.

        Raises:
            ConfigError: the temperature is not positive; the schedule falls and nobody says until when, or its warm-up
                is as long as the run.
        """
        if not (temperature > 0.0 and math.isfinite(temperature)):
            raise ConfigError(
                f"temperature {temperature} cannot be trained at: log-probabilities need one above 0; set it to 1"
            )
        self.policy = policy
        self.reference = reference
        self.teacher = teacher
        self.settings = settings
        self.temperature = temperature
        self.tokens_per_microbatch = tokens_per_microbatch
        self.minibatches_per_step = minibatches_per_step
        self.updates_per_step = settings.epochs_per_step * minibatches_per_step
        moving_steps = None if num_steps is None else num_steps - settings.critic_warmup_steps
        if moving_steps is not None and moving_steps < 1:
            raise ConfigError(
                f"trainer.critic_warmup_steps={settings.critic_warmup_steps} leaves the policy none of the {num_steps} "
                "steps: lower it"
            )
        self._total_updates = None if moving_steps is None else moving_steps * self.updates_per_step
        check_schedule(settings.schedule, settings.warmup_steps, self._total_updates)
        options = OptimizerOptions(settings.betas, settings.epsilon, settings.weight_decay, settings.max_grad_norm)
        self._trained = TrainedModule("policy", policy.named_parameters(), options, keeps_weights=False)
        self.critic = None if critic is None else Critic(critic, options)
        self.ranks: Ranks = ranks or OneRank()
        self._counters = _Counters()
        self._scales_loss = getattr(policy, "compute_dtype", None) == torch.float16
        self.budget_spent = 0.0
        self.on_microbatch: Callable[[], None] = lambda: None
        """Share of the run's budget of time or tokens that is spent, where it has one. A schedule that falls is at
        least as far along."""

    @property
    def _loss_scale(self) -> float:
        """A power of two: multiplying by it and dividing by it again rounds nothing, but for what falls below fp16."""
        return 2.0**self._counters.loss_scale_exponent if self._scales_loss else 1.0

    @property
    def num_updates(self) -> int:
        """Updates made since the run began."""
        return self._counters.num_updates

    @property
    def num_critic_updates(self) -> int:
        """Updates that the critic has made alone since the run began."""
        return self._counters.num_critic_updates

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next update."""
        return self.settings.learning_rate * self._rate_factor

    @property
    def _rate_factor(self) -> float:
        s = self.settings
        return learning_rate_factor(
            s.schedule, self.num_updates, s.warmup_steps, self._total_updates, self.budget_spent
        )

    @property
    def _critic_learning_rate(self) -> float:
        return self._rate_factor * (self.settings.critic_learning_rate or self.settings.learning_rate)

    def annotate(self, samples: Sequence[Sample], needs: Needs) -> list[Sample]:
        """Adds the log-probabilities that the algorithm needs: the trainer's at the start of the step, and those of
        models that are not trained.

        With one update per step the trainer's own are what the update itself computes: then they are not added, unless
        credit looks at them.

        Raises:
            ContractError: the algorithm needs a model that this trainer was not given.
            TrainingStoppedError: the device has no memory even for a pass without gradients.
        """
        annotated = list(samples)
        if needs.proximal_in_credit or (needs.proximal and self.updates_per_step > 1):
            annotated = self._annotate(annotated, self._logprobs_of(self.policy), "proximal_logprobs")
        if needs.values:
            if self.critic is None:
                raise ContractError("the algorithm needs a critic, and the trainer has none")
            annotated = self._annotate(annotated, self.critic.values, "values")
        for wanted, model, name in (
            (needs.reference, self.reference, "reference"),
            (needs.teacher, self.teacher, "teacher"),
        ):
            if wanted and model is None:
                raise ContractError(f"the algorithm needs a {name} model, and the trainer has none")
            if wanted and model is not None and not (name == "teacher" and needs.teacher_distribution):
                annotated = self._annotate(annotated, self._logprobs_of(model), f"{name}_logprobs")
        if needs.reference_point:
            annotated = self._with_reference_point(annotated)
        return annotated

    def annotate_by(self, model: Policy, samples: Sequence[Sample], name: str) -> list[Sample]:
        """The samples with what a model says of each trained-on token, as the annotation of this name; no gradient."""
        return self._annotate(list(samples), self._logprobs_of(model), name)

    def pack(self, samples: Sequence[Sample]) -> list[list[Batch]]:
        """Minibatches as `update` takes them, and as `annotate` computes them."""
        return pack(
            samples, self.tokens_per_microbatch, self.minibatches_per_step, share_prompts=self.policy.shares_prompts
        )

    def _with_reference_point(self, samples: list[Sample]) -> list[Sample]:
        """The samples with the divergence from the reference as their responses after other prompts show it."""
        if self.reference is None:
            raise ContractError("the algorithm needs a reference model, and the trainer has none")
        others = mismatched(samples, self.policy.max_context)
        for model, name in ((self.policy, "proximal_logprobs"), (self.reference, "reference_logprobs")):
            others = self._annotate(others, self._logprobs_of(model), name)
        ratios = [float(_sum(sample.proximal_logprobs) - _sum(sample.reference_logprobs)) for sample in others]
        point = float(reference_point(torch.tensor(ratios)))
        return [sample.replace(reference_point=point) for sample in samples]

    def _logprobs_of(self, model: Policy) -> Callable[[Batch], Tensor]:
        return lambda batch: model.forward(batch, temperature=self.temperature).logprobs

    @torch.no_grad()
    def _annotate(self, samples: list[Sample], compute: Callable[[Batch], Tensor], name: str) -> list[Sample]:
        """Samples with `name`, [L] each: what a pass over them says of each trained-on token, 0 elsewhere."""
        annotated = [sample.replace(**{name: torch.zeros(len(sample.token_ids))}) for sample in samples]
        try:
            found: list[tuple[int, Tensor]] = []
            for minibatch in self.pack(samples):
                for turn in share_out(len(minibatch), self.ranks.rank, self.ranks.world):
                    batch = batch_of(minibatch, turn.batch)
                    pieces = compute(batch.to(self.policy.device)).float().cpu().split(batch.sequence_lengths.tolist())
                    if turn.batch is not None:
                        found += zip(batch.sample_ids.tolist(), pieces, strict=True)
            for sample_id, piece in itertools.chain.from_iterable(self.ranks.gather(found)):
                sample = annotated[sample_id]
                getattr(sample, name)[sample.loss_mask] = piece
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingStoppedError(
                f"out of memory in a pass without gradients over {self.tokens_per_microbatch} tokens; "
                "lower tokens_per_microbatch"
            ) from error
        return annotated

    def update(self, minibatches: Sequence[Sequence[Batch]], algorithm: Algorithm) -> StepReport:
        """Makes one update per minibatch and epoch; in the steps of `critic_warmup_steps` the critic alone learns, and
        its further passes come after the policy's.

        Raises:
            TrainingStoppedError: `max_skipped_in_a_row` updates in a row had to be left out.
        """
        start = time.perf_counter()
        recorder, num_skipped = StepRecorder(), 0
        made: list[UpdateResult] = []
        metrics: dict[str, float] = {}
        is_warmup = self.critic is not None and self._counters.num_steps < self.settings.critic_warmup_steps
        num_epochs = 0 if is_warmup else self.settings.epochs_per_step
        for epoch in range(num_epochs):
            for minibatch in minibatches:
                update, cause = self._try_update(minibatch, algorithm, recorder, epoch == 0, at_start=not made)
                if update is not None:
                    metrics[LEARNING_RATE] = self.learning_rate
                    self._step_optimizer()
                    made.append(update)
                self._drop_gradients()
                if cause:
                    num_skipped += 1
                    self._count_skipped(cause)
        recorder = StepRecorder.together(self.ranks.gather(recorder))
        metrics |= recorder.metrics() | over_updates(made) | explained_variance(minibatches)
        if self.critic is not None and (alone := self._critic_passes(minibatches, algorithm, num_epochs)):
            together = len(made) * metrics.get(VALUE_LOSS, 0.0)
            metrics[VALUE_LOSS] = (together + sum(alone)) / (len(made) + len(alone))
        self._counters.num_steps += 1
        metrics |= {
            NUM_UPDATES: len(made),
            NUM_SKIPPED: num_skipped,
            NUM_TOKENS: sum(batch.num_predictions for minibatch in minibatches for batch in minibatch),
            NUM_PACKED_TOKENS: sum(batch.num_tokens for minibatch in minibatches for batch in minibatch),
            UPDATE_SECONDS: time.perf_counter() - start,
        }
        return StepReport(metrics, recorder.trainer_logprobs, len(made), num_skipped)

    def _critic_passes(
        self, minibatches: Sequence[Sequence[Batch]], algorithm: Algorithm, num_epochs: int
    ) -> list[float]:
        """The critic's passes beyond the `num_epochs` that it had beside the policy; the loss of each update."""
        assert self.critic is not None
        wanted = self.settings.critic_epochs_per_step or self.settings.epochs_per_step
        losses: list[float] = []
        for _ in range(num_epochs, wanted):
            losses += self.critic.learn(minibatches, algorithm.value_loss, self._critic_learning_rate, self.ranks)
        self._counters.num_critic_updates += len(losses)
        return losses

    def state_dict(self) -> TrainerStateDict:
        """The optimizer's moments and all counters, by parameter name; tensors are shared, not copied."""
        tensors = self._trained.tensors()
        if self.critic is not None:
            tensors |= {f"{CRITIC}{name}": tensor for name, tensor in self.critic.tensors().items()}
        return TrainerStateDict(tensors, vars(self._counters).copy())

    def load_state_dict(self, state: TrainerStateDict) -> None:
        """Takes back what `state_dict` gave.

        Raises:
            ValueError: a tensor is missing, left over, or of another shape.
        """
        own, of_critic = dict(state.tensors), {}
        if self.critic is not None:
            of_critic = {name.removeprefix(CRITIC): own.pop(name) for name in list(own) if name.startswith(CRITIC)}
            # In its warm-up the critic has moments and the policy none.
            has_moments = bool(own) or any(name.startswith("exp_avg/") for name in of_critic)
            self.critic.check_tensors(of_critic, with_moments=has_moments)
        self._trained.check_tensors(own, with_moments=bool(own))
        self._counters = _Counters(**state.counters)
        self._trained.load_tensors(own)
        if self.critic is not None:
            self.critic.load_tensors(of_critic)

    def _try_update(
        self,
        minibatch: Sequence[Batch],
        algorithm: Algorithm,
        recorder: StepRecorder,
        first_epoch: bool,
        at_start: bool,
    ) -> tuple[UpdateResult | None, str]:
        """Gradients of one minibatch; (None, the cause) where they cannot be used, on this rank or another."""
        update, cause = None, ""
        try:
            update = self._accumulate(minibatch, algorithm, recorder if first_epoch else None, at_start)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if self.ranks.world > 1:
                # The others are in the middle of a layer that all gather together.
                raise TrainingStoppedError(
                    f"rank {self.ranks.rank} is out of memory in an update; lower tokens_per_microbatch, or use more "
                    "ranks (cluster.learner)"
                ) from error
            cause = "out of memory"
        while self._loss_scale > 1.0 and self.ranks.any([update is not None and update.overflowed])[0]:
            # The scaled gradient left fp16's range: the same update with half the scale. It is none that is left out.
            self._counters.loss_scale_exponent -= 1
            self._counters.num_since_overflow = 0
            self._drop_gradients()
            update = self._accumulate(minibatch, algorithm, None, at_start)
        if update is not None and not update.finite:
            cause = f"loss {update.loss:g}, gradient norm {update.gradient_norm:g}"
        cause = self.ranks.worst(cause)
        return (None, cause) if cause else (update, "")

    def _accumulate(
        self, minibatch: Sequence[Batch], algorithm: Algorithm, recorder: StepRecorder | None, at_start: bool
    ) -> UpdateResult:
        count = count_of(minibatch, algorithm)
        total = MinibatchSums()
        for module in filter(None, (self._trained, self.critic)):
            module.begin_gradients()
        num_tokens = sum(batch.num_predictions for batch in minibatch)
        tokens_of_groups = group_tokens(minibatch)
        # Where no token has credit, neither has the loss a gradient: the pass forward is for the record only.
        gradients = [bool(batch.advantages.any()) or not algorithm.gradient_is_credit for batch in minibatch]
        for turn in share_out(len(minibatch), self.ranks.rank, self.ranks.world):
            batch = batch_of(minibatch, turn.batch).to(self.policy.device)
            # Decided for the round: a rank that went backward alone would wait for the others.
            has_gradient = any(gradients[place] for place in turn.together)
            with torch.set_grad_enabled(has_gradient):
                output = self._forward(batch, algorithm.needs)
            if turn.batch is None:
                self._count_for_nothing(batch, output, has_gradient)
                continue
            if recorder is not None:
                recorder.record_entropy(output.entropy)
                # Rewards are no log-probabilities of what was sampled.
                if (batch.proximal_logprobs is not None or at_start) and not algorithm.needs.rewards:
                    recorder.record_start(batch, _at_step_start(batch, output.logprobs))
            inputs = _loss_inputs(batch, algorithm, output, tokens_of_groups)
            result = algorithm.loss(inputs)
            if has_gradient:
                (result.loss_sum / count * self._loss_scale).backward()
            if self.critic is not None:
                total.critic_loss += self.critic.accumulate(batch, num_tokens, algorithm.value_loss)
            loss = float(result.loss_sum.detach()) / count
            total.add(loss, float(inputs.weights.sum()), result.metric_sums, result.metric_maxima)
            self.on_microbatch()
        total = MinibatchSums.together(self.ranks.gather(total))
        means, critic_norm = {name: value / total.weights for name, value in total.sums.items()}, 0.0
        if self.critic is not None:
            means[VALUE_LOSS] = total.critic_loss
            critic_norm = self.critic.gradient_norm()
        norm = self._trained.gradient_norm(self._loss_scale)
        return UpdateResult(total.loss, means, total.maxima, norm, critic_norm)

    def _count_for_nothing(self, batch: Batch, output: PolicyOutput, has_gradient: bool) -> None:
        """Makes the passes that the other ranks make, with a gradient of zeros."""
        if has_gradient:
            (output.logprobs.sum() * 0.0).backward()
        if self.critic is not None:
            (self.critic.values(batch).sum() * 0.0).backward()

    def _forward(self, batch: Batch, needs: Needs) -> PolicyOutput:
        options: dict[str, Any] = {"temperature": self.temperature, "entropy_gradient": needs.entropy_gradient}
        if needs.teacher_distribution:
            if self.teacher is None:
                raise ContractError("the algorithm needs a teacher model, and the trainer has none")
            options["teacher"] = self.teacher
        return self.policy.forward(batch, **options)

    def _step_optimizer(self) -> None:
        self._trained.step(self.learning_rate)
        if self.critic is not None:
            self.critic.step(self._critic_learning_rate)
        self._counters.num_updates += 1
        self._counters.num_skipped_in_a_row = 0
        self._counters.num_since_overflow += self._scales_loss
        if self._counters.num_since_overflow >= LOSS_SCALE_UPDATES:
            self._counters.loss_scale_exponent = min(self._counters.loss_scale_exponent + 1, MAX_LOSS_SCALE_EXPONENT)
            self._counters.num_since_overflow = 0

    def _drop_gradients(self) -> None:
        self._trained.drop_gradients()
        if self.critic is not None:
            self.critic.drop_gradients()

    def _count_skipped(self, cause: str) -> None:
        if cause == "out of memory":
            gc.collect()
            if self.policy.device.type == "cuda":
                torch.cuda.empty_cache()
        self._counters.num_skipped += 1
        self._counters.num_skipped_in_a_row += 1
        if self._counters.num_skipped_in_a_row >= self.settings.max_skipped_in_a_row:
            remedy = (
                "lower tokens_per_microbatch or the group size, or use a smaller model"
                if cause == "out of memory"
                else "lower learning_rate, compute in fp32, or look for rewards that are not in scale"
            )
            raise TrainingStoppedError(
                f"{self._counters.num_skipped_in_a_row} updates in a row were left out (the last: {cause}); {remedy}"
            )


def _sum(values: Tensor | None) -> Tensor:
    assert values is not None
    return values.double().sum()


def _at_step_start(batch: Batch, policy_logprobs: Tensor) -> Tensor:
    return policy_logprobs.detach() if batch.proximal_logprobs is None else batch.proximal_logprobs


def _loss_inputs(
    batch: Batch, algorithm: Algorithm, output: PolicyOutput, group_tokens: Mapping[int, int]
) -> LossInputs:
    against_sampler = algorithm.ratio_against == "sampling"
    group_lengths = torch.tensor([group_tokens[i] for i in batch.group_ids.tolist()], device=batch.group_ids.device)
    return LossInputs(
        policy_logprobs=output.logprobs,
        old_logprobs=batch.sampling_logprobs if against_sampler else _at_step_start(batch, output.logprobs),
        advantages=batch.advantages,
        weights=token_weights(
            algorithm.normaliser,
            batch.sequence_ids,
            batch.sequence_lengths,
            batch.sequence_weights,
            group_lengths,
            batch.turn_lengths,
        ),
        entropy=output.entropy,
        sequence_ids=batch.sequence_ids,
        num_sequences=len(batch.sequence_lengths),
        group_ids=batch.group_ids,
        unit_ids=batch.unit_ids,
        sampling_logprobs=batch.sampling_logprobs,
        reference_logprobs=batch.reference_logprobs,
        reference_points=batch.reference_points,
        teacher_kl=output.teacher_kl,
    )

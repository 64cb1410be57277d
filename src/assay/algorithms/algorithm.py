"""The Algorithm base: two small functions and a statement of what they need. Algorithms hold no state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import pydantic

from assay.algorithms.needs import Needs
from assay.algorithms.turn_credit import (
    CreditBy,
    TurnRewards,
    check_float32,
    check_turn_rewards,
    comparisons,
    earned_by_turn,
    paid_metrics,
    state_metrics,
    totals,
)
from assay.components import Chosen, Component
from assay.errors import ContractError
from assay.estimators import overlong_penalty
from assay.later import torch
from assay.losses import (
    OFF_POLICY_SHARE,
    ImportanceCorrection,
    Normaliser,
    correction_weights,
    k1,
    kl_metrics,
    kl_penalty,
    off_policy_mask,
    ratio_metrics,
)
from assay.losses.ratio import RATIO_MAX, RATIO_MEAN
from assay.observe.step_metrics import SIGNAL
from assay.types import CreditedSample, EndingKind, Group, Rollout, Sample, Score

if TYPE_CHECKING:
    from torch import Tensor

RatioAgainst = Literal["proximal", "sampling"]
"""The log-probabilities that the importance ratio is taken against. proximal: the trainer's own at the start of the
update. sampling: the engine's, as sampled; the ratio then also corrects for stale weights and for what engine and
trainer compute differently."""


@dataclass(frozen=True, eq=False)
class LossInputs:
    """The inputs of a loss: one entry a predicted token, [N], in packed order."""

    policy_logprobs: Tensor
    """[N] now; differentiable."""
    old_logprobs: Tensor
    """[N] what the ratio is taken against: the trainer's at the start of the update, or the sampler's."""
    advantages: Tensor
    """[N]"""
    weights: Tensor
    """[N] share of each token in the sum, as the normaliser says; multiply and add up, never average."""
    entropy: Tensor
    """[N] nats; detached unless the algorithm needs its gradient."""
    sequence_ids: Tensor
    """[N] which sample each token belongs to; a sample is never cut in two."""
    num_sequences: int
    group_ids: Tensor | None = None
    """[S] the group of each sample; None where nobody said."""
    unit_ids: Tensor | None = None
    """[S] the unit of each sample, for a loss over pairs or sequences: the same for samples of one unit, which are
    always together; None where each sample is one."""
    sampling_logprobs: Tensor | None = None
    """[N] the engine's, as sampled; None stands for `old_logprobs`."""
    reference_logprobs: Tensor | None = None
    """[N] under the model that training began with; None where the algorithm does not need them."""
    reference_points: Tensor | None = None
    """[S] the estimated KL(now || reference) of the whole step, the same for all its samples. None where the algorithm
    does not need it."""
    teacher_kl: Tensor | None = None
    """[N] KL(now || teacher) over the whole vocabulary; differentiable. None where the algorithm does not need it."""


@dataclass(frozen=True, eq=False)
class LossOutput:
    """Weighted sums over one micro-batch; the trainer adds them up over the minibatch before it divides."""

    loss_sum: Tensor
    """scalar, differentiable; to be divided by the minibatch's normalising count."""
    metric_sums: dict[str, Tensor]
    """Each a detached scalar: sum over tokens of weight times the quantity. To be divided by the minibatch's sum of
    weights, which makes it a weighted mean; that sum is the normalising count, except under "constant". Names are
    `loss/...`."""
    metric_maxima: dict[str, Tensor] = field(default_factory=dict)
    """Each a detached scalar: the largest over the tokens; the largest over the minibatch is what is reported."""

    @classmethod
    def of(cls, inputs: LossInputs, loss_N: Tensor, metrics_N: Mapping[str, Tensor] | None = None) -> LossOutput:
        """Sums a loss of each token, and the metrics of each token beside those that every ratio has."""
        ratios_N = ratio_metrics(inputs.policy_logprobs, inputs.old_logprobs)
        values_N = {**ratios_N, **(metrics_N or {})}
        largest = ratios_N[RATIO_MEAN].amax() if len(loss_N) else loss_N.detach().sum()
        return cls(
            loss_sum=(inputs.weights * loss_N).sum(),
            metric_sums={name: (inputs.weights * value_N).sum().detach() for name, value_N in values_N.items()},
            metric_maxima={RATIO_MAX: largest},
        )


class Algorithm(Component):
    """Credit and loss. Subclasses are frozen settings whose defaults are the published ones, except KL 0.

    A subclass gives `advantages` and `policy_loss`, and a `name: Literal["..."]` by which recipes choose it.
    """

    kind: ClassVar[str] = "algorithm"
    modules: ClassVar[tuple[str, ...]] = ("assay.algorithms",)

    normaliser: Normaliser = "tokens"
    """The normaliser: what the summed loss is divided by, counted over the whole minibatch."""
    normaliser_constant: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    """Tokens a rollout, for the normaliser "constant" only; set once, never taken from a batch."""
    ratio_against: RatioAgainst = "proximal"
    """The log-probabilities that the importance ratio is taken against; "sampling" where samples may be stale."""
    correction: ImportanceCorrection = ImportanceCorrection()
    """Importance weights, trainer over sampler, on top of a ratio against "proximal"."""
    kl_coefficient: float = pydantic.Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Weight of the KL divergence from the model that training began with; 0 for none."""
    kl_in: Literal["loss", "reward"] = "loss"
    """The place of the KL divergence: a term of the loss, or taken from the reward."""
    entropy_coefficient: float = pydantic.Field(default=0.0, allow_inf_nan=False)
    """Weight of the entropy bonus: above 0 it keeps the policy from becoming sure of itself."""
    dynamic_sampling: bool = False
    """True to drop groups whose members all earned the same, and to replace them until the step is full."""
    off_policy_mask: float | None = pydantic.Field(default=None, gt=0, allow_inf_nan=False)
    """Largest distance, in nats a token, that the policy may have moved away from a sequence since it was sampled.
    Beyond it, tokens of a negative advantage in the sequence are left alone; None for no such mask."""
    overlong: Literal["none", "penalty", "filter"] = "none"
    """Treatment of a response that nears or hits its token limit. penalty: up to 1 less reward, by
    `max_response_tokens` and `overlong_margin`. filter: one that was cut off is not trained on; its siblings are still
    compared with it."""
    max_response_tokens: int | None = pydantic.Field(default=None, ge=1)
    """Sampled tokens at which the penalty is 1; for "penalty"."""
    overlong_margin: int | None = pydantic.Field(default=None, ge=1)
    """Tokens before `max_response_tokens` over which the penalty grows; for "penalty". DAPO's paper: a fifth of it."""
    turn_rewards: TurnRewards = "refuse"
    """Treatment of the rewards that an environment pays for single turns. refuse: that it pays is an error. ignore:
    the score alone counts. add: they count beside the score, which the last turn earns. replace: they count in place of
    the score."""
    credit_by: CreditBy = "episode"
    """The unit that is compared. episode: whole episodes. turn: what each turn earned from itself on, with siblings
    at the same turn. state: the same, with siblings that were in the same state."""
    turn_discount: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    """Gamma: what a reward one turn later is worth, for `credit_by` "turn" and "state". 0 credits a turn with its own
    reward alone."""

    page: ClassVar[str] = ""
    """The algorithm's page under docs/algorithms/."""
    without_effect: ClassVar[tuple[str, ...]] = ()
    """Shared options that do nothing here: to set one is an error."""
    uses_rewards: ClassVar[bool] = True
    """True where advantages come from rewards; where false, setting what changes a reward is an error."""

    needs_verdicts: ClassVar[bool] = False
    """True where it asks which attempts were solved, and not only what they earned."""

    @pydantic.model_validator(mode="after")
    def _check_effect(self) -> Self:
        if self.normaliser == "constant" and self.normaliser_constant is None:
            raise ValueError('normaliser "constant" needs normaliser_constant: set it to the response token limit')
        if self.normaliser != "constant" and self.normaliser_constant is not None:
            raise ValueError(
                f"normaliser_constant has no effect with normaliser {self.normaliser!r}: leave it out, "
                'or set normaliser to "constant"'
            )
        if self.correction.kind != "none" and self.ratio_against == "sampling":
            raise ValueError(
                'correction counts the sampler twice with ratio_against "sampling", whose ratio corrects for it '
                "already: leave one of them out"
            )
        if self.kl_in != "loss" and not self.kl_coefficient:
            raise ValueError(
                f"kl_in {self.kl_in!r} has no effect with kl_coefficient 0: set kl_coefficient, or leave it out"
            )
        for name in self.without_effect:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} has no effect with this algorithm: leave it out")
        return self

    @pydantic.model_validator(mode="after")
    def _check_overlong(self) -> Self:
        given = [name for name in ("max_response_tokens", "overlong_margin") if getattr(self, name) is not None]
        if self.overlong == "penalty" and not self.uses_rewards:
            raise ValueError(
                'overlong "penalty" has no effect with this algorithm, whose advantages are not made of rewards: '
                'use "filter", or leave it out'
            )
        if self.overlong == "penalty" and len(given) < 2:
            raise ValueError('overlong "penalty" needs max_response_tokens and overlong_margin: set both')
        if self.overlong != "penalty" and given:
            raise ValueError(
                f'{given[0]} has no effect with overlong {self.overlong!r}: leave it out, or set "penalty"'
            )
        if (self.overlong_margin or 0) > (self.max_response_tokens or 0):
            raise ValueError(
                f"overlong_margin {self.overlong_margin} is more than max_response_tokens {self.max_response_tokens}"
            )
        return self

    @pydantic.model_validator(mode="after")
    def _check_turns(self) -> Self:
        if not self.uses_rewards and (self.credit_by != "episode" or self.turn_rewards in ("add", "replace")):
            raise ValueError(
                "credit_by, and turn_rewards that count, have no effect with this algorithm, whose advantages are not "
                'made of rewards: leave them out; turn_rewards "ignore" says that they count for nothing'
            )
        if self.turn_discount != type(self).model_fields["turn_discount"].default and not self._credits_turns:
            raise ValueError('turn_discount has no effect with credit_by "episode": set it to "turn" or "state"')
        if self.credit_by != "episode" and getattr(self, "pass_at_k", 1) > 1:
            raise ValueError('pass_at_k compares whole episodes: leave it out, or set credit_by to "episode"')
        return self

    @property
    def _credits_turns(self) -> bool:
        """True where what a turn is credited with is what it earned from itself on."""
        return self.credit_by != "episode"

    @property
    def _compares_states(self) -> bool:
        """True where turns are compared with those that began in the same state."""
        return self.credit_by == "state"

    @property
    def _compares_parts(self) -> bool:
        """True where the parts of a reward are compared apart."""
        return False

    @property
    def needs(self) -> Needs:
        """The quantities that the trainer and the collector must provide."""
        return Needs(
            proximal=self.ratio_against == "proximal",
            # One member alone always earned the same as all: such groups would be replaced for ever.
            min_group_size=max(self.min_group_size, 2 if self.dynamic_sampling else 1),
            reference=self.kl_coefficient > 0,
            entropy_gradient=self.entropy_coefficient != 0,
            proximal_in_credit=self.kl_coefficient > 0 and self.kl_in == "reward",
        )

    @property
    def gradient_is_credit(self) -> bool:
        """True where the loss has no gradient if all advantages are 0."""
        return not (self.entropy_coefficient or (self.kl_coefficient and self.kl_in == "loss"))

    @property
    def min_group_size(self) -> int:
        """Measured members without which a group gives no credit."""
        return 1

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Advantage of each measured member of one group: [G] float64 to [G], for rewards of any finite size."""
        raise NotImplementedError

    def turn_advantages(
        self, group: Group, earned_GT: Sequence[Tensor], scale: float
    ) -> Sequence[float | Sequence[float]]:
        """Return the credit of each measured member, or of each of its turns.

        Args:
            group: one whose members have their scores.
            earned_GT: [G] of [T] float64, what each turn of each measured member earned: what it was paid, as
                `turn_rewards` says, and on the last turn the reward of the episode.
            scale: the divisor of all advantages of the step.

        Returns:
            For each measured member one number for all its tokens, or one for each of its turns.
        """
        if self.credit_by == "episode":
            return (self.advantages(totals(earned_GT)) / scale).tolist()
        return [
            [float(self.advantages(returns)[0]) / scale for returns in of_member]
            for of_member in comparisons(group, earned_GT, self.credit_by, self.turn_discount)
        ]

    def scale(self, rewards_B: Tensor) -> float:
        """Return the divisor of all advantages of a step: [B] float64 rewards of its measured members to one number."""
        return 1.0

    def step_scale(self, groups: Sequence[Group], earned: Sequence[Sequence[Tensor]]) -> float:
        """Return the divisor of all advantages of a step, from its groups and what their measured members earned."""
        return self.scale(torch.cat([totals(earned_GT) for earned_GT in earned]))

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        """Gives every trained-on token of a rollout, in all its forks, the advantage of that rollout, or of its turn.

        Only measured members enter: one that is not measured changes nothing for its siblings.

        Returns:
            The samples in their order, with advantages; without those of rollouts that `trains_on` leaves out.

        Raises:
            ContractError: a group that is too small or given twice, or a sample without a measured rollout.
            ConfigError: the environment pays for turns, and `turn_rewards` is "refuse".
            DataError: rewards so large that an advantage does not fit float32, or one that is not finite.
        """
        credit_by_rollout: dict[tuple[int, int], float | Sequence[float]] = {}
        divergences = self._divergences(samples)
        earned = [self._earned(group, divergences) for group in groups]
        scale = self.step_scale(groups, earned) if groups else 1.0
        for group, earned_GT in zip(groups, earned, strict=True):
            if len(earned_GT) < self.min_group_size:
                raise ContractError(
                    f"group {group.group_id} has {len(earned_GT)} measured members, {self.min_group_size} are needed: "
                    "smaller groups are dropped before credit"
                )
            credit_of_members = self.turn_advantages(group, earned_GT, scale)
            for (rollout, _, _), credit in zip(group.measured, credit_of_members, strict=True):
                key = (group.group_id, rollout.member)
                if key in credit_by_rollout:
                    raise ContractError(f"rollout {rollout.member} of group {group.group_id} was given to credit twice")
                check_float32(group, credit, earned_GT)
                credit_by_rollout[key] = credit
        left_out = {
            (group.group_id, rollout.member)
            for group in groups
            for rollout, score, _ in group.measured
            if not self.trains_on(rollout, score)
        }
        return [
            self._credited(sample, credit_by_rollout.get((sample.group_id, sample.member)))
            for sample in samples
            if (sample.group_id, sample.member) not in left_out
        ]

    def reward(self, rollout: Rollout, score: Score, value: float) -> float:
        """Return a measured rollout's reward: the score's value, unless turn rewards replace it, less the penalty for
        its length."""
        value = 0.0 if self.turn_rewards == "replace" else value
        if self.max_response_tokens is None or self.overlong_margin is None:
            return value
        return value + overlong_penalty(rollout.num_sampled_tokens, self.max_response_tokens, self.overlong_margin)

    def trains_on(self, rollout: Rollout, score: Score) -> bool:
        """Return True where a measured rollout is trained on; its siblings are compared with it either way."""
        return self.overlong != "filter" or rollout.ending.kind is not EndingKind.TRUNCATED

    def policy_loss(self, inputs: LossInputs) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of each token, [N], not weighted, and what each token adds to further `loss/...` metrics, [N] each."""
        raise NotImplementedError

    def value_loss(self, values_N: Tensor, old_values_N: Tensor, returns_N: Tensor) -> Tensor:
        """The critic's loss of each token, [N], for algorithms that need values."""
        raise NotImplementedError

    def loss(self, inputs: LossInputs) -> LossOutput:
        """The summed loss of one micro-batch: policy and KL, both corrected for the sampler, and entropy."""
        loss_N, metrics_N = self.policy_loss(inputs)
        sampling_logprobs = inputs.old_logprobs if inputs.sampling_logprobs is None else inputs.sampling_logprobs
        if self.off_policy_mask is not None:
            kept_N = off_policy_mask(
                inputs.policy_logprobs,
                sampling_logprobs,
                inputs.advantages,
                inputs.sequence_ids,
                inputs.num_sequences,
                threshold=self.off_policy_mask,
            )
            loss_N, metrics_N = kept_N * loss_N, metrics_N | {OFF_POLICY_SHARE: 1 - kept_N}
        if inputs.reference_logprobs is not None:
            metrics_N = metrics_N | kl_metrics(inputs.policy_logprobs, inputs.reference_logprobs)
            if self.kl_coefficient and self.kl_in == "loss":
                loss_N = loss_N + self.kl_coefficient * kl_penalty(
                    inputs.policy_logprobs, inputs.old_logprobs, inputs.reference_logprobs
                )
        if self.correction.kind != "none":
            factors_N, more_N = correction_weights(
                inputs.old_logprobs, sampling_logprobs, inputs.sequence_ids, inputs.num_sequences, self.correction
            )
            # Both terms are expectations over tokens of the old policy, and another one sampled them.
            loss_N, metrics_N = factors_N * loss_N, metrics_N | more_N
        if self.entropy_coefficient:
            loss_N = loss_N - self.entropy_coefficient * inputs.entropy
        return LossOutput.of(inputs, loss_N, metrics_N)

    def keep(self, group: Group) -> bool:
        """Return True for a group that is worth training on (dynamic sampling). Applied in issue order; drops are
        counted."""
        if not self.dynamic_sampling:
            return True
        if not self._has_signal(group, self._earned(group, {})):
            return False
        return any(self.trains_on(rollout, score) for rollout, score, _ in group.measured)

    def _credited(self, sample: Sample, advantage: float | Sequence[float] | None) -> CreditedSample:
        if advantage is None:
            raise ContractError(
                f"a sample of rollout {sample.member} of group {sample.group_id} has no measured score: "
                "what was not measured must not be trained on"
            )
        if not isinstance(advantage, float | int):
            return CreditedSample.of(sample, _by_turn(sample, advantage))
        zeros_L = torch.zeros(len(sample.token_ids), device=sample.loss_mask.device)
        return CreditedSample.of(sample, zeros_L.masked_fill(sample.loss_mask, advantage))

    def _divergences(self, samples: Sequence[Sample]) -> dict[tuple[int, int], float]:
        """k1 of each rollout from the reference, summed over its tokens; empty where the reward does not have it."""
        divergences: dict[tuple[int, int], float] = {}
        for sample in samples if self.kl_coefficient and self.kl_in == "reward" else ():
            key = (sample.group_id, sample.member)
            divergences[key] = divergences.get(key, 0.0) + float(token_divergences(sample).double().sum())
        return divergences

    def _has_signal(self, group: Group, earned_GT: Sequence[Tensor]) -> bool:
        """False where all that would be compared is equal."""
        if self.credit_by == "episode":
            return len(set(totals(earned_GT).tolist())) > 1
        compared = comparisons(group, earned_GT, self.credit_by, self.turn_discount)
        return any(bool((returns != returns[0]).any()) for of_member in compared for returns in of_member)

    def credit_metrics(self, groups: Sequence[Group]) -> dict[str, float]:
        """Return metrics of what a step's groups are credited for; absent where there is nothing to say.

        Args:
            groups: all that were sampled, dropped ones included.
        """
        earned = [self._earned(group, {}) for group in groups]
        metrics = paid_metrics(groups)
        if self._compares_states:
            metrics |= state_metrics(groups, earned, self.turn_discount)
        if groups and (self.turn_rewards in ("add", "replace") or self._credits_turns or self._compares_parts):
            # What the scores alone say of it is not what is learned from.
            signals = [self._has_signal(*pair) for pair in zip(groups, earned, strict=True) if pair[1]]
            metrics[SIGNAL] = sum(signals) / len(signals) if signals else math.nan
        return metrics

    def _earned(self, group: Group, divergences: Mapping[tuple[int, int], float]) -> list[Tensor]:
        """[G] of [T] float64: what each turn of `group.measured` earned, the KL of the reward taken off at the end."""
        check_turn_rewards(group, self.turn_rewards, self.uses_rewards)
        return [
            earned_by_turn(
                rollout,
                self.reward(rollout, score, value)
                - self.kl_coefficient * divergences.get((group.group_id, rollout.member), 0.0),
                self.turn_rewards,
            )
            for rollout, score, value in group.measured
        ]


def _by_turn(sample: Sample, advantages: Sequence[float]) -> Tensor:
    """[L] the advantage of the turn that sampled each token; 0 elsewhere.

    Raises:
        ContractError: a turn without an advantage.
    """
    turns_L = torch.zeros_like(sample.token_ids) if sample.turn_ids is None else sample.turn_ids
    last = int(turns_L[sample.loss_mask].max()) if sample.loss_mask.any() else -1
    if last >= len(advantages):
        raise ContractError(
            f"rollout {sample.member} of group {sample.group_id} has a turn {last} and was credited for "
            f"{len(advantages)} turns: give one number, or one for each turn"
        )
    given = torch.tensor([*advantages, 0.0], dtype=torch.float32, device=turns_L.device)
    return torch.where(sample.loss_mask, given[turns_L], given[-1])


def token_divergences(sample: Sample) -> Tensor:
    """k1 of each trained-on token of a sample from the reference, [n]: log pi_now - log pi_reference.

    Raises:
        ContractError: the sample has no log-probabilities of the reference, or of the trainer.
    """
    if sample.reference_logprobs is None:
        raise ContractError("the reward has a KL term, but samples came without reference log-probabilities")
    if sample.proximal_logprobs is None:
        raise ContractError("the reward has a KL term, but samples came without the trainer's own logprobs")
    mask = sample.loss_mask
    return k1(sample.proximal_logprobs[mask], sample.reference_logprobs[mask])


AnyAlgorithm = Annotated[Algorithm, Chosen(default="grpo")]
"""The type of a settings field that holds an algorithm, chosen by its `name`."""

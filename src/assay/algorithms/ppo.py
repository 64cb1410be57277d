"""PPO with a critic (Schulman et al. 2017, https://arxiv.org/abs/1707.06347) and generalised advantage estimation."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import pydantic

from assay.algorithms.algorithm import token_divergences
from assay.algorithms.clipping import Clipping
from assay.algorithms.needs import Needs
from assay.algorithms.whitening import whitened_credit
from assay.errors import ContractError
from assay.estimators import gae, no_baseline
from assay.later import torch
from assay.losses import value_loss
from assay.types import CreditedSample, Group, Rollout, Sample

if TYPE_CHECKING:
    from torch import Tensor


class PPO(Clipping):
    """Token by token, or turn by turn, what was earned beyond what a critic had expected; and the clipped loss."""

    name: Literal["ppo"] = "ppo"
    over: Literal["token", "turn"] = "token"
    """The step of the estimation: one sampled token, or one turn of an episode, whose tokens then all get the same."""
    discount: float = pydantic.Field(default=1.0, ge=0.0, le=1.0)
    """Gamma: what a reward one step later is worth; a step is a token, or with `over` "turn" a turn."""
    decay: float = pydantic.Field(default=0.95, ge=0.0, le=1.0)
    """Lambda: 1 trusts what was earned, 0 the critic's next value, of the next token or turn. 0.95 leaves 4e-5 of a
    reward 200 steps away."""
    critic_decay: float | None = pydantic.Field(default=None, ge=0.0, le=1.0)
    """Lambda of the returns that the critic is taught; None for `decay`. 1 teaches it what was earned and nothing of
    its own guesses."""
    value_clip: float = pydantic.Field(default=0.2, gt=0, allow_inf_nan=False)
    """Largest useful change of a value in one step, in units of reward."""
    whiten: bool = True
    """True to whiten advantages: mean 0 and standard deviation 1 over the tokens of the step."""

    page: ClassVar[str] = "ppo.md"
    without_effect: ClassVar[tuple[str, ...]] = ("credit_by", "turn_discount")

    @property
    def needs(self) -> Needs:
        return dataclasses.replace(super().needs, values=True)

    def advantages(self, rewards_G: Tensor) -> Tensor:
        """Return the reward of each member's last token."""
        return no_baseline(rewards_G)

    def turn_advantages(self, group: Group, earned_GT: Sequence[Tensor], scale: float) -> list[list[float]]:
        """Return what each turn earned; `credit` makes advantages of it.

        What a turn without a sampled token earned, the last turn before it that has one did.
        """
        return [
            _on_sampled_turns(rollout, earned_T.tolist())
            for (rollout, _, _), earned_T in zip(group.measured, earned_GT, strict=True)
        ]

    def credit(self, groups: Sequence[Group], samples: Sequence[Sample]) -> list[CreditedSample]:
        earned = super().credit(groups, samples)
        forks: dict[tuple[int, int], list[int]] = {}
        for place, sample in enumerate(earned):
            forks.setdefault((sample.group_id, sample.member), []).append(place)
        estimated = dict(item for places in forks.values() for item in self._estimate(earned, places))
        credited = [estimated[place] for place in range(len(earned))]
        return whitened_credit(credited) if self.whiten else credited

    def _divergences(self, samples: Sequence[Sample]) -> dict[tuple[int, int], float]:
        """Return no divergence of the whole response: `_estimate` charges each token its own."""
        return {}

    def value_loss(self, values_N: Tensor, old_values_N: Tensor, returns_N: Tensor) -> Tensor:
        return value_loss(values_N, old_values_N, returns_N, clip=self.value_clip)

    def _estimate(self, samples: Sequence[CreditedSample], places: Sequence[int]) -> list[tuple[int, CreditedSample]]:
        """Return the forks of one rollout with advantages and returns, in place of what each token's turn earned.

        The recursion goes over the rollout's tokens, or turns, whichever forks they are in.
        """
        tokens = {place: _sampled(samples[place], self._token_costs(samples[place])) for place in places}
        order = sorted(places, key=lambda place: int(tokens[place][0][0]) if tokens[place].numel() else -1)
        turns_N, values_N, earned_N, costs_N = torch.cat([tokens[place] for place in order], dim=1)
        _, turn_N, lengths_K = turns_N.unique_consecutive(return_inverse=True, return_counts=True)
        last_K = lengths_K.cumsum(0) - 1
        if self.over == "turn":
            earned_K = earned_N[last_K] - torch.zeros_like(last_K, dtype=costs_N.dtype).index_add(0, turn_N, costs_N)
            # The value of the state that the turn began in: one read later in it would depend on what the turn says.
            begun_K = values_N[last_K + 1 - lengths_K]
            found_N = self._gae(earned_K, begun_K)[:, turn_N]
        else:
            rewards_N = (-costs_N).index_add(0, last_K, earned_N[last_K])
            found_N = self._gae(rewards_N, values_N)
        pieces = found_N.split([tokens[place].shape[1] for place in order], dim=1)
        return [(place, _spread(samples[place], piece)) for place, piece in zip(order, pieces, strict=True)]

    def _gae(self, rewards_N: Tensor, values_N: Tensor) -> Tensor:
        """[2, N] advantages by `decay`, and returns by `critic_decay`."""
        advantages_N, returns_N = gae(rewards_N, values_N, discount=self.discount, decay=self.decay)
        if self.critic_decay is not None:
            _, returns_N = gae(rewards_N, values_N, discount=self.discount, decay=self.critic_decay)
        return torch.stack([advantages_N, returns_N])

    def _token_costs(self, sample: Sample) -> Tensor:
        """[n] what the KL of the reward charges each trained-on token."""
        if self.kl_coefficient and self.kl_in == "reward":
            return self.kl_coefficient * token_divergences(sample)
        return torch.zeros(int(sample.loss_mask.sum()))


def _on_sampled_turns(rollout: Rollout, earned: list[float]) -> list[float]:
    for number in range(len(rollout.turns) - 1, 0, -1):
        if not rollout.turns[number].completion.token_ids:
            earned[number - 1] += earned[number]
            earned[number] = 0.0
    return earned


def _sampled(sample: CreditedSample, costs_n: Tensor) -> Tensor:
    """[4, n] of the trained-on tokens: turn, value, what the turn earned, what the token costs."""
    if sample.values is None:
        raise ContractError("samples came to ppo without the critic's values")
    turns_L = torch.zeros_like(sample.token_ids) if sample.turn_ids is None else sample.turn_ids
    mask = sample.loss_mask
    found = (turns_L[mask], sample.values[mask], sample.advantages[mask], costs_n)
    return torch.stack([row.to(torch.float32) for row in found])


def _spread(sample: CreditedSample, found: Tensor) -> CreditedSample:
    """Return the sample with [2, n] advantages and returns of its trained-on tokens."""
    spread = torch.zeros(2, len(sample.token_ids))
    spread[:, sample.loss_mask] = found
    return sample.replace(advantages=spread[0], returns=spread[1])  # pyright: ignore[reportReturnType]

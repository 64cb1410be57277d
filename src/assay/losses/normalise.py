"""The normaliser of the summed loss: the weight of each token, and the count for the whole minibatch.

    loss of a minibatch = sum over its tokens of weight x loss / normalising count

A micro-batch only adds its part to the sum; the count is taken over all micro-batches of the minibatch, on all ranks.
That is why how the minibatch was cut does not matter. Shape letters: N predicted tokens, S sequences of a micro-batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor

Normaliser = Literal["tokens", "groups", "turns", "sequences", "episodes", "constant"]
"""tokens: every trained-on token counts the same, so a long response counts more.
groups: every group counts the same, and every trained-on token within it; weighted 1 / its group's tokens.
turns: every turn counts the same, so an episode of many turns counts more; weighted 1 / its turn's tokens.
sequences: every sample counts the same; each token is weighted 1 / its sample's length.
episodes: every rollout counts the same: as "sequences", with the forks of one rollout sharing its weight.
constant: every token counts the same, in units of rollouts times a fixed length: the only one whose divisor does not
depend on what was sampled (but for samples that a filter takes out)."""


def token_weights(
    normaliser: Normaliser,
    sequence_ids_N: Tensor,
    sequence_lengths_S: Tensor,
    sequence_weights_S: Tensor,
    group_lengths_S: Tensor | None = None,
    turn_lengths_N: Tensor | None = None,
) -> Tensor:
    """The factor of each token in the summed loss of a micro-batch.

    Args:
        normaliser: which rule.
        sequence_ids_N: [N] int64 into S, the sample of each token.
        sequence_lengths_S: [S] trained-on tokens of each whole sample.
        sequence_weights_S: [S] share of its episode, 1 / number of forks.
        group_lengths_S: [S] trained-on tokens of each sample's whole group, in all micro-batches; for "groups" only.
        turn_lengths_N: [N] trained-on tokens of the turn of each token; for "turns" only. No turn is in two samples.

    Returns:
        [N] of the dtype of `sequence_weights_S`. Adds up, over a minibatch, to the normalising count (except under
        "constant", and where a sample has no trained-on token).

    Raises:
        ValueError: "groups" without `group_lengths_S`, or "turns" without `turn_lengths_N`.

    Example:
        >>> sequence_ids, lengths = torch.tensor([0, 0, 1]), torch.tensor([2, 1])
        >>> token_weights("episodes", sequence_ids, lengths, torch.tensor([1.0, 0.5]))
        tensor([0.5000, 0.5000, 0.5000])
    """
    if normaliser in ("tokens", "constant"):
        return torch.ones_like(sequence_ids_N, dtype=sequence_weights_S.dtype)
    if normaliser == "groups":
        if group_lengths_S is None:
            raise ValueError('the normaliser "groups" needs the tokens of each sample\'s group')
        return 1 / group_lengths_S[sequence_ids_N].to(sequence_weights_S.dtype)
    if normaliser == "turns":
        if turn_lengths_N is None:
            raise ValueError('the normaliser "turns" needs the tokens of each token\'s turn')
        return 1 / turn_lengths_N.to(sequence_weights_S.dtype)
    # Gathered before dividing: a sample without trained-on tokens has no entry in N, and its 1 / 0 is never formed.
    lengths_N = sequence_lengths_S[sequence_ids_N].to(sequence_weights_S.dtype)
    if normaliser == "sequences":
        return 1 / lengths_N
    return sequence_weights_S[sequence_ids_N] / lengths_N


def normalising_count(
    normaliser: Normaliser,
    constant: float | None,
    num_tokens: float,
    num_sequences: float,
    num_episodes: float,
    num_groups: float = 0,
    num_turns: float = 0,
) -> float:
    """Return what the summed loss of a whole minibatch is divided by.

    All counts are over the minibatch: every micro-batch, every rank. A sample that is not trained on, such as one that
    the overlong filter took out, is in none of them.

    Args:
        normaliser: which rule.
        constant: tokens a rollout, for "constant" only.
        num_tokens: trained-on tokens.
        num_sequences: samples.
        num_episodes: sum of the samples' weights; forks of one episode have 1 / number of forks each. Where a minibatch
            boundary parts the forks of one episode, each side counts the share it has.
        num_groups: groups with a trained-on token; for "groups" only.
        num_turns: turns with a trained-on token; for "turns" only.

    Raises:
        ValueError: nothing was counted, or "constant" without its constant.

    Example:
        >>> normalising_count("constant", 100.0, num_tokens=37, num_sequences=4, num_episodes=3.0)
        300.0
    """
    if normaliser == "constant":
        if constant is None:
            raise ValueError('the normaliser "constant" needs its constant')
        # Not samples: how often a rollout forks depends on how many turns it took, which is the policy's own doing.
        count = num_episodes * constant
    else:
        count = {
            "tokens": num_tokens,
            "groups": num_groups,
            "turns": num_turns,
            "sequences": num_sequences,
            "episodes": num_episodes,
        }[normaliser]
    if not count > 0:
        raise ValueError(f"a minibatch with {count} {normaliser} has nothing to train on")
    return float(count)

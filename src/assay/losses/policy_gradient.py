"""The policy-gradient loss of REINFORCE, with importance weights.

Shape letters: N predicted tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.losses.ratio import MAX_LOG_RATIO, importance_ratio
from assay.losses.sequence import per_sequence_sum, product_ratio

if TYPE_CHECKING:
    from torch import Tensor


def policy_gradient(policy_logprobs_N: Tensor, old_logprobs_N: Tensor, advantages_N: Tensor) -> Tensor:
    """Minus the log-probability times the advantage, times the importance ratio held constant; each token for itself.

    loss = -sg(ratio) A log pi_now, ratio = pi_now / pi_old, sg the stop-gradient. Its gradient is
    -ratio A grad log pi_now, the same as that of -ratio A. Where old is now (the first update of a step) the ratio is 1
    and this is REINFORCE, value included. In later updates the ratio reweights tokens that the policy has since made
    more or less likely.
    Williams 1992, doi:10.1007/BF00992696. The ratio is one token's own: exact for responses of one token; for longer
    ones it leaves out that earlier and later tokens have changed probability too.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, what the ratio is taken against; a constant.
        advantages_N: [N] float; a constant.

    Returns:
        [N] float, loss of each token, not weighted yet. A token beyond the bound on ratios gets no gradient.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now = torch.tensor([0.5, 0.2]).log()
        >>> policy_gradient(now, torch.tensor([0.5, 0.1]).log(), torch.tensor([1.0, -1.0]))
        tensor([ 0.6931, -3.2189])
    """
    ratio_N = importance_ratio(policy_logprobs_N.detach(), old_logprobs_N.detach())
    if advantages_N.shape != ratio_N.shape:
        raise ValueError(f"advantages must be [{len(ratio_N)}], got {tuple(advantages_N.shape)}")
    within_N = (policy_logprobs_N.detach() - old_logprobs_N.detach()).abs() <= MAX_LOG_RATIO
    return -(ratio_N * within_N) * advantages_N * policy_logprobs_N


def sequence_policy_gradient(
    policy_logprobs_N: Tensor,
    old_logprobs_N: Tensor,
    advantages_N: Tensor,
    sequence_ids_N: Tensor,
    num_sequences: int,
    *,
    clip: float | None = None,
) -> Tensor:
    """Minus the log-probability times the advantage, times the whole sequence's importance ratio held constant.

    loss = -sg(ratio) A log pi_now, ratio = pi_now(y) / pi_old(y). Summed over the tokens of a sequence its gradient is
    that of -ratio A: unbiased off the policy for responses of any length, at a variance that grows with it.
    With `clip` a sequence whose ratio is above 1 + clip with a positive advantage, or below 1 - clip with a negative
    one, gets no gradient, as under PPO's clipped loss of sequences: the form of TRL's RLOO.

    Args:
        policy_logprobs_N: [N] float, log-probability of each token now; differentiable.
        old_logprobs_N: [N] float, what the ratio is taken against; a constant.
        advantages_N: [N] float, the same for all tokens of a sequence; a constant.
        sequence_ids_N: [N] int64, which sequence each token belongs to; a sequence must be whole.
        clip: None for no bound.

    Returns:
        [N] float, loss of each token, not weighted yet. A sequence beyond the bound on ratios gets no gradient.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> now, old = torch.tensor([0.8, 0.5]).log(), torch.tensor([0.4, 0.5]).log()
        >>> sequence_policy_gradient(now, old, torch.ones(2), torch.tensor([0, 0]), 1)
        tensor([0.4463, 1.3863])
    """
    now_N, old_N = policy_logprobs_N.detach(), old_logprobs_N.detach()
    if advantages_N.shape != now_N.shape:
        raise ValueError(f"advantages must be [{len(now_N)}], got {tuple(advantages_N.shape)}")
    ratio_N = product_ratio(now_N, old_N, sequence_ids_N, num_sequences)
    kept_N = per_sequence_sum(now_N - old_N, sequence_ids_N, num_sequences)[sequence_ids_N].abs() <= MAX_LOG_RATIO
    if clip is not None:
        kept_N &= ~((advantages_N > 0) & (ratio_N > 1 + clip)) & ~((advantages_N < 0) & (ratio_N < 1 - clip))
    return -(ratio_N * kept_N) * advantages_N * policy_logprobs_N

"""Estimators over the turns of an episode: what a turn earned from itself on, and whom it is compared with.

Shape letters: G members of one group, T turns of one member, M turns of all members, one after the other. Members may
have different numbers of turns, and how many is the policy's own doing: a number of terms that depends on it is a
baseline that depends on the action. Whatever is compared here is compared with the same members at every turn.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor

Visits = Sequence[Sequence[Hashable]]
"""[G][T] the state that each turn of each member began in."""


def returns_to_go(rewards_T: Tensor, discount: float = 1.0) -> Tensor:
    """Return what each turn earned from itself on.

    G_t = sum_{k >= t} discount^(k - t) r_k. Sutton and Barto 2018, "Reinforcement Learning", section 3.3.

    Args:
        rewards_T: [T] float, what each turn earned.
        discount: gamma, from 0 (a turn is worth what it earned itself) to 1; per turn, however long turns are.

    Returns:
        [T] float, same dtype.

    Raises:
        ValueError: not [T], or a discount out of range.

    Example:
        >>> returns_to_go(torch.tensor([1.0, 0.0, 4.0]), discount=0.5)
        tensor([2., 2., 4.])
    """
    if rewards_T.ndim != 1 or not 0.0 <= discount <= 1.0:
        raise ValueError(f"expected [T] and a discount from 0 to 1, got {tuple(rewards_T.shape)} and {discount}")
    returns: list[float] = []
    following = 0.0
    for reward in reversed(rewards_T.tolist()):
        following = reward + discount * following
        returns.append(following)
    return torch.tensor(returns[::-1], dtype=rewards_T.dtype)


def at_turn(returns_GT: Sequence[Tensor], member: int, turn: int) -> Tensor:
    """The returns that a turn is compared with: its own, then each sibling's at the same turn.

    A sibling that ended before enters with its last turn. So every turn has the same number of siblings, and what is
    subtracted from it depends on them alone: not on when this member stops. With a reward at the end only, and no
    discount, each turn is compared as its whole episode is.

    Args:
        returns_GT: [G] of [T] float, `returns_to_go` of each member, T >= 1.
        member: the member whose turn it is.
        turn: below the member's T.

    Returns:
        [G] float; the member's own first, its siblings in their order.

    Example:
        >>> at_turn([torch.tensor([3.0, 2.0, 1.0]), torch.tensor([5.0])], member=0, turn=2)
        tensor([1., 5.])
    """
    others = [returns[min(turn, len(returns) - 1)] for i, returns in enumerate(returns_GT) if i != member]
    return torch.stack([returns_GT[member][turn], *others])


def in_state(returns_GT: Sequence[Tensor], states_GT: Visits, member: int, turn: int) -> Tensor:
    """The returns that a turn is compared with: its own, then those of siblings that were in the same state.

    A sibling that came to the state several times enters once, with its mean. Where no sibling did, `at_turn`. The
    member's own other visits are left out: how often it comes back is its own doing.

    Args:
        returns_GT: [G] of [T] float, `returns_to_go` of each member, T >= 1.
        states_GT: the state that each turn began in.
        member: the member whose turn it is.
        turn: below the member's T.

    Returns:
        [1 + siblings that were there] float, at least [2] where there are siblings at all; the member's own first.

    Example:
        >>> in_state([torch.tensor([3.0, 2.0]), torch.tensor([5.0, 7.0, 9.0])], ["ab", "bbc"], member=0, turn=1)
        tensor([2., 6.])
    """
    state = states_GT[member][turn]
    there = [
        returns[[place for place, other in enumerate(states) if other == state]].mean()
        for i, (returns, states) in enumerate(zip(returns_GT, states_GT, strict=True))
        if i != member and state in states
    ]
    return torch.stack([returns_GT[member][turn], *there]) if there else at_turn(returns_GT, member, turn)


def anchored(returns_M: Tensor, states_M: Sequence[Hashable], *, scale_by_std: bool, epsilon: float = 1e-6) -> Tensor:
    """Advantage of each turn over the mean of all turns of its group that began in the same state.

    A_m = (R_m - mean R) / (std R + epsilon), over the turns that share the state of m, m itself and other visits by the
    same member included. Feng et al. 2025, "Group-in-Group Policy Optimization", https://arxiv.org/abs/2505.10978,
    equation 7. Biased: m is in its own mean, so a state that n turns share has (n - 1) / n of its weight and one that
    nobody shares has none; and n depends on how often the member comes back.

    Args:
        returns_M: [M] float, `returns_to_go` of each turn of a group's members.
        states_M: [M] the state that each began in.
        scale_by_std: divide by the standard deviation, of the sample (divisor n - 1), as in the authors' code.
        epsilon: in units of reward.

    Returns:
        [M] float, same dtype; sums to zero over the turns of each state without `scale_by_std`; exact zeros where all
        of them are equal, or there is one.

    Raises:
        ValueError: the lengths differ, or a return is not finite.

    Example:
        >>> anchored(torch.tensor([1.0, 0.0, 5.0]), ["door", "door", "hall"], scale_by_std=False)
        tensor([ 0.5000, -0.5000,  0.0000])
    """
    if returns_M.shape != (len(states_M),) or not torch.isfinite(returns_M).all():
        raise ValueError(f"expected finite returns, one for each of {len(states_M)} states, got {returns_M.tolist()}")
    advantages_M = torch.zeros_like(returns_M)
    for places in visits(states_M).values():
        shared = returns_M[places]
        if bool((shared != shared[0]).any()):
            centred = shared - shared.mean()
            advantages_M[places] = centred / (shared.std(correction=1) + epsilon) if scale_by_std else centred
    return advantages_M


def visits(states_M: Sequence[Hashable]) -> dict[Hashable, list[int]]:
    """The places of each state, in the order in which states first come.

    Example:
        >>> visits("aba")
        {'a': [0, 2], 'b': [1]}
    """
    places: dict[Hashable, list[int]] = {}
    for place, state in enumerate(states_M):
        places.setdefault(state, []).append(place)
    return places

"""Losses of pairs, from log-probabilities of whole responses: DPO, cDPO, robust DPO, IPO, SimPO and ORPO.

The unit is a pair and not a token. A log ratio is log pi_now(y | x) - log pi_reference(y | x) of a whole response,
summed over its tokens; divided by their number it is a length-normalised one. Shape letters: P pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def dpo_loss(
    chosen_P: Tensor, rejected_P: Tensor, *, beta: float, label_smoothing: float = 0.0, unbiased: bool = False
) -> Tensor:
    """Return the loss of direct preference optimisation of each pair.

    L = -log sigmoid(beta (h_chosen - h_rejected)), h the log ratio of a response to the reference. Rafailov et al.
    2023, "Direct Preference Optimization", https://arxiv.org/abs/2305.18290, equation 7. With a share of labels that
    may be the wrong way round, e, and L' the loss of the swapped pair: (1 - e) L + e L' (cDPO, Mitchell 2023,
    https://ericmitchell.ai/cdpo.pdf), or unbiased ((1 - e) L - e L') / (1 - 2 e), whose expectation over the swaps is
    the loss of the true labels (Chowdhury et al. 2024, https://arxiv.org/abs/2403.00409).

    With each log ratio divided by its response's tokens it is the length-normalised DPO of Lambert et al. 2024,
    "Tulu 3", https://arxiv.org/abs/2411.15124.

    Args:
        chosen_P: [P] float, log ratio of the chosen response; differentiable.
        rejected_P: [P] float, log ratio of the rejected one; differentiable.
        beta: weight of the reference, above 0.
        label_smoothing: share of labels that may be swapped, at least 0 and below 0.5.
        unbiased: robust DPO in place of cDPO.

    Returns:
        [P] float.

    Raises:
        ValueError: the shapes differ, or an option is out of its range.

    Example:
        >>> dpo_loss(torch.tensor([0.0, 2.0]), torch.tensor([0.0, 0.0]), beta=0.5)
        tensor([0.6931, 0.3133])
    """
    _check(chosen_P, rejected_P, beta)
    if not 0 <= label_smoothing < 0.5:
        raise ValueError(f"label_smoothing must be at least 0 and below 0.5, got {label_smoothing}")
    margin_P = beta * (chosen_P - rejected_P)
    loss_P, swapped_P = _negative_log_sigmoid(margin_P), _negative_log_sigmoid(-margin_P)
    if unbiased:
        return ((1 - label_smoothing) * loss_P - label_smoothing * swapped_P) / (1 - 2 * label_smoothing)
    return (1 - label_smoothing) * loss_P + label_smoothing * swapped_P


def ipo_loss(chosen_P: Tensor, rejected_P: Tensor, *, tau: float) -> Tensor:
    """Return the loss of identity preference optimisation of each pair.

    L = (h_chosen - h_rejected - 1 / (2 tau))^2: a margin to reach and not to pass, so that a preference without
    exceptions does not drive the policy without bound. Azar et al. 2023, "A General Theoretical Paradigm to Understand
    Learning from Human Preferences", https://arxiv.org/abs/2310.12036, equation 17.

    Args:
        chosen_P: [P] float, log ratio of the chosen response; differentiable.
        rejected_P: [P] float, log ratio of the rejected one; differentiable.
        tau: weight of the reference, above 0.

    Returns:
        [P] float.

    Raises:
        ValueError: the shapes differ, or tau is not above 0.

    Example:
        >>> ipo_loss(torch.tensor([0.0, 5.0]), torch.tensor([0.0, 0.0]), tau=0.1)
        tensor([25.,  0.])
    """
    _check(chosen_P, rejected_P, tau)
    return (chosen_P - rejected_P - 1 / (2 * tau)) ** 2


def simpo_loss(chosen_P: Tensor, rejected_P: Tensor, *, beta: float, gamma: float) -> Tensor:
    """Return the loss of simple preference optimisation of each pair: no reference, and a margin to reach.

    L = -log sigmoid(beta (m_chosen - m_rejected) - gamma), m the mean log-probability of a response's tokens. Meng et
    al. 2024, "SimPO", https://arxiv.org/abs/2405.14734, equation 6.

    Args:
        chosen_P: [P] float, mean log-probability a token of the chosen response; differentiable.
        rejected_P: [P] float, that of the rejected one; differentiable.
        beta: scale of the difference, above 0.
        gamma: the margin, in the units of the scaled difference.

    Returns:
        [P] float.

    Raises:
        ValueError: the shapes differ, or beta is not above 0.

    Example:
        >>> simpo_loss(torch.tensor([-1.0]), torch.tensor([-1.5]), beta=2.0, gamma=1.0)
        tensor([0.6931])
    """
    _check(chosen_P, rejected_P, beta)
    return _negative_log_sigmoid(beta * (chosen_P - rejected_P) - gamma)


def odds_ratio_loss(chosen_P: Tensor, rejected_P: Tensor) -> Tensor:
    """Return the odds-ratio loss of each pair, which ORPO adds to the likelihood of the chosen response.

    L = -log sigmoid(log odds_chosen - log odds_rejected), odds = p / (1 - p), p the geometric mean of the probabilities
    of a response's tokens. Hong et al. 2024, "ORPO", https://arxiv.org/abs/2403.07691, equation 7.

    Args:
        chosen_P: [P] float, mean log-probability a token of the chosen response, below 0; differentiable.
        rejected_P: [P] float, that of the rejected one, below 0; differentiable.

    Returns:
        [P] float; finite also where a response is all but certain.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> odds_ratio_loss(torch.tensor([0.5, 0.75]).log(), torch.tensor([0.5, 0.5]).log())
        tensor([0.6931, 0.2877])
    """
    _check(chosen_P, rejected_P, 1.0)
    return _negative_log_sigmoid(_log_odds(chosen_P) - _log_odds(rejected_P))


def _log_odds(mean_P: Tensor) -> Tensor:
    # A response of probability 1 has infinite odds, whose gradient is no number.
    bounded_P = mean_P.clamp(max=-torch.finfo(mean_P.dtype).eps)
    return bounded_P - torch.log(-torch.expm1(bounded_P))


def _negative_log_sigmoid(values: Tensor) -> Tensor:
    return torch.nn.functional.softplus(-values)


def _check(chosen_P: Tensor, rejected_P: Tensor, scale: float) -> None:
    if chosen_P.shape != rejected_P.shape or chosen_P.dim() != 1:
        raise ValueError(
            f"chosen and rejected must be [P] alike, got {tuple(chosen_P.shape)} and {tuple(rejected_P.shape)}"
        )
    if not scale > 0:
        raise ValueError(f"beta (of IPO: tau) must be above 0, got {scale}")

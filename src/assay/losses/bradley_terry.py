"""The loss of a reward model: pairwise comparisons as Bradley and Terry explain them, with ties and margins.

Shape letters: P pairs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import torch

if TYPE_CHECKING:
    from torch import Tensor


def bradley_terry_loss(
    chosen_P: Tensor,
    rejected_P: Tensor,
    *,
    is_tie_P: Tensor | None = None,
    margins_P: Tensor | None = None,
    reliability_P: Tensor | None = None,
    tie_width: float = 0.0,
    centring: float = 0.0,
) -> Tensor:
    """Return the negative log-likelihood of each comparison under its two rewards.

    With d = R_chosen - R_rejected, and s the logistic function:

        decided   -log s(d - margin - tie_width)
        by an annotator who is right in a share r of judgements
                  -log[r s(d - tie_width) + (1 - r) s(-d - tie_width)]
        tie       -1/2 log s(d) - 1/2 log s(-d)                                                where tie_width is 0
                  -log[(exp(2 tie_width) - 1) s(d - tie_width) s(-d - tie_width)]              where it is above 0

    Without ties Bradley and Terry 1952, as Christiano et al. 2017, https://arxiv.org/abs/1706.03741, fit it; ties with
    a width as Rao and Kupper 1967, "Ties in Paired-Comparison Experiments" (three outcomes whose probabilities add up
    to 1; without a margin), and without one half a win for each side. Margins: Touvron et al. 2023, "Llama 2",
    https://arxiv.org/abs/2307.09288, equation 2. Rewards are known up to a constant, which `centring` (R_chosen +
    R_rejected)^2 fixes near 0: Eisenstein et al. 2023, https://arxiv.org/abs/2312.09244. Annotators: Chen et al. 2013,
    "Pairwise Ranking Aggregation in a Crowdsourced Setting" (their eta, here given and not fitted).

    Args:
        chosen_P: [P] float, reward of the chosen response; of a tie, either. Differentiable.
        rejected_P: [P] float, reward of the other.
        is_tie_P: [P] bool; None where no pair is one.
        margins_P: [P] float, at least 0, by which a decided pair is to be apart; None for 0.
        reliability_P: [P] float from 0.5 to 1, of who judged each decided pair; None for 1. Not beside margins.
        tie_width: at least 0; half the width, in rewards, of the range in which a tie is the likely word.
        centring: weight of the squared sum, at least 0.

    Returns:
        [P] float.

    Raises:
        ValueError: the shapes differ, or an option is out of its range.

    Example:
        >>> bradley_terry_loss(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 0.0]))
        tensor([0.3133, 0.6931])
        >>> bradley_terry_loss(torch.tensor([0.0]), torch.tensor([0.0]), is_tie_P=torch.tensor([True]), tie_width=1.0)
        tensor([0.7719])
    """
    for what, given in (
        ("rejected", rejected_P),
        ("is_tie", is_tie_P),
        ("margins", margins_P),
        ("reliability", reliability_P),
    ):
        if given is not None and given.shape != chosen_P.shape:
            raise ValueError(f"{what} must be {tuple(chosen_P.shape)} as chosen is, got {tuple(given.shape)}")
    if tie_width < 0 or centring < 0:
        raise ValueError(f"tie_width and centring must be at least 0, got {tie_width} and {centring}")
    if margins_P is not None and bool((margins_P < 0).any()):
        raise ValueError(f"margins must be at least 0, got {float(margins_P.min())}")
    if reliability_P is not None and margins_P is not None:
        raise ValueError("a margin is of a judgement that is right: give margins_P or reliability_P")
    if reliability_P is not None and bool(((reliability_P < 0.5) | (reliability_P > 1)).any()):
        raise ValueError(f"reliability must be from 0.5 to 1, got {reliability_P.tolist()}")
    difference_P = chosen_P - rejected_P
    apart_P = difference_P - tie_width
    loss_P = _softplus(-(apart_P if margins_P is None else apart_P - margins_P))
    if reliability_P is not None:
        wrong_P = -_softplus(difference_P + tie_width)
        loss_P = -torch.logaddexp(reliability_P.log() - loss_P, torch.log1p(-reliability_P) + wrong_P)
    if is_tie_P is not None:
        both_P = _softplus(-apart_P) + _softplus(difference_P + tie_width)
        tie_P = both_P - torch.expm1(chosen_P.new_tensor(2 * tie_width)).log() if tie_width else both_P / 2
        loss_P = torch.where(is_tie_P, tie_P, loss_P)
    return loss_P + centring * (chosen_P + rejected_P) ** 2


def _softplus(values: Tensor) -> Tensor:
    return torch.nn.functional.softplus(values)

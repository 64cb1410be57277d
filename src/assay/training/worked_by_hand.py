"""Estimators and losses held to numbers worked by hand (`TABLE`) and to finite differences (`POTENTIALS`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from assay import estimators as e
from assay import losses as lo
from assay.algorithms import RLOO
from assay.algorithms.algorithm import LossInputs


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and whether it does."""

    subject: str
    """The estimator, loss or algorithm."""
    what: str
    problem: str = ""
    """Description of what does not hold; empty where it holds."""

    @property
    def passed(self) -> bool:
        return not self.problem


def _t(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _log(*values: float) -> Tensor:
    return _t(*values).log()


_IDS = torch.tensor([0, 0, 1])
_TRUNCATE = lo.ImportanceCorrection(kind="truncate", high=3.0)
_BOTH_SIDES = lo.ImportanceCorrection(kind="truncate", low=0.75, high=3.0)
_WHOLE = lo.ImportanceCorrection(kind="truncate", level="sequence", high=3.5)
_MASK_TOKENS = lo.ImportanceCorrection(kind="mask", low=0.6, high=3.0)
_MASK = lo.ImportanceCorrection(kind="mask", level="geometric", low=0.5, high=1.5)
_HALF = math.sqrt(0.5)
_LOG2, _LOG3, _LOG4 = math.log(2), math.log(3), math.log(4)

TABLE: tuple[tuple[str, str, Callable[[], Tensor], tuple[float, ...]], ...] = (
    ("no_baseline", "rewards 1, 0", lambda: e.no_baseline(_t(1, 0)), (1, 0)),
    ("group_mean", "rewards 1, 0, 0, 0", lambda: e.group_mean(_t(1, 0, 0, 0)), (0.75, -0.25, -0.25, -0.25)),
    ("leave_one_out", "rewards 1, 0, 0", lambda: e.leave_one_out(_t(1, 0, 0)), (1, -0.5, -0.5)),
    ("standardised", "rewards 1, 0, 0, 0", lambda: e.standardised(_t(1, 0, 0, 0), 0.0), (1.5, -0.5, -0.5, -0.5)),
    ("standardised", "equal rewards", lambda: e.standardised(_t(0.1, 0.1, 0.1)), (0, 0, 0)),
    (
        "standardised_apart",
        "two rewards that agree",
        lambda: e.standardised_apart(_t(1, 0, 9, 0).view(2, 2), _t(1, 1), 0.0),
        (2 * _HALF, -2 * _HALF),
    ),
    (
        "standardised_apart",
        "1, 0 and 9, 0 twice as heavy, opposed",
        lambda: e.standardised_apart(_t(1, 0, 0, 9).view(2, 2), _t(1, 2), 0.0),
        (-_HALF, _HALF),
    ),
    ("best_of_k", "rewards 1, 0, 0, best of two", lambda: e.best_of_k(_t(1, 0, 0), 2), (2, 0, 0)),
    ("best_of_k", "rewards 4, 2, 1, 0, best of four", lambda: e.best_of_k(_t(4, 2, 1, 0), 4), (8, 0, 0, 0)),
    ("best_of_k", "rewards 3, 1, 0, best of two", lambda: e.best_of_k(_t(3, 1, 0), 2), (5, 1, 0)),
    ("whitened", "1 on one token, 0 on three", lambda: e.whitened(_t(1, 0), torch.tensor([1, 3]), 0.0), (1.5, -0.5)),
    (
        "gae",
        "reward 1 after values 1/2 and 3/4, decay 1/2",
        lambda: torch.cat(e.gae(_t(0, 1), _t(0.5, 0.75), discount=1.0, decay=0.5)),
        (0.375, 0.25, 0.875, 1),
    ),
    (
        "value_loss",
        "1 and 0.1 for 1, from 0, at most 0.2 away",
        lambda: lo.value_loss(_t(1, 0.1), _t(0, 0), _t(1, 1), clip=0.2),
        (0.32, 0.405),
    ),
    ("dpo_loss", "log 3 apart", lambda: lo.dpo_loss(_log(3, 1), _log(1, 3), beta=1.0), (_LOG4 - _LOG3, _LOG4)),
    (
        "dpo_loss",
        "the same, a fifth of the labels wrong",
        lambda: lo.dpo_loss(_log(3, 1), _log(1, 3), beta=1.0, label_smoothing=0.2, unbiased=True),
        (_LOG4 - 0.8 / 0.6 * _LOG3, _LOG4 + 0.2 / 0.6 * _LOG3),
    ),
    ("ipo_loss", "0 and 2.5 where 2.5 is aimed at", lambda: lo.ipo_loss(_t(0, 2.5), _t(0, 0), tau=0.2), (6.25, 0)),
    (
        "simpo_loss",
        "twice log 3 less log 3",
        lambda: lo.simpo_loss(_log(0.75), _log(0.25), beta=2.0, gamma=_LOG3),
        (_LOG4 - _LOG3,),
    ),
    ("odds_ratio_loss", "odds 3 and 1/3", lambda: lo.odds_ratio_loss(_log(0.75), _log(0.25)), (math.log(10 / 9),)),
    (
        "kto_loss",
        "log 3 above the reference point, good and bad",
        lambda: lo.kto_loss(1 + _log(3, 3), torch.tensor([True, False]), 1.0, beta=1.0),
        (0.25, 0.75),
    ),
    ("reference_point", "3 and -1", lambda: lo.reference_point(_t(3, -1)).reshape(1), (1,)),
    (
        "bradley_terry_loss",
        "decided and a tie of equals, width log 3",
        lambda: lo.bradley_terry_loss(_t(0, 0), _t(0, 0), is_tie_P=torch.tensor([False, True]), tie_width=_LOG3),
        (_LOG4, _LOG2),
    ),
    ("overlong_penalty", "18,432 of 20,480 tokens", lambda: _t(e.overlong_penalty(18_432, 20_480, 4_096)), (-0.5,)),
    ("importance_ratio", "0.8 over 0.4", lambda: lo.importance_ratio(_log(0.8), _log(0.4)), (2,)),
    (
        "policy_gradient",
        "ratios 2 and 1/2",
        lambda: lo.policy_gradient(_log(0.8, 0.2), _log(0.4, 0.4), _t(1, -1)),
        (-2 * math.log(0.8), 0.5 * math.log(0.2)),
    ),
    (
        "clipped",
        "ratios 2, 2, 1/2 in [0.8, 1.3]",
        lambda: lo.clipped(_t(2, 2, 0.5), _t(1, -1, -1), clip_low=0.2, clip_high=0.3),
        (-1.3, 2, 0.8),
    ),
    (
        "clipped",
        "ratios 5, 5, 2 and advantages 1, -1, -1 in [0.8, 1.3], dual clip 3",
        lambda: lo.clipped(_t(5, 5, 2), _t(1, -1, -1), clip_low=0.2, clip_high=0.3, dual_clip=3.0),
        (-1.3, 3, 2),
    ),
    (
        "sequence_ratio",
        "tokens 4 and 1, token 1",
        lambda: lo.sequence_ratio(_log(0.8, 0.2, 0.5), _log(0.2, 0.2, 0.5), _IDS, 2),
        (2, 2, 1),
    ),
    (
        "product_ratio",
        "tokens 4 and 1/2, token 1",
        lambda: lo.product_ratio(_log(0.8, 0.2, 0.5), _log(0.2, 0.4, 0.5), _IDS, 2),
        (2, 2, 1),
    ),
    (
        "sequence_policy_gradient",
        "products 2 and 1",
        lambda: lo.sequence_policy_gradient(_log(0.8, 0.2, 0.5), _log(0.2, 0.4, 0.5), _t(1, 1, -1), _IDS, 2),
        (-2 * math.log(0.8), -2 * math.log(0.2), math.log(0.5)),
    ),
    (
        "sequence_policy_gradient",
        "products 2 and 1/2, clipped at 1.2 and 0.8, and one that moved the wrong way",
        lambda: lo.sequence_policy_gradient(
            _log(0.8, 0.2, 0.2, 0.8),
            _log(0.2, 0.4, 0.4, 0.4),
            _t(1, 1, -1, -1),
            torch.tensor([0, 0, 1, 2]),
            3,
            clip=0.2,
        ),
        (0, 0, 0, 2 * math.log(0.8)),
    ),
    (
        "soft_gate",
        "ratio 1 and advantages 1, -1; ratio 2 at temperature 1",
        lambda: lo.soft_gate(_t(1, 1, 2), _t(1, -1, 1), temperature_positive=1.0, temperature_negative=2.0),
        (-2, 1, -4 / (1 + math.exp(-1))),
    ),
    (
        "divergence_mask",
        "total variation 0.3 up, 0.3 down, and of a rare token",
        lambda: lo.divergence_mask(
            _log(0.8, 0.5, 1e-3), _log(0.5, 0.8, 1e-5), _t(1, 1, 1), divergence="tv", max_fall=0.2, max_rise=0.2
        ),
        (0, 1, 1),
    ),
    (
        "divergence_mask",
        "KL of 1/2 against 1/4: log 2 / 2 + log(2/3) / 2 = 0.144, both ways of the advantage",
        lambda: lo.divergence_mask(
            _log(0.25, 0.25), _log(0.5, 0.5), _t(-1, 1), divergence="kl", max_fall=0.14, max_rise=0.14
        ),
        (0, 1),
    ),
    (
        "divergence_mask",
        "the same below its bound",
        lambda: lo.divergence_mask(_log(0.25), _log(0.5), _t(-1), divergence="kl", max_fall=0.145, max_rise=0.1),
        (1,),
    ),
    (
        "off_policy_mask",
        "mean log ratios log 2 and 0, beyond 0.5",
        lambda: lo.off_policy_mask(_log(0.1, 0.4, 0.5), _log(0.4, 0.4, 0.5), _t(-1, -1, -1), _IDS, 2, threshold=0.5),
        (0, 0, 1),
    ),
    (
        "cut_weight",
        "ratios 8 and 1/2, at most 5",
        lambda: lo.cut_weight(_log(0.8, 0.2), _log(0.1, 0.4), _t(1, 1), max_weight=5.0),
        (-5 * math.log(0.8), -0.5 * math.log(0.2)),
    ),
    (
        "cut_weight",
        "ratios 8 and 1/2, at least 3/4 and at most 5",
        lambda: lo.cut_weight(_log(0.8, 0.2), _log(0.1, 0.4), _t(1, 1), min_weight=0.75, max_weight=5.0),
        (-5 * math.log(0.8), -0.75 * math.log(0.2)),
    ),
    ("k1", "1/2 against 1/4", lambda: lo.k1(_log(0.5), _log(0.25)), (_LOG2,)),
    ("k3", "1/2 against 1/4 and back", lambda: lo.k3(_log(0.5, 0.25), _log(0.25, 0.5)), (_LOG2 - 0.5, 1 - _LOG2)),
    (
        "kl_penalty",
        "ratio 2, k3 of 1/2 against 1/4",
        lambda: lo.kl_penalty(_log(0.5), _log(0.25), _log(0.25)),
        (2 * (_LOG2 - 0.5),),
    ),
    (
        "correction_weights",
        "tokens 4, 1 and 1/2, truncated at 3",
        lambda: lo.correction_weights(_log(0.8, 0.2, 0.2), _log(0.2, 0.2, 0.4), _IDS, 2, _TRUNCATE)[0],
        (3, 1, 0.5),
    ),
    (
        "correction_weights",
        "geometric means 2 and 1/2, masked beyond [0.5, 1.5]",
        lambda: lo.correction_weights(_log(0.8, 0.2, 0.2), _log(0.2, 0.2, 0.4), _IDS, 2, _MASK)[0],
        (0, 0, 0.5),
    ),
    (
        "correction_weights",
        "products 4 and 1/2, truncated at 3.5",
        lambda: lo.correction_weights(_log(0.8, 0.2, 0.2), _log(0.2, 0.2, 0.4), _IDS, 2, _WHOLE)[0],
        (3.5, 3.5, 0.5),
    ),
    (
        "correction_weights",
        "tokens 4, 1 and 1/2, held in [0.75, 3]",
        lambda: lo.correction_weights(_log(0.8, 0.2, 0.2), _log(0.2, 0.2, 0.4), _IDS, 2, _BOTH_SIDES)[0],
        (3, 1, 0.75),
    ),
    (
        "correction_weights",
        "tokens 4, 1 and 1/2, masked beyond [0.6, 3]",
        lambda: lo.correction_weights(_log(0.8, 0.2, 0.2), _log(0.2, 0.2, 0.4), _IDS, 2, _MASK_TOKENS)[0],
        (0, 1, 0),
    ),
    (
        "token_weights",
        "tokens and constant",
        lambda: torch.cat(
            [lo.token_weights(rule, _IDS, torch.tensor([2, 1]), _t(1, 0.5)) for rule in ("tokens", "constant")]
        ),
        (1, 1, 1, 1, 1, 1),
    ),
    (
        "token_weights",
        "sequences: two tokens, then one",
        lambda: lo.token_weights("sequences", _IDS, torch.tensor([2, 1]), _t(1, 0.5)),
        (0.5, 0.5, 1),
    ),
    (
        "token_weights",
        "episodes: two tokens, then a fork of one",
        lambda: lo.token_weights("episodes", _IDS, torch.tensor([2, 1]), _t(1, 0.5)),
        (0.5, 0.5, 0.5),
    ),
    (
        "normalising_count",
        "37 tokens, four samples, three rollouts",
        lambda: _t(*(lo.normalising_count(rule, None, 37, 4, 3) for rule in ("tokens", "sequences", "episodes"))),
        (37, 4, 3),
    ),
    (
        "token_weights",
        "groups: one of ten tokens, in other micro-batches too, and one of one",
        lambda: lo.token_weights("groups", _IDS, torch.tensor([2, 1]), _t(1, 1), torch.tensor([10, 1])),
        (0.1, 0.1, 1),
    ),
    (
        "normalising_count",
        "two groups of 37 tokens",
        lambda: _t(lo.normalising_count("groups", None, 37, 4, 3, num_groups=2)),
        (2,),
    ),
    (
        "normalising_count",
        "constant 100, four samples of three rollouts",
        lambda: _t(lo.normalising_count("constant", 100, 37, 4, 3)),
        (300,),
    ),
    (
        "token_weights",
        "turns: one of two tokens, and one of one",
        lambda: lo.token_weights("turns", _IDS, torch.tensor([2, 1]), _t(1, 1), turn_lengths_N=torch.tensor([2, 2, 1])),
        (0.5, 0.5, 1),
    ),
    (
        "normalising_count",
        "eleven turns",
        lambda: _t(lo.normalising_count("turns", None, 37, 4, 3, num_turns=11)),
        (11,),
    ),
    (
        "returns_to_go",
        "rewards 1, 0, 4 with discounts 1, 1/2 and 0",
        lambda: torch.cat([e.returns_to_go(_t(1, 0, 4), discount) for discount in (1.0, 0.5, 0.0)]),
        (5, 4, 4, 2, 2, 4, 1, 0, 4),
    ),
    (
        "at_turn",
        "returns 3, 2, 1 beside 5 and beside 7, 6; the third turn",
        lambda: e.at_turn([_t(3, 2, 1), _t(5), _t(7, 6)], member=0, turn=2),
        (1, 5, 6),
    ),
    (
        "in_state",
        "returns 3, 2 beside 5, 7, 9, whose first two turns began where the second of the first did",
        lambda: e.in_state([_t(3, 2), _t(5, 7, 9)], ["ab", "bbc"], member=0, turn=1),
        (2, 6),
    ),
    (
        "anchored",
        "GiGPO: returns 1, 0, 2, of three turns in one state, and 5 in another",
        lambda: e.anchored(_t(1, 5, 0, 2), "abaa", scale_by_std=False),
        (0, 0, -1, 1),
    ),
    (
        "anchored",
        "GiGPO, by the standard deviation 2: returns 1, 5, 3 in one state",
        lambda: e.anchored(_t(1, 5, 3), "aaa", scale_by_std=True, epsilon=0.0),
        (-1, 1, 0),
    ),
)
"""(what, case, computed, worked by hand)."""

_OLD, _ADVANTAGES, _REFERENCE = _log(0.4, 0.4, 0.1, 0.5), _t(1.0, -0.7, 0.3, -1.2), _log(0.3, 0.2, 0.4, 0.6)
_NOW, _IDS4 = _log(0.43, 0.37, 0.12, 0.3), torch.tensor([0, 0, 1, 1])
_CLIP = {"clip_low": 0.2, "clip_high": 0.3}


_SAMPLED, _WEIGHTS = _log(0.1, 0.5, 0.1, 0.4), _t(0.5, 0.5, 0.25, 0.25)
_FACTORS = _t(2, 0.8, 1, 1.25)
"""_OLD over _SAMPLED, at most 2."""


def _ratio(now: Tensor) -> Tensor:
    return (now - _OLD).exp()


def _composed(now: Tensor) -> Tensor:
    algorithm = RLOO(kl_coefficient=0.2, correction=lo.ImportanceCorrection(kind="truncate", high=2.0))
    inputs = LossInputs(
        policy_logprobs=now,
        old_logprobs=_OLD,
        advantages=_ADVANTAGES,
        weights=_WEIGHTS,
        entropy=torch.zeros_like(now),
        sequence_ids=_IDS4,
        num_sequences=2,
        sampling_logprobs=_SAMPLED,
        reference_logprobs=_REFERENCE,
    )
    return algorithm.loss(inputs).loss_sum


POTENTIALS: tuple[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]], ...] = (
    (
        "clipped",
        lambda x: lo.clipped(lo.importance_ratio(x, _OLD), _ADVANTAGES, **_CLIP),
        lambda x: lo.clipped(_ratio(x), _ADVANTAGES, **_CLIP),
    ),
    (
        "clipped, by sequence",
        lambda x: lo.clipped(lo.sequence_ratio(x, _OLD, _IDS4, 2), _ADVANTAGES, **_CLIP),
        lambda x: lo.clipped(_geometric(x), _ADVANTAGES, **_CLIP),
    ),
    (
        "clipped, dual",
        lambda x: lo.clipped(lo.importance_ratio(x, _OLD), 20 * _ADVANTAGES, **_CLIP, dual_clip=1.05),
        lambda x: torch.where(
            _ADVANTAGES > 0,
            lo.clipped(_ratio(x), 20 * _ADVANTAGES, **_CLIP),
            -torch.maximum(_ratio(x), _t(0.8)).clamp(max=1.05) * 20 * _ADVANTAGES,
        ),
    ),
    (
        "value_loss",
        lambda x: lo.value_loss(x, _OLD, _ADVANTAGES, clip=0.05),
        lambda x: (
            0.5 * torch.maximum((x - _ADVANTAGES) ** 2, (_OLD + (x - _OLD).clamp(-0.05, 0.05) - _ADVANTAGES) ** 2)
        ),
    ),
    (
        "algorithm: loss, KL and correction together",
        lambda x: _composed(x),
        lambda x: (
            _FACTORS
            * (-_ratio(x) * _ADVANTAGES + 0.2 * _ratio(x) * ((_REFERENCE - x).exp() - 1 + x - _REFERENCE))
            * _WEIGHTS
        ),
    ),
    ("policy_gradient", lambda x: lo.policy_gradient(x, _OLD, _ADVANTAGES), lambda x: -_ratio(x) * _ADVANTAGES),
    (
        "sequence_policy_gradient",
        lambda x: lo.sequence_policy_gradient(x, _OLD, _BY_SEQUENCE, _IDS4, 2),
        lambda x: -_product(x) * _BY_SEQUENCE * _t(0.5, 0.5, 0.5, 0.5),
    ),
    (
        "soft_gate",
        lambda x: lo.soft_gate(
            lo.importance_ratio(x, _OLD), _ADVANTAGES, temperature_positive=2.0, temperature_negative=3.0
        ),
        lambda x: (
            torch.where(
                _ADVANTAGES > 0, 2 * torch.sigmoid(2 * (_ratio(x) - 1)), 4 / 3 * torch.sigmoid(3 * (_ratio(x) - 1))
            )
            * -_ADVANTAGES
        ),
    ),
    (
        "cut_weight",
        lambda x: lo.cut_weight(x, _OLD, _ADVANTAGES, max_weight=1.1),
        lambda x: -_ratio(_NOW).clamp(max=1.1) * _ADVANTAGES * x,
    ),
    (
        "kl_penalty",
        lambda x: lo.kl_penalty(x, _OLD, _REFERENCE),
        lambda x: _ratio(x) * ((_REFERENCE - x).exp() - 1 + x - _REFERENCE),
    ),
)
"""(loss, the loss of each token, a function whose derivative the loss's gradient must be). They are the same function
where the loss holds nothing constant."""


_BY_SEQUENCE = _t(1.0, 1.0, -0.7, -0.7)


def _product(now: Tensor) -> Tensor:
    differences = now - _OLD
    return torch.stack([differences[:2].sum().exp()] * 2 + [differences[2:].sum().exp()] * 2)


def _geometric(now: Tensor) -> Tensor:
    differences = now - _OLD
    return torch.stack([differences[:2].mean().exp()] * 2 + [differences[2:].mean().exp()] * 2)


def check_tables() -> list[Check]:
    """Check every estimator and loss against numbers worked by hand."""
    checks = []
    for subject, case, computed, expected in TABLE:
        found = computed().double().tolist()
        right = len(found) == len(expected) and all(
            math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) for a, b in zip(found, expected, strict=True)
        )
        checks.append(Check(subject, f"by hand: {case}", "" if right else f"gave {found}, by hand {list(expected)}"))
    return checks


def check_gradients(step: float = 1e-6) -> list[Check]:
    """Check every loss's gradient against central differences in float64."""
    checks = []
    for subject, loss, potential in POTENTIALS:
        now = _NOW.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(now).sum(), now)
        differences = torch.stack(
            [
                (potential(_NOW + step * unit).sum() - potential(_NOW - step * unit).sum()) / (2 * step)
                for unit in torch.eye(4, dtype=torch.float64)
            ]
        )
        error = float((gradient - differences).abs().max())
        checks.append(Check(subject, "gradient by finite differences", "" if error < 1e-7 else f"off by {error:.2g}"))
    return checks

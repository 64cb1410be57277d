"""Losses of comparisons against TRL 1.16's, on the same logits. `trl_preference.py` wrote its numbers down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from assay.algorithms import DPO, IPO, KTO, ORPO, Algorithm, LossInputs, SimPO
from assay.losses import bradley_terry_loss, odds_ratio_loss, reference_point
from parity import preference_logits as given

TRL = json.loads((Path(__file__).parent / "preference_numbers.json").read_text())["numbers"]
MASK = given.response_mask()[:, 1:]
SEQUENCES = torch.arange(6).repeat_interleave(torch.tensor(given.LENGTHS))
UNITS = torch.tensor([0, 1, 2, 0, 1, 2])


def loss(algorithm: Algorithm, units: Tensor = UNITS) -> float:
    """The loss of the three pairs, divided by their units."""
    signs = torch.tensor([1.0 if good else -1.0 for good in given.IS_DESIRABLE], dtype=torch.float64)
    point = reference_point((given.logprobs(2) - given.logprobs(3)).sum(1))
    inputs = LossInputs(
        policy_logprobs=given.logprobs(0)[MASK],
        old_logprobs=given.logprobs(0)[MASK],
        advantages=signs[SEQUENCES],
        weights=torch.ones(len(SEQUENCES), dtype=torch.float64),
        entropy=torch.zeros(len(SEQUENCES)),
        sequence_ids=SEQUENCES,
        num_sequences=6,
        unit_ids=units,
        reference_logprobs=given.logprobs(1)[MASK],
        reference_points=point.expand(6),
    )
    return float(algorithm.loss(inputs).loss_sum) / (int(units.max()) + 1)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("dpo", DPO(beta=0.3)),
        ("robust", DPO(beta=0.3, label_smoothing=0.1, unbiased=True)),
        ("length-normalised", DPO(beta=5.0, length_normalised=True)),
        ("ipo", IPO(tau=0.2, length_normalised=True)),
        ("simpo", SimPO(beta=2.0, gamma=0.5)),
    ],
)
def test_pairs(name: str, algorithm: Algorithm) -> None:
    assert loss(algorithm) == pytest.approx(TRL[name], rel=1e-12)


def test_kto() -> None:
    assert loss(KTO(beta=0.3, undesirable_weight=1.5), torch.arange(6)) == pytest.approx(TRL["kto"], rel=1e-12)


def test_odds_ratio_in_trls_fp32() -> None:
    chosen, rejected = (given.logprobs(0).sum(1) / torch.tensor(given.LENGTHS)).chunk(2)
    assert 0.25 * float(odds_ratio_loss(chosen, rejected).mean()) == pytest.approx(TRL["odds ratio"], rel=1e-6)
    likelihood = float(-chosen.mean())
    assert loss(ORPO(odds_coefficient=0.25)) == pytest.approx(likelihood + TRL["odds ratio"], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "margins", "centring"),
    [("reward model", None, 0.0), ("reward model, margin and centring", given.MARGINS, 0.01)],
)
def test_reward_model(name: str, margins: tuple[float, ...] | None, centring: float) -> None:
    found = bradley_terry_loss(
        torch.tensor(given.CHOSEN_REWARDS, dtype=torch.float64),
        torch.tensor(given.REJECTED_REWARDS, dtype=torch.float64),
        margins_P=None if margins is None else torch.tensor(margins, dtype=torch.float64),
        centring=centring,
    )
    assert float(found.mean()) == pytest.approx(TRL[name], rel=1e-12)


def test_label_smoothing_does_nothing_under_trls_default_loss_and_does_here() -> None:
    assert TRL["dpo, label_smoothing"] == TRL["dpo"]
    assert loss(DPO(beta=0.3, label_smoothing=0.1)) != pytest.approx(TRL["dpo"], rel=1e-3)

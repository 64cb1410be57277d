from __future__ import annotations

import math

import pytest
import torch

from assay.training.report import GAP_KL, GAP_MAX, GAP_MEAN, gap_metrics


def test_the_gap_by_hand():
    metrics = gap_metrics(torch.tensor([0.1, -0.3], dtype=torch.float64))
    assert metrics[GAP_MEAN] == pytest.approx(0.2)
    assert metrics[GAP_MAX] == pytest.approx(0.3)
    assert metrics[GAP_KL] == pytest.approx((math.exp(0.1) - 1.1 + math.exp(-0.3) - 0.7) / 2)


def test_small_gaps_keep_their_digits():
    metrics = gap_metrics(torch.full((3,), 1e-5, dtype=torch.float64))
    assert metrics[GAP_KL] == pytest.approx(5e-11, rel=1e-4)


def test_the_estimate_is_unbiased_under_the_sampler():
    """Exact expectation over three tokens drawn from the sampler equals KL(sampler || trainer)."""
    sampler, trainer = torch.tensor([0.7, 0.2, 0.1]).double(), torch.tensor([0.5, 0.2, 0.3]).double()
    estimates = [gap_metrics(d[None])[GAP_KL] for d in trainer.log() - sampler.log()]
    expected = float((sampler * (sampler / trainer).log()).sum())
    assert sum(p * e for p, e in zip(sampler.tolist(), estimates, strict=True)) == pytest.approx(expected)


def test_what_was_not_measured_is_absent():
    assert gap_metrics(torch.zeros(0, dtype=torch.float64)) == {}
    assert gap_metrics(torch.tensor([math.nan], dtype=torch.float64)) == {}

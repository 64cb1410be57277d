"""The size of a step, in weights and in nats."""

from __future__ import annotations

import math

import pytest
import torch

from assay.training.step_size import WeightSample, read_again, step_kl
from assay.types import Sample


def test_the_change_of_weights_is_a_share_of_their_norm() -> None:
    weights = [torch.nn.Parameter(torch.full((3, 4), 2.0)), torch.nn.Parameter(torch.zeros(4))]
    frozen = torch.nn.Parameter(torch.ones(5), requires_grad=False)
    before = WeightSample([*weights, frozen])
    assert before.change() == 0.0
    with torch.no_grad():
        weights[0] += 0.2
        frozen += 1.0
    assert before.change() == pytest.approx(0.1)
    assert math.isnan(WeightSample([torch.nn.Parameter(torch.zeros(3))]).change())


def test_many_weights_are_sampled() -> None:
    weight = torch.nn.Parameter(torch.ones(300_000))
    before = WeightSample([weight])
    with torch.no_grad():
        weight *= 1.5
    assert before.change() == pytest.approx(0.5)
    assert before._read().numel() <= 65_536


def test_the_divergence_of_known_distributions() -> None:
    # Sampled from (1/2, 1/2), read by (1/4, 3/4): KL = ln 2 - ln(3)/2 = 0.1438, and exp(d) - 1 averages to 0.
    before = [math.log(0.5)] * 2
    after = [math.log(0.25), math.log(0.75)]
    assert step_kl(before, after) == pytest.approx(0.14384, abs=1e-5)
    assert step_kl(before, before) == 0.0
    assert math.isnan(step_kl([], []))


def sample(member: int, sampled: int = 3) -> Sample:
    mask = torch.tensor([False] * 2 + [True] * sampled)
    return Sample(0, member, torch.arange(len(mask)), mask, torch.zeros(len(mask)))


def test_one_of_thirty_two_is_read_again_and_no_fork() -> None:
    samples = [sample(member) for member in range(100)]
    start = {(0, member): [0.0] * 3 for member in range(100)}
    assert [each.member for each in read_again(samples, start)] == [0, 33, 66]
    # A rollout of several samples has the log-probabilities of all of them.
    start[0, 0] = [0.0] * 6
    assert read_again(samples[:1], start) == []
    assert len(read_again(samples[:5], start)) == 1
    assert read_again(samples, {}) == []

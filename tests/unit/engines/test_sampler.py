"""The sampler against numbers worked by hand, and against the plain sampler of the scripted engine."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from assay import seeds
from assay.engines import Sampling
from assay.engines.local.sampler import CHUNK, Draw, invert, sample, truncate
from assay.engines.scripted import draw
from assay.errors import EngineError

TABLE = torch.tensor([[0.1, 0.0, 0.2, 0.3, 0.0, 0.4, 0.0]])


@pytest.mark.parametrize(
    ("uniform", "token"),
    [(0.0, 0), (0.0999, 0), (0.1001, 2), (0.2999, 2), (0.3001, 3), (0.5999, 3), (0.6001, 5), (1 - 2**-53, 5)],
)
def test_inverse_of_the_cumulative_distribution(uniform: float, token: int) -> None:
    assert invert(TABLE, torch.tensor([uniform], dtype=torch.float64)).tolist() == [token]


def test_a_threshold_exactly_on_a_sum_takes_the_next_token() -> None:
    halves = torch.tensor([[0.5, 0.0, 0.5]])
    assert invert(halves, torch.tensor([0.5], dtype=torch.float64)).tolist() == [2]


@pytest.mark.parametrize("vocab", [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 3])
def test_chunks_do_not_show(vocab: int) -> None:
    """Against a plain running sum in float64, at thresholds between the sums."""
    generator = torch.Generator().manual_seed(vocab)
    probabilities = torch.rand(64, vocab, generator=generator).pow(8)
    probabilities[:, 1:][torch.rand(64, vocab - 1, generator=generator) < 0.5] = 0
    probabilities[:, 0] += 1e-3
    probabilities /= probabilities.sum(-1, keepdim=True)
    uniforms = torch.rand(64, generator=generator, dtype=torch.float64)
    sums = probabilities.double().cumsum(-1)
    expected = (sums > (uniforms * sums[:, -1])[:, None]).int().argmax(-1)
    assert invert(probabilities, uniforms).tolist() == expected.tolist()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_unit_interval_never_take_an_impossible_token(uniform: float) -> None:
    generator = torch.Generator().manual_seed(0)
    probabilities = torch.softmax(12 * torch.randn(256, 1000, generator=generator), -1)
    probabilities[:, :300] = 0
    probabilities[:, 700:] = 0
    tokens = invert(probabilities, torch.full((256,), uniform, dtype=torch.float64))
    assert (probabilities.gather(1, tokens[:, None]) > 0).all()
    assert tokens.min() >= 300
    assert tokens.max() < 700


def test_frequencies_match_probabilities() -> None:
    """Chi-square over 20,000 positions of one seed, at a bound that 1 run in 10,000 of a true sampler passes."""
    logits = torch.tensor([0.3, -1.0, 2.0, 0.0, -0.5])
    num_draws, temperature = 20_000, 0.7
    draws = [Draw(Sampling(temperature=temperature), 5, position) for position in range(num_draws)]
    tokens, logprobs = sample(logits.expand(num_draws, -1), draws)
    expected = torch.softmax(logits / temperature, -1)
    counts = torch.bincount(torch.tensor(tokens), minlength=5)
    assert ((counts - num_draws * expected) ** 2 / (num_draws * expected)).sum() < 23.5
    assert torch.tensor(logprobs) == pytest.approx(expected[tokens].log(), abs=1e-6)


def test_uniforms_are_the_seed_rule() -> None:
    logits = torch.zeros(1, 1000)
    for seed in (0, 7, 2**64 - 1):
        for position in (0, 1, 100):
            tokens, _ = sample(logits, [Draw(Sampling(), seed, position)])
            assert tokens == [int(seeds.uniform(seed, position) * 1000)]


def test_greedy_takes_the_first_of_the_most_probable_and_reports_temperature_1() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0, 1.0]])
    tokens, logprobs = sample(logits, [Draw(Sampling(temperature=0.0, top_k=2, top_p=0.1), 3, 0)])
    assert tokens == [1]
    assert logprobs[0] == pytest.approx(2 - math.log(1 + 2 * math.e**2 + math.e), abs=1e-6)


def test_truncation_by_hand() -> None:
    table = torch.tensor([[0.1, 0.4, 0.2, 0.3]] * 4)
    top_p, top_k = torch.tensor([1.0, 0.65, 0.8, 1.0]), torch.tensor([2, 0, 3, 0])
    kept = truncate(table, top_p, top_k)
    assert kept[0].tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7])
    assert kept[1].tolist() == pytest.approx([0, 4 / 7, 0, 3 / 7])
    # Three are left by top_k: 4/9, 3/9, 2/9; the first two hold 7/9 < 0.8, so the third stays.
    assert kept[2].tolist() == pytest.approx([0, 4 / 9, 2 / 9, 3 / 9])
    assert kept[3].tolist() == pytest.approx(table[3].tolist())


def test_settings_mix_in_one_batch_as_they_do_alone() -> None:
    """Every request's token and log-probability against the scripted engine's plain sampler."""
    logits = 2 * torch.randn(1, 40, generator=torch.Generator().manual_seed(1))
    options = [
        Sampling(),
        Sampling(temperature=0.0),
        Sampling(temperature=0.5),
        Sampling(temperature=1.7, top_p=0.9),
        Sampling(top_k=3),
        Sampling(temperature=0.8, top_k=10, top_p=0.7),
        Sampling(top_p=1e-6),
    ]
    draws = [Draw(sampling, seed, 2) for sampling in options for seed in range(30)]
    tokens, logprobs = sample(logits.expand(len(draws), -1), draws)
    table = dict(enumerate(torch.softmax(logits[0].double(), -1).tolist()))
    for row, each in enumerate(draws):
        token, logprob = draw(table, each.sampling, seeds.uniform(each.seed, 2))
        assert (tokens[row], logprobs[row]) == (token, pytest.approx(logprob, abs=2e-6)), each


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_diverged_weights_are_an_error(bad: float) -> None:
    logits = torch.zeros(2, 10)
    logits[1, 4] = bad
    with pytest.raises(EngineError, match="diverged"):
        sample(logits, [Draw(Sampling(), seed, 0) for seed in range(2)])


def test_bfloat16_logits_are_widened_before_the_softmax() -> None:
    logits = torch.randn(3, 500, generator=torch.Generator().manual_seed(0)).bfloat16()
    draws = [Draw(Sampling(), seed, 0) for seed in range(3)]
    assert sample(logits, draws) == sample(logits.float(), draws)


def test_the_vectorised_seed_rule_is_the_scalar_one() -> None:
    numbers = np.array([0, 1, 2**64 - 1, 12345], dtype=np.uint64)
    assert seeds.uniforms(numbers, np.array([0, 5, 6, 7])).tolist() == [
        seeds.uniform(int(seed), position) for seed, position in zip(numbers, (0, 5, 6, 7), strict=True)
    ]

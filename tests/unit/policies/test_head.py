from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from assay.errors import ModelError
from assay.policies.head import divergence, predict

N, H, V = 11, 6, 17


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden [N, H], weight [V, H], targets [N], and the gradient that arrives at the log-probabilities."""
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(N, H, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    weight = torch.randn(V, H, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(0, V, (N,), generator=generator)
    # Two equal targets: their gradients must add up.
    targets[1] = targets[0]
    return hidden, weight, targets, torch.randn(N, generator=generator, dtype=torch.float64)


def plain(hidden: Tensor, weight: Tensor, targets: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    log_probabilities = torch.log_softmax(hidden @ weight.T / temperature, -1)
    return log_probabilities[torch.arange(len(targets)), targets], -(log_probabilities.exp() * log_probabilities).sum(
        -1
    )


def test_values_worked_by_hand() -> None:
    # Logits (ln 6, 0, ln 2) at temperature 1: probabilities 6/9, 1/9, 2/9.
    hidden = torch.tensor([[1.0]])
    weight = torch.tensor([[math.log(6.0)], [0.0], [math.log(2.0)]])
    logprobs, entropy = predict(hidden, weight, torch.tensor([2]))
    assert logprobs.item() == pytest.approx(math.log(2 / 9), abs=1e-6)
    expected = -(6 / 9 * math.log(6 / 9) + 1 / 9 * math.log(1 / 9) + 2 / 9 * math.log(2 / 9))
    assert entropy.item() == pytest.approx(expected, abs=1e-6)
    # Temperature 0.5 squares the odds: 36, 1, 4.
    assert predict(hidden, weight, torch.tensor([2]), 0.5)[0].item() == pytest.approx(math.log(4 / 41), abs=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("max_kept_elements", [0, 4 * V, 10**6], ids=["again by ones", "again by fours", "kept"])
@pytest.mark.parametrize("chunk_rows", [1, 4, 100])
def test_values_and_gradients_are_those_of_the_plain_formula(
    chunk_rows: int, max_kept_elements: int, temperature: float
) -> None:
    hidden, weight, targets, upstream = problem()
    expected, expected_entropy = plain(hidden, weight, targets, temperature)
    expected_gradients = torch.autograd.grad(expected, (hidden, weight), upstream)
    logprobs, entropy = predict(
        hidden, weight, targets, temperature, chunk_rows=chunk_rows, max_kept_elements=max_kept_elements
    )
    torch.testing.assert_close(logprobs, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(entropy, expected_entropy, rtol=0, atol=1e-12)
    assert not entropy.requires_grad
    gradients = torch.autograd.grad(logprobs, (hidden, weight), upstream)
    torch.testing.assert_close(gradients, expected_gradients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("max_kept_elements", [4 * V, 10**6], ids=["again", "kept"])
def test_a_second_pass_over_the_graph_has_the_same_gradient(max_kept_elements: int) -> None:
    # What is kept for the first becomes its gradient.
    hidden, weight, targets, upstream = problem()
    logprobs, _ = predict(hidden, weight, targets, 0.7, max_kept_elements=max_kept_elements)
    first = torch.autograd.grad(logprobs, (hidden, weight), upstream, retain_graph=True)
    second = torch.autograd.grad(logprobs, (hidden, weight), upstream)
    torch.testing.assert_close(second, first, rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_rows", [3, 100])
def test_entropy_gradient_is_that_of_the_plain_formula(chunk_rows: int) -> None:
    hidden, weight, targets, upstream = problem()
    expected = plain(hidden, weight, targets, 0.7)
    outputs = predict(hidden, weight, targets, 0.7, entropy_gradient=True, chunk_rows=chunk_rows)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    scales = (upstream, upstream.flip(0))
    torch.testing.assert_close(
        torch.autograd.grad(outputs, (hidden, weight), scales),
        torch.autograd.grad(expected, (hidden, weight), scales),
        rtol=0,
        atol=1e-12,
    )


def test_only_one_of_the_two_inputs_may_need_a_gradient() -> None:
    hidden, weight, targets, upstream = problem()
    expected = torch.autograd.grad(plain(hidden, weight, targets, 1.0)[0], hidden, upstream)[0]
    logprobs, _ = predict(hidden, weight.detach(), targets)
    torch.testing.assert_close(torch.autograd.grad(logprobs, hidden, upstream)[0], expected, rtol=0, atol=1e-12)


def test_bf16_inputs_give_fp32_results_close_to_exact() -> None:
    hidden, weight, targets, _ = problem(torch.bfloat16)
    logprobs, entropy = predict(hidden, weight, targets)
    exact, exact_entropy = plain(hidden.double(), weight.double(), targets, 1.0)
    assert logprobs.dtype == entropy.dtype == torch.float32
    # Logits reach 8, where bf16 is spaced by 1/32.
    torch.testing.assert_close(logprobs.double(), exact, rtol=0, atol=1 / 32)
    torch.testing.assert_close(entropy.double(), exact_entropy, rtol=0, atol=1 / 16)
    (gradient,) = torch.autograd.grad(logprobs.sum(), weight)
    assert gradient.dtype == torch.bfloat16


def test_huge_logits_stay_finite_and_certain() -> None:
    logprobs, entropy = predict(torch.tensor([[1.0]]), torch.tensor([[1e4], [-1e4]]), torch.tensor([0]))
    assert (logprobs.item(), entropy.item()) == (0.0, 0.0)


@pytest.mark.parametrize("entropy_gradient", [False, True])
def test_no_predictions_give_empty_results_and_a_zero_gradient(entropy_gradient: bool) -> None:
    _, weight, targets, _ = problem()
    hidden = torch.zeros(0, H, dtype=torch.float64, requires_grad=True)
    logprobs, entropy = predict(hidden, weight, targets[:0], entropy_gradient=entropy_gradient)
    assert logprobs.shape == entropy.shape == (0,)
    logprobs.sum().backward()
    assert weight.grad is not None
    assert not weight.grad.any()


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature: float) -> None:
    hidden, weight, targets, _ = problem()
    with pytest.raises(ValueError, match="temperature must be positive"):
        predict(hidden, weight, targets, temperature)


def test_the_divergence_over_the_vocabulary_by_hand() -> None:
    """p = (1/2, 1/4, 1/4), q = (1/4, 1/4, 1/2): 1/2 log 2 - 1/4 log 2 = 1/4 log 2."""
    p, q = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.25, 0.5]]).log()
    found = divergence(p, torch.eye(3), q, torch.eye(3))
    assert_close(found, torch.tensor([0.25]) * math.log(2))
    assert_close(divergence(p, torch.eye(3), p, torch.eye(3)), torch.zeros(1), rtol=0, atol=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("chunk_rows", [1, 3, 100])
def test_the_divergence_and_its_gradient_are_torchs(temperature: float, chunk_rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, other = (torch.randn(7, size, generator=generator, dtype=torch.float64) for size in (4, 6))
    weight, other_weight = (torch.randn(11, size, generator=generator, dtype=torch.float64) for size in (4, 6))
    hidden.requires_grad_(), weight.requires_grad_(), other_weight.requires_grad_()
    found = divergence(hidden, weight, other, other_weight, temperature, chunk_rows=chunk_rows)
    own, others = ((h @ w.T / temperature).log_softmax(-1) for h, w in ((hidden, weight), (other, other_weight)))
    expected = torch.nn.functional.kl_div(others, own, log_target=True, reduction="none").sum(-1)
    assert_close(found, expected)
    factors = torch.arange(7, dtype=torch.float64)
    gradients = torch.autograd.grad((found * factors).sum(), (hidden, weight), retain_graph=True)
    assert_close(gradients, torch.autograd.grad((expected * factors).sum(), (hidden, weight)))
    found.sum().backward()
    assert other_weight.grad is None, "the teacher is not trained"


def test_unlike_vocabularies_have_no_divergence() -> None:
    with pytest.raises(ModelError, match="3 and 4 words"):
        divergence(torch.zeros(1, 3), torch.eye(3), torch.zeros(1, 4), torch.eye(4))

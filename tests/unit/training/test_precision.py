from __future__ import annotations

import time

import pytest
import torch

from assay.errors import ConfigError
from assay.training import choose_dtype
from assay.training.precision import _faster


def test_what_is_asked_for_is_not_measured():
    assert choose_dtype("cpu", "fp32").dtype is torch.float32
    choice = choose_dtype("cpu", "bf16")
    assert choice.dtype is torch.bfloat16
    assert choice.speedup is None


def test_auto_measures_both_within_seconds_and_goes_by_it():
    start = time.perf_counter()
    choice = choose_dtype(torch.device("cpu"))
    assert time.perf_counter() - start < 5.0
    assert choice.speedup is not None
    assert choice.fp32_seconds is not None
    assert choice.bf16_seconds is not None
    assert choice.speedup == choice.fp32_seconds / choice.bf16_seconds
    assert choice.dtype is (torch.bfloat16 if choice.speedup >= 1.2 else torch.float32)


@pytest.mark.parametrize(
    ("fp32_seconds", "bf16_seconds", "dtype"),
    [(1.2, 1.0, torch.bfloat16), (1.19, 1.0, torch.float32), (1.0, 8.0, torch.float32)],
)
def test_bf16_must_be_a_fifth_faster(fp32_seconds, bf16_seconds, dtype):
    choice = _faster(fp32_seconds, bf16_seconds)
    assert choice.dtype is dtype
    assert choice.reason.startswith("bf16" if dtype is torch.bfloat16 else "fp32")


def test_another_precision_is_an_error():
    with pytest.raises(ConfigError, match="'fp8'"):
        choose_dtype("cpu", "fp8")  # pyright: ignore[reportArgumentType]


def test_measuring_draws_no_random_numbers():
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    choose_dtype("cpu")
    assert torch.equal(torch.rand(2), expected)

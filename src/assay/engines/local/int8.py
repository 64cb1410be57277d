"""Products with 8-bit weights and activations, for sampling: the weights of a view, quantised.

y = x W^T as integers: weights with one scale for each output, activations with one for each row, as they come. One
scale for a whole batch would make a row depend on who runs beside it. A few channels of a model are many times louder
than the rest (Dettmers et al. 2022, "LLM.int8()", arXiv 2208.07339), and would take all the steps of a row's scale:
the loudest columns of each input, as some fixed text shows them, are multiplied apart, in the compute dtype.

Shape letters: T rows, K inputs, N outputs, L loud columns.
"""

from __future__ import annotations

import functools
import time

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from assay import kernels
from assay.engines.local.packing import packed, packs
from assay.policies.decoder import Product, linear

FULL, HALF = 127, 63
"""Largest weight where sums of pairs of products are exact, and where they are not (see `weight_limit`)."""


class Int8Weight(Product):
    """A weight for `decoder.linear`, quantised.

    Args:
        weight: [N, K] fp32.
        loud: [L] the columns that are multiplied in the compute dtype.
        dtype: the compute dtype, of what it multiplies and returns.
        limit: its integers are within [-limit, limit].
    """

    def __init__(self, weight: Tensor, loud: Tensor, dtype: torch.dtype, limit: int) -> None:
        self.shape = weight.shape
        self.loud = loud
        self.mask = torch.ones(weight.shape[1])
        self.mask[loud] = 0.0
        """[K] 0 where a column is loud."""
        quiet = weight * self.mask
        self.scales = quiet.abs().amax(1).clamp_(min=1e-30) / limit
        """[N]"""
        self.integers = quiet.div_(self.scales[:, None]).round_().clamp_(-limit, limit).to(torch.int8)
        """[N, K] contiguous: the product takes it as a transposed view, which is twice as fast as a transposed copy."""
        self.loud_weight = weight[:, loud].to(dtype)
        """[N, L]"""
        self._compiled = kernels.quantises(self.shape[0], self.shape[1])

    def __call__(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """x W^T + b, [T, N] in the dtype of x [T, K]."""
        x = x.contiguous()
        loud = F.linear(x.index_select(1, self.loud), self.loud_weight, bias)
        if not self._compiled:
            integers, row_scales = quantise_rows(x, self.mask)
            return scale_sums(multiply(integers, self.integers), row_scales, self.scales, loud)
        from assay.kernels import int8

        integers, row_scales = int8.quantise(x, self.mask)
        return int8.scale_back(multiply(integers, self.integers), row_scales, self.scales, loud)


def quantise_rows(x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """x [T, K], 0 where the mask [K] is, to int8 [T, K] and the size [T] of each row's steps."""
    masked = x.float() * mask
    loudest = masked.abs().amax(1).clamp(min=1e-30)
    steps = torch.full_like(loudest, 127.0)
    return (masked * (steps / loudest)[:, None]).round().to(torch.int8), loudest / steps


def scale_sums(sums: Tensor, row_scales: Tensor, column_scales: Tensor, loud: Tensor) -> Tensor:
    """Integer sums [T, N] to numbers, with what the loud columns add, in its dtype."""
    return ((sums.float() * row_scales[:, None]) * column_scales + loud.float()).to(loud.dtype)


def multiply(x: Tensor, weight: Tensor) -> Tensor:
    """int8 [T, K] and [N, K] to int32 [T, N]."""
    return torch._int_mm(x, weight.t())  # pyright: ignore[reportPrivateImportUsage]


def times_as_fast(dtype: torch.dtype, rows: int = 64, repeats: int = 5) -> float:
    """Return the seconds of a product in a dtype over those of the same one of 8-bit integers, with the threads that
    PyTorch has now: [rows, 576] by [1536, 576], the fastest repeat of each, in turn."""
    x, weight = torch.ones(rows, 576, dtype=dtype), torch.ones(1536, 576, dtype=dtype)
    held = packed(weight) if packs(dtype, "cpu") else weight
    integers, integer_weight = x.to(torch.int8), weight.to(torch.int8)
    products = (lambda: linear(x, held), lambda: multiply(integers, integer_weight))
    fastest = [float("inf")] * len(products)
    with torch.inference_mode():
        for repeat in range(repeats + 1):  # The first one warms up.
            for place, product in enumerate(products):
                start = time.perf_counter()
                product()
                if repeat:
                    fastest[place] = min(fastest[place], time.perf_counter() - start)
    return fastest[0] / fastest[1]


@functools.cache
def weight_limit() -> int:
    """Return the largest weight with which this processor's int8 products are exact.

    Without instructions for them (VNNI), pairs of products are added in 16 bits, which saturate: full-range values are
    then wrong in nearly every entry, and nothing says so. Weights of 7 bits keep every pair within 16. Tried once, at
    the extremes.

    Raises:
        RuntimeError: there are no such products here, or none that is exact.
    """
    for limit in (FULL, HALF):
        exact = True
        for rows in (16, 64):
            x = torch.where(torch.arange(rows * 64).view(rows, 64) % 7 < 5, 127, -127).to(torch.int8)
            weight = torch.where(torch.arange(96 * 64).view(96, 64) % 11 < 9, limit, -limit).to(torch.int8)
            exact &= torch.equal(multiply(x, weight), (x.double() @ weight.double().t()).to(torch.int32))
        if exact:
            return limit
    raise RuntimeError("this processor's int8 products are not exact")

"""Packed weights: the same bits as plain ones, whatever the number of rows, in products and in what is sampled."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from assay.engines import LocalEngine, Sampling
from assay.engines.local.packing import packed, packs
from assay.models import open_model
from assay.policies.decoder import linear
from assay.policies.tiny import write_tiny_model
from assay.types import Completion


def kernels_are_there() -> bool:
    """Asked of torch itself: `packs` is also False where packing would be wrong, which must not pass for a skip."""
    try:
        torch.ops.mkldnn._reorder_linear_weight(torch.zeros(48, 64, dtype=torch.bfloat16), 64)
    except (RuntimeError, AttributeError, NotImplementedError):
        return False
    return True


pytestmark = pytest.mark.skipif(
    not kernels_are_there(), reason="this build of PyTorch has no kernels for packed bf16 weights"
)


bit_for_bit = pytest.mark.skipif(
    not packs(torch.bfloat16, "cpu"), reason="this processor's packed products have other bits, so none is packed"
)


def test_a_packed_product_is_the_product() -> None:
    """On any processor, to the rounding of bf16: `packs` is False where bits differ, which must not hide more."""
    x, weight = torch.randn(24, 64).bfloat16(), torch.randn(48, 64).bfloat16()
    exact = x.double() @ weight.double().T
    torch.testing.assert_close(linear(x, packed(weight)).double(), exact, rtol=2**-7, atol=0.05)


def test_only_bf16_on_a_cpu_is_packed() -> None:
    assert not packs(torch.float32, "cpu")
    assert not packs(torch.bfloat16, "cuda")


@bit_for_bit
@pytest.mark.parametrize(("outputs", "inputs"), [(960, 576), (576, 1536), (1000, 24)])
def test_rows_have_the_bits_of_the_plain_product_however_many_there_are(outputs: int, inputs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, inputs, generator=generator).bfloat16()
    weight = torch.randn(outputs, inputs, generator=generator).bfloat16()
    bias = torch.randn(outputs, generator=generator).bfloat16()
    for rows in (16, 17, 64, 100, 200):
        # On processors with matrix units a row's bits depend on how many there are, packed or not.
        expected = F.linear(x[:rows], weight, bias)
        assert torch.equal(linear(x[:rows], packed(weight), bias), expected), rows


@bit_for_bit
def test_what_is_sampled_is_the_same_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Large enough for the kernels of real models.
    model = write_tiny_model(tmp_path, hidden_size=64, intermediate_size=160)
    policy = open_model(model).policy()

    def sampled() -> list[Completion]:
        engine = LocalEngine(
            policy.config,
            policy.weights(),
            stop_token_ids=(),
            decode=lambda tokens: "",
            dtype=torch.bfloat16,
            num_slots=8,
        )

        async def all_of_them() -> list[Completion]:
            sampling = Sampling(max_new_tokens=12)
            prompts = [[1 + i, 2, 3 + i, *range(i)] for i in range(10)]
            requests = (engine.generate(p, sampling, request_id=str(i), seed=i) for i, p in enumerate(prompts))
            return list(await asyncio.gather(*requests))

        return asyncio.run(all_of_them())

    fast = sampled()
    monkeypatch.setattr("assay.engines.local.view.packs", lambda dtype, device: False)
    assert sampled() == fast

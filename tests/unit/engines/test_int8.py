"""8-bit products: exact sums, rows that stand alone, loud columns apart, and a view that follows its weights."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from assay import kernels
from assay.batching import pack
from assay.config import validate
from assay.engines import LocalEngine, Sampling
from assay.engines.int8 import CALIBRATION_TEXT, MAX_CALIBRATION_TOKENS, Int8, calibration_tokens
from assay.engines.local import int8
from assay.engines.local.int8 import Int8Weight, quantise_rows, scale_sums, weight_limit
from assay.engines.local.int8_view import Int8View
from assay.errors import ConfigError, ModelError
from assay.models import open_model
from assay.policies.tiny import random_weights, write_tiny_causal_lm, write_tiny_model
from assay.recipe import RunConfig
from assay.types import Sample

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("int8")
    return write_tiny_model(folder, hidden_size=64, num_attention_heads=2, num_key_value_heads=1, intermediate_size=96)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_products_that_are_slower_than_the_dtypes_are_cautioned_against(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor without instructions for them they took 16 times as long as fp32's, and nothing said so."""

    def asleep(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        time.sleep(0.2)
        return torch.empty(0)

    monkeypatch.setattr(int8, "multiply", asleep)
    (caution,) = Int8().cautions(torch.float32)
    assert "times as fast as float32 ones on this machine" in caution
    monkeypatch.setattr(int8, "linear", asleep)
    monkeypatch.setattr(int8, "multiply", lambda x, weight: torch.empty(0))
    assert Int8().cautions(torch.float32) == ()


@DTYPES
def test_compiled_and_plain_have_the_same_bits(dtype: torch.dtype) -> None:
    if not kernels.quantises(32, 32):
        pytest.skip("no compiled forms on this machine")
    from assay.kernels import int8 as compiled

    x = numbers(33, 96).mul(5).to(dtype)
    x[3] = 0
    mask = (torch.arange(96) % 7 > 0).float()
    for ours, plain in zip(compiled.quantise(x, mask), quantise_rows(x, mask), strict=True):
        assert torch.equal(ours, plain)
    sums, loud = (numbers(33, 64, seed=1) * 1e5).int(), numbers(33, 64, seed=2).to(dtype)
    scales = numbers(33, seed=3).abs() / 1e3, numbers(64, seed=4).abs() / 1e3
    assert torch.equal(compiled.scale_back(sums, *scales, loud), scale_sums(sums, *scales, loud))


@DTYPES
def test_a_row_does_not_depend_on_its_neighbours(dtype: torch.dtype) -> None:
    weight = Int8Weight(numbers(64, 96), torch.arange(8), dtype, weight_limit())
    x = numbers(40, 96, seed=1).to(dtype)
    expected = weight(x, None)
    x[5] *= 1000  # One loud row: a scale for the whole batch would leave the others no digits.
    loud = weight(x, None)
    keep = torch.arange(40) != 5
    assert torch.equal(loud[keep], expected[keep])
    assert torch.equal(weight(x[:16], None), loud[:16])


def test_loud_columns_are_multiplied_apart() -> None:
    x, weight = numbers(16, 128), numbers(64, 128, seed=1)
    x[:, 7] *= 200
    right = x @ weight.T

    def error(*loud: int) -> float:
        found = Int8Weight(weight, torch.tensor(loud, dtype=torch.long), torch.float32, weight_limit())(x, None)
        return float((found - right).norm() / (right - x[:, 7:8] @ weight[:, 7:8].T).norm())

    assert error() > 0.1
    assert error(7) < 0.02


def test_the_bias_is_added_once() -> None:
    weight, bias = Int8Weight(numbers(64, 96), torch.arange(4), torch.float32, weight_limit()), numbers(64, seed=5)
    x = numbers(16, 96, seed=1)
    torch.testing.assert_close(weight(x, bias), weight(x, None) + bias)


def test_the_weight_is_handed_over_as_a_transposed_view(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []
    product = torch._int_mm  # pyright: ignore[reportPrivateImportUsage]
    monkeypatch.setattr(torch, "_int_mm", lambda x, weight: given.append(weight) or product(x, weight))
    weight = Int8Weight(numbers(64, 96), torch.arange(4), torch.float32, 127)
    weight(numbers(16, 96), None)
    assert given[0].shape == (96, 64)
    assert given[0].stride() == (1, 96)


def test_products_that_saturate_get_weights_of_7_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    def saturating(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Pairs of products in 16 bits, of activations shifted to be unsigned, as without VNNI."""
        shifted, w = x.int() + 128, weight.int().t()
        pairs = (shifted[:, :, None] * w[None]).unflatten(1, (-1, 2)).sum(2).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(1) - 128 * w.sum(0)

    monkeypatch.setattr(int8, "multiply", saturating)
    assert weight_limit.__wrapped__() == 63
    monkeypatch.setattr(int8, "multiply", lambda x, weight: saturating(x, weight) + 1)
    with pytest.raises(RuntimeError, match="not exact"):
        weight_limit.__wrapped__()


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").exists() or "avx2" not in Path("/proc/cpuinfo").read_text(), reason="AVX2"
)
def test_products_are_exact_where_the_libraries_are_limited_to_avx2() -> None:
    """The real thing: full-range values are wrong there, on some builds, and those of the probed range never."""
    program = (
        "import torch\nfrom assay.engines.local.int8 import weight_limit, multiply\n"
        "limit = weight_limit()\ng = torch.Generator().manual_seed(0)\n"
        "x = torch.randint(-127, 128, (64, 576), generator=g).to(torch.int8)\n"
        "w = torch.randint(-limit, limit + 1, (96, 576), generator=g).to(torch.int8)\n"
        "assert torch.equal(multiply(x, w), (x.double() @ w.double().t()).int()), limit\nprint(limit)"
    )
    limited = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run([sys.executable, "-c", program], env=limited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("63", "127")


def view_of(model: Path, **options: Any) -> Int8View:
    config = open_model(model).configuration
    return Int8View(config, torch.float32, calibration=range(3, 60), num_loud=8, **options)


def test_a_view_follows_each_load_and_nothing_else(model: Path) -> None:
    """What a resumed run samples with is what the unbroken one does, whatever was loaded before."""
    config = open_model(model).configuration
    first, second = (random_weights(config, seed) for seed in (1, 2))
    view, fresh = view_of(model), view_of(model)
    x = numbers(16, 64)
    view.load(first.items(), 1)
    before = view.layers[1].qkv(x, None)  # pyright: ignore[reportCallIssue]
    view.load(reversed(second.items()), 2)
    fresh.load(second.items(), 2)
    for mine, other in zip(view.layers, fresh.layers, strict=True):
        for name in ("qkv", "output", "gate_up", "down"):
            assert torch.equal(getattr(mine, name).integers, getattr(other, name).integers)
            assert torch.equal(getattr(mine, name).loud, getattr(other, name).loud)
    assert not torch.equal(view.layers[1].qkv(x, None), before)  # pyright: ignore[reportCallIssue]
    del second["model.norm.weight"]
    with pytest.raises(ModelError, match=r"1 tensors are missing, among them model\.norm\.weight"):
        view.load(second.items(), 3)
    assert view.version is None


@DTYPES
def test_sampled_log_probabilities_are_near_the_policys(model: Path, dtype: torch.dtype) -> None:
    policy = open_model(model).policy()
    engine = Int8(loud_columns=16).open(
        policy,
        stop_token_ids=(),
        decode=str,
        dtype=dtype,
        num_slots=8,
        version=0,  # pyright: ignore[reportArgumentType]
    )
    assert isinstance(engine, LocalEngine)
    sampling = Sampling(max_new_tokens=20)

    async def together() -> Any:
        requests = (engine.generate(range(5 + i, 25), sampling, request_id=str(i), seed=i) for i in range(6))
        return await asyncio.gather(*requests)

    completions = asyncio.run(together())
    alone = [asyncio.run(engine.generate(range(5 + i, 25), sampling, request_id="a", seed=i)) for i in range(6)]
    assert alone == completions, "integer sums have one order"
    samples = []
    for i, completion in enumerate(completions):
        token_ids = torch.tensor((*range(5 + i, 25), *completion.token_ids))
        mask = torch.arange(len(token_ids)) >= 20 - i
        logprobs = torch.zeros(len(token_ids))
        logprobs[mask] = torch.tensor(completion.logprobs)
        samples.append(Sample(group_id=i, member=0, token_ids=token_ids, loss_mask=mask, sampling_logprobs=logprobs))
    ((batch,),) = pack(samples, max_tokens=10_000)
    with torch.no_grad():
        gaps = (policy.forward(batch).logprobs - batch.sampling_logprobs).abs()
    assert 0.0 < gaps.mean() < 0.1


def test_models_that_it_does_not_fit(tmp_path: Path, model: Path) -> None:
    options: dict[str, Any] = {"stop_token_ids": (), "decode": str, "num_slots": 4, "version": 0}
    with pytest.raises(ConfigError, match="computed by transformers: leave the engine out"):
        Int8().open(open_model(write_tiny_causal_lm(tmp_path)).policy(), dtype=torch.float32, **options)
    policy = open_model(model).policy()
    with pytest.raises(ConfigError, match=r"has 64 columns, of which 33 .* at most 32"):
        Int8(loud_columns=33).open(policy, dtype=torch.float32, **options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match=r"model\.compute_dtype='bf16' or 'fp32'"):
        Int8().open(policy, dtype=torch.float16, **options)  # pyright: ignore[reportArgumentType]


def test_the_text_is_read_by_the_models_own_tokenizer(model: Path) -> None:
    policy = open_model(model).policy()
    found = calibration_tokens(policy.tokenizer_files, policy.config.vocab_size)
    assert len(found) == MAX_CALIBRATION_TOKENS
    text = open_model(model).renderer().decode(found)
    assert CALIBRATION_TEXT.startswith(text)
    assert len(set(calibration_tokens({}, 1000))) >= 100


def test_a_run_has_to_correct_for_it() -> None:
    assert RunConfig().engine is None, "off by default"
    with pytest.raises(ConfigError, match=r"the engine 'int8' samples from other .*correction\.kind"):
        validate(RunConfig, {"engine": "int8"})
    corrected = {"name": "grpo", "correction": {"kind": "truncate"}}
    assert validate(RunConfig, {"engine": "int8", "algorithm": corrected}).engine == Int8()

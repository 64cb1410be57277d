"""The compiled forms beside the plain ones, on one thread and on several."""

from __future__ import annotations

import asyncio
import dataclasses
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from assay import kernels
from assay.batching import pack
from assay.engines import LocalEngine, Sampling
from assay.engines.local import pages
from assay.engines.local.attention import NewTokens, Pass
from assay.engines.local.pages import PagePool
from assay.engines.local.prefixes import PrefixTree
from assay.engines.local.prompts import PromptPass
from assay.engines.local.runner import ModelRunner
from assay.engines.local.view import ServingView
from assay.errors import EngineError
from assay.policies import DecoderConfig, DecoderPolicy
from assay.policies.attention import PackedAttention
from assay.policies.elementwise import COMPILED, compiles, rms_norm, rotate, swiglu
from assay.policies.tiny import random_weights
from assay.types import Completion, CreditedSample

if sys.platform != "linux":
    pytest.skip("only PyTorch on Linux has the OpenMP runtime that they need", allow_module_level=True)

from assay.kernels.attention import PAGE, CompiledPageAttention


@pytest.fixture(autouse=True, params=[1, 2], ids=["one thread", "two threads"])
def num_threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=[torch.bfloat16, torch.float32], ids=["bf16", "fp32"])
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    return request.param


@pytest.fixture
def config(tiny_model: Path) -> DecoderConfig:
    """With sizes that there are kernels for: 2 key-value heads of 3 query heads each."""
    return dataclasses.replace(
        DecoderConfig.from_folder(tiny_model),
        hidden_size=64,
        intermediate_size=96,
        head_size=32,
        num_query_heads=6,
        num_kv_heads=2,
    )


# ---- elementwise ----


@pytest.mark.parametrize("num_tokens", [1, 3, 64, 131])
def test_norms_are_the_plain_ones(num_tokens: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    x = torch.randn(num_tokens, 576, generator=generator) * torch.logspace(-3, 3, num_tokens)[:, None]
    weight = torch.randn(576, generator=generator).to(dtype)
    assert_nearly_equal(COMPILED.rms_norm(x, weight, 1e-5), rms_norm(x, weight, 1e-5))
    # Where epsilon is most of it.
    tiny = x / x.abs().amax() * 1e-3
    assert_nearly_equal(COMPILED.rms_norm(tiny, weight, 1e-2), rms_norm(tiny, weight, 1e-2))


@pytest.mark.parametrize("num_tokens", [1, 3, 64, 131])
def test_activations_are_the_plain_ones(num_tokens: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    gate_up = (torch.randn(num_tokens, 192, generator=generator) * 6).to(dtype)
    assert_nearly_equal(COMPILED.swiglu(gate_up), swiglu(gate_up))


def test_activations_of_every_bf16_gate() -> None:
    gates = torch.arange(-(2**15), 2**15).short().view(torch.bfloat16)
    gates = gates[gates.abs() < 1e6]
    gates = gates[: len(gates) // 32 * 32].view(-1, 32)
    gate_up = torch.cat((gates, torch.ones_like(gates)), dim=1)
    ours, plain = COMPILED.swiglu(gate_up).float(), swiglu(gate_up).float()
    # Below -87 the plain form goes on into numbers too small for anything; ours stays at the last that is not.
    assert torch.allclose(ours, plain, rtol=2**-7, atol=1e-30)


@pytest.mark.parametrize("head_size", [32, 64, 128])
def test_rotations_are_the_plain_ones(head_size: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    both = torch.randn(7, 5, head_size, generator=generator).to(dtype)
    cos, sin = (torch.randn(7, 1, head_size, generator=generator).to(dtype) for _ in range(2))
    # A part of the heads, as queries and keys lie beside values.
    assert_nearly_equal(COMPILED.rotate(both[:, :3], cos, sin), rotate(both[:, :3], cos, sin))


# ---- gradients ----


def gradients(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], given: Tensor, *fixed: float
) -> tuple[Tensor, ...]:
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    result = function(*leaves, *fixed)
    return torch.autograd.grad(result, leaves, given.to(result.dtype))


@pytest.mark.parametrize("num_tokens", [1, 3, 200])
def test_gradients_of_norms(num_tokens: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    x = torch.randn(num_tokens, 96, generator=generator) * torch.logspace(-1, 1, num_tokens)[:, None]
    weight = torch.randn(96, generator=generator).to(dtype)
    given = torch.randn(num_tokens, 96, generator=generator)
    ours = gradients(COMPILED.rms_norm, (x, weight), given, 1e-3)
    plain = gradients(rms_norm, (x, weight), given, 1e-3)
    exact = gradients(lambda *args: rms_norm(*args).to(dtype), (x, weight.float()), given, 1e-3)
    assert [tensor.dtype for tensor in ours] == [tensor.dtype for tensor in plain]
    assert torch.allclose(ours[0], plain[0], rtol=1e-4, atol=1e-4 * float(plain[0].abs().max()))
    # Summed over many tokens: ours in fp32, the plain one over products that were rounded.
    assert (ours[1] - exact[1]).abs().max() <= (plain[1] - exact[1]).abs().max() + 0.01 * exact[1].abs().max()


@pytest.mark.parametrize("num_tokens", [1, 3, 65])
def test_gradients_of_activations(num_tokens: int, dtype: torch.dtype, generator: torch.Generator) -> None:
    gate_up = (torch.randn(num_tokens, 192, generator=generator) * 4).to(dtype)
    given = torch.randn(num_tokens, 96, generator=generator)
    (ours,), (plain,) = gradients(COMPILED.swiglu, (gate_up,), given), gradients(swiglu, (gate_up,), given)
    if dtype == torch.float32:
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-5)
        return
    # Near the zero of silu's slope rounding is most of the result.
    assert torch.allclose(ours.float(), plain.float(), rtol=2**-6, atol=1e-3)
    assert (ours != plain).float().mean() < 0.05


def test_gradients_of_rotations(dtype: torch.dtype, generator: torch.Generator) -> None:
    both = torch.randn(7, 5, 64, generator=generator).to(dtype)
    angles = torch.randn(7, 1, 32, generator=generator).repeat(1, 1, 2)
    cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)
    given = torch.randn(7, 3, 64, generator=generator)

    def turned(rotation: Callable[..., Tensor]) -> Tensor:
        (gradient,) = gradients(lambda x: rotation(x[:, :3], cos, sin), (both,), given)
        return gradient

    assert_nearly_equal(turned(COMPILED.rotate), turned(rotate))


def test_an_update_has_the_gradients_of_the_plain_forms(config: DecoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a whole model in fp32 up to rounding; in bf16 as near to those in fp32 as the plain forms' are."""
    weights = random_weights(config, seed=3)
    generator = torch.Generator().manual_seed(5)
    mask = torch.arange(30) >= 12
    samples = [
        CreditedSample(
            group_id=0,
            member=index,
            token_ids=torch.randint(250, (30,), generator=generator),
            loss_mask=mask,
            sampling_logprobs=-5.5 * mask,
            advantages=(1.0 if index % 2 else -1.0) * mask,
        )
        for index in range(4)
    ]

    def gradient(dtype: torch.dtype) -> Tensor:
        policy = DecoderPolicy(config, weights, compute_dtype=dtype)
        for batch in pack(samples, 200)[0]:
            (policy(batch).logprobs * batch.advantages).sum().backward()
        return torch.cat([p.grad.flatten() for p in policy.parameters() if p.grad is not None])

    compiled_exact, compiled = gradient(torch.float32), gradient(torch.bfloat16)
    monkeypatch.setattr(kernels, "available", lambda **_: False)
    exact, plain = gradient(torch.float32), gradient(torch.bfloat16)
    assert not torch.equal(compiled_exact, exact), "both forms were run"
    torch.testing.assert_close(compiled_exact, exact, rtol=1e-3, atol=1e-5 * float(exact.abs().max()))
    assert not torch.equal(compiled, plain), "both forms were run"
    assert (compiled - exact).norm() < 1.1 * (plain - exact).norm()


def assert_nearly_equal(ours: Tensor, plain: Tensor) -> None:
    """In bf16 the same bits but where a sum in another order rounds a number to its neighbour."""
    assert ours.dtype == plain.dtype
    assert ours.shape == plain.shape
    if ours.dtype == torch.float32:
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=2e-6)
        return
    assert (ours != plain).float().mean() < 0.01
    assert torch.allclose(ours.float(), plain.float(), rtol=2**-7, atol=0)


# ---- attention ----


NUM_PAGES = 3
"""Of each sequence."""


def make_rows(
    config: DecoderConfig, num_tokens: int, generator: torch.Generator, dtype: torch.dtype, scale: float = 1.0
) -> list[Tensor]:
    """Queries, keys, values and a pool; queries and keys with values beside them, as a layer has them."""
    heads = config.num_query_heads + 2 * config.num_kv_heads
    qkv = torch.randn(num_tokens, heads, config.head_size, generator=generator).to(dtype)
    queries, keys, values = qkv.split((config.num_query_heads, config.num_kv_heads, config.num_kv_heads), dim=1)
    shape = (2, NUM_PAGES * num_tokens + 1, config.num_kv_heads, PAGE, config.head_size)
    return [queries * scale, keys, values, torch.randn(shape, generator=generator).to(dtype)]


def tables(num_sequences: int) -> np.ndarray:
    """Pages of each sequence, none of them neighbours in order."""
    return np.random.default_rng(0).permutation(NUM_PAGES * num_sequences).reshape(num_sequences, NUM_PAGES)


def decode_over(columns: list[int], table_nW: np.ndarray) -> CompiledPageAttention:
    """One new token of each sequence, at these positions."""
    return CompiledPageAttention(np.arange(len(columns)), np.array(columns), table_nW, writes=True)


def attend_exactly(
    config: DecoderConfig, rows: list[Tensor], columns: list[int], table_nW: np.ndarray, window: int | None
) -> Tensor:
    """In float64, a sequence at a time."""
    queries, keys, values, pool = (tensor.double() for tensor in rows)
    attended = []
    for i, column in enumerate(columns):
        held_keys, held_values = pool[:, torch.from_numpy(table_nW[i])].transpose(1, 2).flatten(2, 3)[:, :, :column]
        own_keys = torch.cat((held_keys, keys[i][:, None]), dim=1)
        own_values = torch.cat((held_values, values[i][:, None]), dim=1)
        first = 0 if window is None else max(0, column + 1 - window)
        grouped = queries[i].view(config.num_kv_heads, -1, config.head_size)
        scores = torch.einsum("kgd,kcd->kgc", grouped, own_keys[:, first:]) * config.head_size**-0.5
        attended.append(torch.einsum("kgc,kcd->kgd", scores.softmax(dim=-1), own_values[:, first:]).flatten(0, 1))
    return torch.stack(attended)


@pytest.mark.parametrize("num_query_heads", [2, 4, 6, 8], ids=lambda heads: f"groups of {heads // 2}")
@pytest.mark.parametrize("window", [None, 1, 5, 40])
def test_attention_over_pages(
    config: DecoderConfig, generator: torch.Generator, window: int | None, num_query_heads: int, dtype: torch.dtype
) -> None:
    config = dataclasses.replace(config, num_query_heads=num_query_heads)
    columns = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 95]
    table_nW = tables(len(columns))
    for scale in (0.1, 20.0):
        rows = make_rows(config, len(columns), generator, dtype, scale)
        expected = attend_exactly(config, rows, columns, table_nW, window)
        before = rows[3].clone()
        ours = decode_over(columns, table_nW)(*rows, window)
        tolerance = 0.02 if dtype == torch.bfloat16 else 1e-5
        assert torch.allclose(ours.double(), expected, rtol=tolerance, atol=tolerance)
        for i, column in enumerate(columns):
            at = (slice(None), table_nW[i, column // PAGE], slice(None), column % PAGE)
            assert torch.equal(rows[3][at], torch.stack((rows[1][i], rows[2][i])))
            before[at] = rows[3][at]
        assert torch.equal(rows[3], before), "nothing else is written"


def test_a_token_has_the_same_bits_alone_beside_others_and_in_a_prompt(
    config: DecoderConfig, generator: torch.Generator, dtype: torch.dtype
) -> None:
    """A sequence of 70 tokens in one pass, beside another one; then token by token."""
    length = 70
    rows = make_rows(config, 2 * length, generator, dtype)
    queries, keys, values, pool = rows
    table_nW = np.array([[5, 0, 3], [1, 7, 2]])
    whole = pool.clone()
    positions = np.tile(np.arange(length), 2)
    sequences = np.repeat(np.arange(2), length)
    pages_T = torch.from_numpy(table_nW[sequences, positions // PAGE])
    whole[:, pages_T, :, torch.from_numpy(positions % PAGE)] = torch.stack((keys, values), 1)
    together = CompiledPageAttention(sequences, positions, table_nW, writes=False)(queries, keys, values, whole, None)
    for token in range(length):
        one = slice(token, token + 1)
        alone = decode_over([token], table_nW[:1])(queries[one], keys[one], values[one], pool, None)
        assert torch.equal(alone[0], together[token])


@pytest.mark.parametrize("which", ["queries", "keys", "values", "held keys", "held values"])
@pytest.mark.parametrize("what", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_stays_so(
    config: DecoderConfig, generator: torch.Generator, which: str, what: float
) -> None:
    """A -inf key may be seen by nobody; whatever else is not finite shows in the result."""
    columns = [20, 30, 40]
    table_nW = tables(3)
    broken = make_rows(config, 3, generator, torch.bfloat16)
    index = ["queries", "keys", "values", "held keys", "held values"].index(which)
    if index < 3:
        broken[index][1] = what
    else:
        broken[3][index - 3, table_nW[1, 0], :, 7] = what
    expected = attend_exactly(config, broken, columns, table_nW, None)
    queries, keys, values, pool = broken
    ours = decode_over(columns, table_nW)(queries, keys, values, pool, None)
    assert torch.equal(ours.isfinite().all(dim=2), expected.isfinite().all(dim=2))
    assert ours[[0, 2]].isfinite().all(), "the neighbours are untouched"


# ---- in the engine ----


def run_model(config: DecoderConfig, weights: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
    """[steps, n, V] logits of given tokens after two prompts, of which the first two sequences share one."""
    view = ServingView(config, dtype)
    view.load(weights.items(), 0)
    pool = PagePool(config, dtype, "cpu")
    runner = ModelRunner(view, pool, "cpu")
    plan = PromptPass(PrefixTree(pool, 0), pool)
    prompts = [range(30), range(30), range(40, 57)]
    places = [plan.add(tuple(prompt)) for prompt in prompts]
    with torch.inference_mode():
        logits = [runner.run(plan.work, plan.rows)]
        for step in range(20):
            work = Pass(is_decode=True)
            for row, (prompt, place) in enumerate(zip(prompts, places, strict=True)):
                position = len(prompt) + step
                if position == len(place.pages) * PAGE:
                    place.pages.append(pool.allocate())
                work.extensions.append(NewTokens([100 + 20 * row + step], position, place.pages))
                work.writes.append((row, place.pages[-1], position % PAGE))
            logits.append(runner.run(work, range(3)))
    return torch.stack(logits).float()


def test_the_model_is_as_right_with_them_as_without(config: DecoderConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_weights(config, seed=3)
    assert compiles(config, torch.bfloat16, "cpu")
    compiled = run_model(config, weights, torch.bfloat16)
    compiled_exact = run_model(config, weights, torch.float32)
    monkeypatch.setattr(kernels, "available", lambda **_: False)
    monkeypatch.setattr(kernels, "attends_pages", lambda *_: False)
    exact = run_model(config, weights, torch.float32)
    plain = run_model(config, weights, torch.bfloat16)
    assert not torch.equal(compiled, plain), "both forms were run"
    torch.testing.assert_close(compiled_exact, exact, rtol=1e-4, atol=1e-5)
    assert (compiled - exact).abs().mean() < 1.1 * (plain - exact).abs().mean()
    assert (compiled - exact).abs().max() < 1.5 * (plain - exact).abs().max()


def complete(config: DecoderConfig, weights: dict[str, Tensor]) -> list[Completion]:
    async def ask() -> list[Completion]:
        engine = LocalEngine(config, weights.items(), stop_token_ids=(), decode=str, dtype=torch.bfloat16, num_slots=16)
        return await asyncio.gather(
            *(
                engine.generate(
                    range(20, 30 + number), Sampling(max_new_tokens=40), request_id=str(number), seed=number
                )
                for number in range(20)
            )
        )

    return asyncio.run(ask())


def test_the_same_seed_gives_the_same_bits_whatever_the_threads(config: DecoderConfig, num_threads: int) -> None:
    weights = random_weights(config, seed=3)
    ours = complete(config, weights)
    assert ours == complete(config, weights)
    # The products are PyTorch's, and none of them sums across threads for sizes like these.
    torch.set_num_threads(3 - num_threads)
    assert ours == complete(config, weights)


@pytest.mark.parametrize("part", ["q_proj", "k_proj", "v_proj"])
def test_weights_that_diverge_on_the_way_are_noticed(config: DecoderConfig, part: str) -> None:
    """The prompt was computed with good ones, so that compiled attention is what sees them first."""
    weights = random_weights(config, seed=3)
    bad = {name: torch.full_like(w, torch.nan) if part in name else w for name, w in weights.items()}

    async def ask() -> None:
        engine = LocalEngine(config, weights.items(), stop_token_ids=(), decode=str, dtype=torch.bfloat16)
        request = asyncio.create_task(
            engine.generate(range(20, 40), Sampling(max_new_tokens=60), request_id="a", seed=0)
        )
        while len(engine.sampled_so_far("a")) < 3:
            await asyncio.sleep(0)
        await engine.load_weights(bad.items(), 1)
        await request

    with pytest.raises(EngineError, match="not finite"):
        asyncio.run(ask())


def test_only_what_they_are_made_for(config: DecoderConfig) -> None:
    assert compiles(config, torch.float32, "cpu")
    assert not compiles(config, torch.float16, "cpu")
    assert not compiles(config, torch.bfloat16, "cuda")
    assert not compiles(dataclasses.replace(config, intermediate_size=100), torch.bfloat16, "cpu")
    assert not compiles(dataclasses.replace(config, head_size=48), torch.bfloat16, "cpu")
    assert kernels.attends_pages(48, torch.bfloat16, "cpu")
    assert kernels.attends_pages(16, torch.float32, "cpu")
    assert not kernels.attends_pages(8, torch.float32, "cpu")
    assert not kernels.attends_pages(64, torch.float16, "cpu")
    assert not kernels.attends_pages(64, torch.float32, "cuda")
    assert pages.PAGE == PAGE


def test_without_numba_the_plain_forms_serve(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import torch\n"
        "from assay import kernels\n"
        "print(kernels._work(64, torch.float32), kernels._attends_pages(64, torch.float32))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.strip() == "False False"


# ---- attention of packed batches ----


def packed(lengths: Sequence[int], prefixes: Sequence[int], *, compiled: bool = True) -> PackedAttention:
    segment_ids = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    starts: list[int] = []
    for segment, prefix in enumerate(prefixes):
        starts.append(0 if prefix == segment else starts[prefix] + lengths[prefix])
    positions = torch.cat([torch.arange(start, start + n) for start, n in zip(starts, lengths, strict=True)])
    attention = PackedAttention(segment_ids, torch.tensor(prefixes), positions, compiled=compiled)
    assert (attention._compiled is not None) == compiled
    return attention


def attended_and_gradient(
    attention: PackedAttention, qkv: Tensor, weights: Tensor, num_kv_heads: int
) -> tuple[Tensor, Tensor]:
    """What queries, the first heads, take from keys and values, the last, and the gradient of its weighted sum."""
    leaf = qkv.clone().requires_grad_()
    queries, keys, values = leaf.split((leaf.shape[1] - 2 * num_kv_heads, num_kv_heads, num_kv_heads), dim=1)
    # Large scores: the softmax then leaves little but a few keys.
    attended = attention(queries * 4, keys, values, None)
    (attended * weights).sum().backward()
    assert leaf.grad is not None
    return attended.detach(), leaf.grad


LAYOUTS = {
    "one token": ([1], [0]),
    "one sequence": ([7], [0]),
    "a shared prompt": ([3, 2, 4, 5], [0, 0, 0, 3]),
    # An opening, a prompt with two continuations, one with one, and a sequence of its own.
    "a shared opening": ([20, 33, 31, 65, 1, 40, 9], [0, 0, 1, 1, 0, 4, 6]),
    "three levels": ([17, 30, 5, 40, 33], [0, 0, 1, 2, 2]),
    "empty segments": ([4, 0, 3, 0, 2], [0, 0, 1, 3, 3]),
    # A tile has 128 tokens.
    "several tiles": ([129, 300, 5, 128, 127], [0, 0, 1, 3, 3]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("num_query_heads", "num_kv_heads", "head_size", "dtype"),
    # Each size and dtype is compiled, for seconds.
    [
        (6, 2, 64, torch.bfloat16),
        (2, 2, 32, torch.bfloat16),
        (50, 1, 96, torch.bfloat16),
        (6, 2, 64, torch.float32),
    ],
)
def test_packed_attention_and_its_gradients_are_the_plain_ones(
    layout: str,
    num_query_heads: int,
    num_kv_heads: int,
    head_size: int,
    dtype: torch.dtype,
    generator: torch.Generator,
) -> None:
    lengths, prefixes = LAYOUTS[layout]
    qkv = torch.randn(sum(lengths), num_query_heads + 2 * num_kv_heads, head_size, generator=generator).to(dtype)
    weights = torch.randn(sum(lengths), num_query_heads, head_size, generator=generator).to(dtype)
    attended, gradient = attended_and_gradient(packed(lengths, prefixes), qkv, weights, num_kv_heads)
    plain = packed(lengths, prefixes, compiled=False)
    exact, exact_gradient = attended_and_gradient(plain, qkv.double(), weights.double(), num_kv_heads)
    near = 1.0 if dtype == torch.bfloat16 else 0.02
    torch.testing.assert_close(attended.double(), exact, rtol=near * 2**-8, atol=near * 1e-3)
    sizes = (num_query_heads, num_kv_heads, num_kv_heads)
    for ours, right in zip(gradient.double().split(sizes, 1), exact_gradient.split(sizes, 1), strict=True):
        least = near * 2**-8 * float(right.abs().max()) + 1e-9
        torch.testing.assert_close(ours, right, rtol=near * 2**-6, atol=least)


def test_packed_attention_has_the_same_bits_on_any_number_of_threads(
    dtype: torch.dtype, generator: torch.Generator
) -> None:
    lengths, prefixes = LAYOUTS["several tiles"]
    qkv = torch.randn(sum(lengths), 10, 64, generator=generator).to(dtype)
    weights = torch.randn(sum(lengths), 6, 64, generator=generator).to(dtype)
    results = []
    for num_threads in (1, 2, 3):
        torch.set_num_threads(num_threads)
        results.append(attended_and_gradient(packed(lengths, prefixes), qkv, weights, 2))
    for attended, gradient in results[1:]:
        assert torch.equal(attended, results[0][0])
        assert torch.equal(gradient, results[0][1])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_packed_attention_loses_nothing_that_is_not_finite(bad: float, generator: torch.Generator) -> None:
    qkv = torch.randn(9, 4, 32, generator=generator).bfloat16()
    for head in range(4):
        spoilt = qkv.clone()
        spoilt[2, head] = bad
        attended, gradient = attended_and_gradient(packed([9], [0]), spoilt, torch.ones_like(qkv[:, :2]), 1)
        # A query spoils its own; a key or a value, of whoever sees it.
        own = slice(2, 3) if head < 2 else slice(2, 9)
        heads = slice(head, head + 1) if head < 2 else slice(0, 2)
        assert not attended[own, heads].isfinite().all()
        assert not gradient.isfinite().all()


def test_a_window_that_some_token_feels_takes_the_plain_form(generator: torch.Generator) -> None:
    queries = torch.randn(12, 2, 32, generator=generator).bfloat16()
    attention, plain = packed([12], [0]), packed([12], [0], compiled=False)
    for window in (1, 4, 11, 12, 100):
        expected = plain(queries, queries, queries, window)
        assert_nearly_equal(attention(queries, queries, queries, window), expected)


def test_a_continuation_that_overlaps_its_prefix_takes_the_plain_form(generator: torch.Generator) -> None:
    segments, prefixes, positions = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([0, 0]), torch.tensor([0, 1, 2, 2, 3])
    attention = PackedAttention(segments, prefixes, positions, compiled=True)
    assert attention._compiled is None


def test_kernels_of_attention_are_tried_before_they_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert kernels.attention_works(64, torch.float32)
    kernels.attention_works.cache_clear()
    monkeypatch.setattr("assay.kernels.packed_attention._keys_kernel", lambda *_: lambda *_, **__: None)
    assert not kernels.attention_works(64, torch.float32)
    kernels.attention_works.cache_clear()

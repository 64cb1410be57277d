from __future__ import annotations

import math

import pytest
import torch

from assay.policies.attention import PackedAttention, _blocks

# Two prompts: the first with two continuations, the second alone.
LENGTHS = (3, 2, 4, 5)
PREFIXES = torch.tensor([0, 0, 0, 3])
SEGMENTS = torch.repeat_interleave(torch.arange(4), torch.tensor(LENGTHS))
POSITIONS = torch.tensor([0, 1, 2, 3, 4, 3, 4, 5, 6, 0, 1, 2, 3, 4])
NUM_TOKENS, QUERY_HEADS, KV_HEADS, HEAD_SIZE = 14, 4, 2, 8


def definition(queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, window: int | None) -> torch.Tensor:
    """The rule of `Batch`, token by token and head by head."""
    output = torch.empty_like(queries)
    for i in range(NUM_TOKENS):
        seen = [
            j
            for j in range(NUM_TOKENS)
            if (SEGMENTS[j] == SEGMENTS[i] or SEGMENTS[j] == PREFIXES[SEGMENTS[i]])
            and POSITIONS[j] <= POSITIONS[i]
            and (window is None or POSITIONS[i] - POSITIONS[j] < window)
        ]
        for head in range(QUERY_HEADS):
            kv_head = head // (QUERY_HEADS // KV_HEADS)
            scores = keys[seen, kv_head] @ queries[i, head] / math.sqrt(HEAD_SIZE)
            output[i, head] = scores.softmax(0) @ values[seen, kv_head]
    return output


@pytest.mark.parametrize("window", [None, 1, 2, 4, 100])
def test_each_token_sees_its_segment_and_its_prefix_up_to_its_position(window: int | None) -> None:
    torch.manual_seed(0)
    queries = torch.randn(NUM_TOKENS, QUERY_HEADS, HEAD_SIZE)
    keys, values = torch.randn(2, NUM_TOKENS, KV_HEADS, HEAD_SIZE).unbind()
    attention = PackedAttention(SEGMENTS, PREFIXES, POSITIONS)
    expected = definition(queries, keys, values, window)
    torch.testing.assert_close(attention(queries, keys, values, window), expected, rtol=0, atol=1e-5)


def test_bf16_goes_in_and_comes_out_but_scores_are_fp32() -> None:
    torch.manual_seed(0)
    queries = (torch.randn(NUM_TOKENS, QUERY_HEADS, HEAD_SIZE) * 4).bfloat16()
    keys, values = torch.randn(2, NUM_TOKENS, KV_HEADS, HEAD_SIZE).bfloat16().unbind()
    attended = PackedAttention(SEGMENTS, PREFIXES, POSITIONS)(queries, keys, values, None)
    assert attended.dtype == torch.bfloat16
    exact = definition(queries.double(), keys.double(), values.double(), None)
    # One rounding of the result, 2^-9 relative, and nothing more.
    torch.testing.assert_close(attended.double(), exact, rtol=2**-8, atol=1e-4)


def test_families_that_go_on_from_an_opening() -> None:
    """An opening of 3, a prompt of 2 with continuations of 2 and 1, a prompt of 1 with one of 3, and one alone of 2."""
    torch.manual_seed(0)
    lengths = [3, 2, 2, 1, 1, 3, 2]
    prefixes = torch.tensor([0, 0, 1, 1, 0, 4, 0])
    segment_ids = torch.repeat_interleave(torch.arange(7), torch.tensor(lengths))
    positions = torch.tensor([0, 1, 2, 3, 4, 5, 6, 5, 3, 4, 5, 6, 3, 4])
    queries = torch.randn(14, 4, 8, requires_grad=True)
    keys = torch.randn(14, 2, 8, requires_grad=True)
    values = torch.randn(14, 2, 8, requires_grad=True)
    # Each token's segment, the one that goes before it, and the one before that.
    seen = {0: {0}, 1: {0, 1}, 2: {0, 1, 2}, 3: {0, 1, 3}, 4: {0, 4}, 5: {0, 4, 5}, 6: {0, 6}}
    for window in (None, 3):
        mask = torch.tensor(
            [
                [
                    int(segment_ids[j]) in seen[int(segment_ids[i])]
                    and 0 <= positions[i] - positions[j] < (window or 100)
                    for j in range(14)
                ]
                for i in range(14)
            ]
        )
        q, k, v = queries.transpose(0, 1), *(x.transpose(0, 1).repeat_interleave(2, 0) for x in (keys, values))
        scores = (q @ k.transpose(1, 2) / math.sqrt(8)).masked_fill(~mask, -math.inf)
        expected = (scores.softmax(-1) @ v).transpose(0, 1)
        wanted = torch.autograd.grad(expected.square().sum(), (queries, keys, values))
        for limit in (1024, 4, 0):
            attended = PackedAttention(segment_ids, prefixes, positions, max_family_tokens=limit)(
                queries, keys, values, window
            )
            torch.testing.assert_close(attended, expected)
            for actual, right in zip(
                torch.autograd.grad(attended.square().sum(), (queries, keys, values)), wanted, strict=True
            ):
                torch.testing.assert_close(actual, right)


def test_an_opening_is_a_block_of_its_own() -> None:
    """It is not attended again with each family: blocks would cost the square of all of them together."""
    blocks = _blocks([3, 2, 2, 1, 1, 3, 2], [0, 0, 1, 1, 0, 4, 0], 1024)
    assert [(block.start, block.end, block.prefixes) for block in blocks] == [
        (0, 3, ()),
        (3, 8, (0,)),
        (8, 12, (0,)),
        (12, 14, (0,)),
    ]


def test_families_as_one_block_and_segment_by_segment_are_the_same() -> None:
    """A prefix of 4 with continuations of 3 and 2, then a lone segment of 5, with and without a window."""
    torch.manual_seed(0)
    segment_ids = torch.tensor([0] * 4 + [1] * 3 + [2] * 2 + [3] * 5)
    prefixes = torch.tensor([0, 0, 0, 3])
    positions = torch.tensor([0, 1, 2, 3, 4, 5, 6, 4, 5, 0, 1, 2, 3, 4])
    queries = torch.randn(14, 4, 8, requires_grad=True)
    keys, values = torch.randn(14, 2, 8), torch.randn(14, 2, 8)
    for window in (None, 3):
        results = []
        for limit in (1024, 9, 8, 0):
            attention = PackedAttention(segment_ids, prefixes, positions, max_family_tokens=limit)
            attended = attention(queries, keys, values, window)
            (gradient,) = torch.autograd.grad(attended.square().sum(), queries)
            results.append((attended.detach(), gradient))
        for attended, gradient in results[1:]:
            torch.testing.assert_close(attended, results[0][0])
            torch.testing.assert_close(gradient, results[0][1])

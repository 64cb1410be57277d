from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from assay.policies.config import DecoderConfig
from assay.policies.elementwise import rotate
from assay.policies.rope import Rotary


def rotary(**changes: Any) -> Rotary:
    raw = {
        "model_type": "llama",
        "vocab_size": 10,
        "hidden_size": 4,
        "intermediate_size": 4,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "max_position_embeddings": 10,
        "rope_theta": 100.0,
        **changes,
    }
    return Rotary(DecoderConfig.from_dict(raw))


def test_angles_worked_by_hand() -> None:
    # Head size 4, theta 100: 1 and 100^(-1/2) = 0.1 radians a position.
    cos, sin = rotary()(torch.tensor([0, 3]))
    assert cos.shape == sin.shape == (2, 1, 4)
    expected = torch.tensor([3.0, 0.3, 3.0, 0.3])
    torch.testing.assert_close(cos[1, 0], expected.cos())
    torch.testing.assert_close(sin[1, 0], expected.sin())
    assert torch.equal(cos[0, 0], torch.ones(4))


def test_rotation_pairs_the_halves_and_keeps_lengths() -> None:
    x = torch.tensor([[[1.0, 0.0, 0.0, 2.0]]])
    cos, sin = rotary()(torch.tensor([3]))
    # (1, 0) in dimensions 0 and 2 turns by 3 radians, (0, 2) in dimensions 1 and 3 by 0.3.
    expected = torch.tensor([math.cos(3), -2 * math.sin(0.3), math.sin(3), 2 * math.cos(0.3)])
    torch.testing.assert_close(rotate(x, cos, sin)[0, 0], expected)


def test_linear_scaling_divides_positions() -> None:
    scaled = rotary(rope_scaling={"rope_type": "linear", "factor": 3.0})
    torch.testing.assert_close(scaled(torch.tensor([9]))[0], rotary()(torch.tensor([3]))[0])


def test_dynamic_scaling_starts_beyond_the_context_and_is_not_remembered() -> None:
    scaled, plain = rotary(rope_scaling={"rope_type": "dynamic", "factor": 2.0}), rotary()
    within, beyond = torch.tensor([9]), torch.tensor([0, 9, 19])
    before = scaled(within)[0]
    torch.testing.assert_close(before, plain(within)[0])
    # Length 20 of 10, factor 2: theta is stretched by (2 * 20 / 10 - 1)^(4 / 2) = 9; 900^(-1/2) = 1 / 30.
    torch.testing.assert_close(scaled(beyond)[0][2, 0, 1], torch.tensor(19 / 30).cos())
    assert torch.equal(scaled(within)[0], before)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 0.1 * math.log(4) + 1),
        ({"attention_factor": 1.7}, 1.7),
        ({"mscale": 2.0, "mscale_all_dim": 1.0}, (0.2 * math.log(4) + 1) / (0.1 * math.log(4) + 1)),
    ],
)
def test_yarn_scales_cos_and_sin(settings: dict[str, float], scale: float) -> None:
    cos, _ = rotary(rope_scaling={"rope_type": "yarn", "factor": 4.0, **settings})(torch.tensor([0]))
    torch.testing.assert_close(cos[0, 0], torch.full((4,), scale))

"""Weights trainer / sampler of 4, 1 and 1/2, 1/2: two sequences."""

from __future__ import annotations

import pydantic
import pytest
import torch
from torch.testing import assert_close

from assay.losses import ImportanceCorrection, correction_weights
from assay.losses.correction import CORRECTION_CUT_SHARE, CORRECTION_MEAN

IDS = torch.tensor([0, 0, 1, 1])
TRAINER = torch.tensor([0.8, 0.2, 0.2, 0.2]).log()
SAMPLER = torch.tensor([0.2, 0.2, 0.4, 0.4]).log()


def weights(**settings: object) -> tuple[list[float], list[float]]:
    correction = ImportanceCorrection.model_validate(settings)
    values, metrics = correction_weights(TRAINER, SAMPLER, IDS, 2, correction)
    if settings.get("kind", "none") == "none":
        assert metrics == {}
        return values.tolist(), []
    assert torch.equal(metrics[CORRECTION_MEAN], values)
    return [round(v, 5) for v in values.tolist()], metrics[CORRECTION_CUT_SHARE].tolist()


def test_by_hand() -> None:
    assert weights() == ([1, 1, 1, 1], [])
    assert weights(kind="truncate") == ([2, 1, 0.5, 0.5], [1, 0, 0, 0])
    assert weights(kind="mask", low=0.6) == ([0, 1, 0, 0], [1, 0, 1, 1])
    assert weights(kind="truncate", low=0.75) == ([2, 1, 0.75, 0.75], [1, 0, 1, 1])
    # Products 4 and 1/4; geometric means 2 and 1/2.
    assert weights(kind="truncate", level="sequence", high=3.0) == ([3, 3, 0.25, 0.25], [1, 1, 0, 0])
    assert weights(kind="mask", level="geometric", low=0.4, high=1.5) == ([0, 0, 0.5, 0.5], [1, 1, 0, 0])


def test_it_is_a_constant_and_finite() -> None:
    trainer = torch.zeros(400, requires_grad=True)
    values, _ = correction_weights(
        trainer,
        torch.full((400,), -3.0),
        torch.zeros(400, dtype=torch.long),
        1,
        ImportanceCorrection(kind="truncate", level="sequence", high=10.0),
    )
    assert not values.requires_grad
    assert_close(values, torch.full((400,), 10.0))


@pytest.mark.parametrize(
    ("settings", "name"),
    [({"high": 3.0}, "high"), ({"level": "sequence"}, "level"), ({"low": 0.5}, "low")],
)
def test_an_option_without_effect_is_an_error(settings: dict, name: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=f"{name} has no effect with kind"):
        ImportanceCorrection.model_validate(settings)

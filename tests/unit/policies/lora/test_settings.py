from __future__ import annotations

from typing import Any

import pytest

from assay.config import validate
from assay.errors import ConfigError
from assay.policies.lora import LoraSettings
from assay.recipe import RunConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 0}, "model.lora.rank: .*greater than or equal to 1"),
        ({"alpha": 0.0}, "model.lora.alpha: .*greater than 0"),
        ({"dropout": 0.1}, "model.lora.dropout: must be 0: .*another policy than the one that sampled"),
        ({"target_modules": []}, 'model.lora.target_modules: must be "all-linear", or a list'),
        ({"target_modules": ".*proj"}, 'model.lora.target_modules: must be "all-linear", or a list'),
        ({"target_modules": 3}, "model.lora.target_modules"),
        ({"init": "pissa"}, "model.lora.init: .*'kaiming' or 'gaussian'"),
        ({"rnak": 8}, "unknown key 'model.lora.rnak'; did you mean 'rank'"),
        ({"r": 8}, "unknown key 'model.lora.r'; call it rank"),
        ({"lora_alpha": 8}, "lora_alpha'; call it alpha"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save'; only adapters are trained"),
        ({"use_dora": True}, "DoRA is not supported"),
        ({"bias": "all"}, "biases stay as they are"),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, {"model": {"lora": settings}})


def test_scale_by_hand() -> None:
    assert LoraSettings(rank=4, alpha=8.0).scale == 2.0
    assert LoraSettings(rank=4, alpha=8.0, rslora=True).scale == 4.0


def test_a_recipe_without_the_table_trains_all_weights() -> None:
    assert validate(RunConfig, {}).model.lora is None
    assert validate(RunConfig, {"model": {"lora": {}}}).model.lora == LoraSettings()

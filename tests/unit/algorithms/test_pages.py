"""The pages under docs/algorithms/ say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch.testing import assert_close

from assay.algorithms import GRPO, Algorithm, AnyAlgorithm
from assay.config import validate
from assay.observe.metrics import METRICS

PAGES = Path(__file__).parents[3] / "docs" / "algorithms"


ALGORITHMS = get_args(get_args(AnyAlgorithm)[0])
"""All that a recipe can name."""


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_has_a_page_that_names_its_options(algorithm: type[Algorithm]) -> None:
    text = (PAGES / algorithm.page).read_text()
    assert f"({algorithm.page})" in (PAGES / "README.md").read_text()
    inherited = set(Algorithm.model_fields) if algorithm is GRPO else set(algorithm.__mro__[1].model_fields)
    for option in set(algorithm.model_fields) - inherited - {"name"}:
        assert f"`{option}`" in text


def test_every_metric_of_a_loss_is_explained() -> None:
    text = "".join(page.read_text() for page in PAGES.glob("*.md"))
    metrics = [name for name in METRICS if name.startswith("loss/")]
    assert len(metrics) >= 5
    for name in metrics:
        assert f"`{name}`" in text


def test_the_example_of_a_new_algorithm_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (PAGES / "README.md").read_text(), re.DOTALL)
    body = code[code.index("class ") :].strip().splitlines()
    assert len(body) < 15
    names: dict = {}
    exec(compile(code, "README.md", "exec", dont_inherit=True), names)
    win_rate = names["WinRate"]()
    assert win_rate.needs.min_group_size == 2
    assert_close(win_rate.advantages(torch.tensor([3.0, 1.0, 1.0])), torch.tensor([1.0, -0.5, -0.5]))


def test_the_dr_grpo_recipe_is_dr_grpo() -> None:
    (recipe,) = re.findall(r"```toml\n(.*?)```", (PAGES / "grpo.md").read_text(), re.DOTALL)
    assert validate(GRPO, tomllib.loads(recipe)["algorithm"]) == GRPO.dr_grpo(512)

"""What a recipe may not say: each mistake is an error that names the value and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.config import load, validate
from assay.errors import ConfigError
from assay.recipe import RunConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_sise": 8}, "unknown key 'group_sise'; did you mean 'group_size'"),
        ({"trainer": {"learning_rat": 1e-5}}, "unknown key 'trainer.learning_rat'; did you mean 'learning_rate'"),
        ({"algorithm": {"name": "rloo", "clip_high": 0.2}}, "unknown key 'algorithm.clip_high'"),
        ({"trainer": {"learning_rate": -1.0}}, "trainer.learning_rate: .*greater than 0"),
        ({"trainer": {"learning_rate": "fast"}}, "trainer.learning_rate: .*number"),
        ({"algorithm": {"name": "ppo3"}}, "algorithm.*ppo3"),
        ({"sampling": {"top_p": 0.9}}, "training needs sampling.top_p=1"),
        ({"sampling": {"top_k": 5}}, "training needs sampling.top_p=1 and sampling.top_k=0"),
        ({"sampling": {"temperature": 0.0}}, "greedy decoding explores nothing"),
        ({"group_size": 1}, "compares at least 2 answers"),
        ({"minibatches_per_step": 9, "groups_per_step": 8}, "groups are not split"),
        ({"max_staleness": 1}, 'algorithm.ratio_against="sampling"'),
        ({"algorithm": {"name": "grpo", "normaliser_constant": 24.0}}, "no effect with normaliser"),
        (
            {"algorithm": {"name": "dapo", "overlong": "penalty", "max_response_tokens": 512, "overlong_margin": 100}},
            r"it begins beyond 412 tokens .*, where sampling.max_new_tokens=\d+ has ended them",
        ),
        ({"name": "../elsewhere"}, "name: "),
    ],
)
def test_a_mistake_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, settings)


def test_overrides_are_read_as_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "x"\n[algorithm]\nname = "grpo"\nclip_low = 0.1\n')
    config = load(RunConfig, path, ["trainer.learning_rate=3e-5", "model.source=a/b", "algorithm.name=rloo"])
    assert config.trainer.learning_rate == 3e-5
    assert config.model.source == "a/b"
    # Another algorithm does not inherit the options of the one it replaces.
    assert config.algorithm.name == "rloo"


@pytest.mark.parametrize("override", ["seed", "=3"])
def test_an_override_without_key_or_value_is_an_error(tmp_path: Path, override: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text("")
    with pytest.raises(ConfigError, match="expected key=value"):
        load(RunConfig, path, [override])


def test_a_missing_or_broken_recipe_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no recipe at"):
        load(RunConfig, tmp_path / "none.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load(RunConfig, tmp_path / "broken.toml")

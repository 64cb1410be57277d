"""What a recipe may not say: each mistake is an error that names the value and the remedy."""

from __future__ import annotations

import re
import typing
from pathlib import Path
from typing import Any

import pydantic
import pytest

from assay.components import source_hashes
from assay.config import Settings, load, merged, validate
from assay.environments.rows import Rows
from assay.errors import ConfigError
from assay.launch import check_sources
from assay.other_tools import OTHER_TOOLS
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
        ({"partial_rollouts": "restart"}, "no effect with max_staleness=0"),
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


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("num_generations=8", "'num_generations'; here it is group_size"),
        ("per_device_train_batch_size=8", "'per_device_train_batch_size'; here it is groups_per_step"),
        ("max_completion_length=8", "'max_completion_length'; here it is sampling.max_new_tokens"),
        ("beta=0.04", "'beta'; here it is algorithm.kl_coefficient"),
        ("algorithm.beta=0.04", "'algorithm.beta'; here it is algorithm.kl_coefficient"),
        ("trainer.lr=1e-6", "'trainer.lr'; here it is trainer.learning_rate"),
        ("data.train_batch_size=8", "'data'; known keys"),
        # Our own, in another table.
        ("learning_rate=1e-6", "'learning_rate'; here it is trainer.learning_rate"),
        ("trainer.temperature=1", "'trainer.temperature'; here it is sampling.temperature"),
        ("every_steps=5", "'every_steps'; here it is evaluation.every_steps or checkpoint.every_steps"),
        ("clip_low=0.1", "'clip_low'; here it is algorithm.clip_low"),
        ("trainer.max_new_tokens=64", "'trainer.max_new_tokens'; here it is sampling.max_new_tokens"),
    ],
)
def test_names_of_other_tools_and_tables_are_found(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"unknown key {message}")):
        load(RunConfig, {}, [override])


def test_every_name_of_another_tool_leads_to_a_setting() -> None:
    for other, there in OTHER_TOOLS.items():
        if there.startswith("nothing"):
            continue
        *tables, key = re.match(r"[\w.]+", there)[0].split(".")  # pyright: ignore[reportOptionalSubscript]
        place: Any = RunConfig
        for table in tables:
            field = place.model_fields[table]
            held = [part for part in typing.get_args(field.annotation) if part is not type(None)]
            place = type(field.default) if isinstance(field.default, Settings) else held[0]
            place = Rows if 'environment.name="rows"' in there else place
        assert key in place.model_fields, (other, there)
        assert other not in RunConfig.model_fields, f"{other} is a setting of a recipe: nobody would see the hint"


def test_overrides_are_read_as_toml(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('name = "x"\n[algorithm]\nname = "grpo"\nclip_low = 0.1\n')
    config = load(RunConfig, path, ["trainer.learning_rate=3e-5", "model.source=a/b", "algorithm.name=rloo"])
    assert config.trainer.learning_rate == 3e-5
    assert config.model.source == "a/b"
    # Another algorithm does not inherit the options of the one it replaces.
    assert config.algorithm.name == "rloo"


def test_another_curriculum_chooses_among_the_same_levels(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(
        '[curriculum]\nname = "level_by_level"\nwindow = 8\nlevels = [{complexity = 2}, {complexity = 4}]\n'
    )
    config = load(RunConfig, path, ["curriculum.name=learnability"])
    assert [level.complexity for level in config.curriculum.levels] == [2, 4]
    changed = merged({"curriculum": {"name": "uniform", "levels": [{"complexity": 2}]}}, {"curriculum": {"name": "x"}})
    assert changed == {"curriculum": {"name": "x", "levels": [{"complexity": 2}]}}


def test_another_scaffold_fades_as_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text('[scaffold]\nname = "notes"\nshare = 0.8\nfinal_share = 0.0\n')
    scaffold = load(RunConfig, path, ["scaffold.name=react"]).scaffold
    assert (scaffold.name, scaffold.share, scaffold.final_share) == ("react", 0.8, 0.0)


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


def test_files_that_a_recipe_names_lie_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, elsewhere = tmp_path / "recipes", tmp_path / "elsewhere"
    for each in (folder / "data", folder / "model", elsewhere):
        each.mkdir(parents=True)
    for name in ("data/a-1.jsonl", "data/test.jsonl", "rewards.py", "mine.py", "chat.jinja", "shared.jsonl", "name"):
        (folder / name).write_text("")
    (elsewhere / "only_here.jsonl").write_text("")
    (elsewhere / "shared.jsonl").write_text("")
    recipe = folder / "r.toml"
    monkeypatch.chdir(elsewhere)

    def read(text: str, *overrides: str) -> dict[str, Any]:
        recipe.write_text(text)

        class Anything(Settings):
            model_config = pydantic.ConfigDict(extra="allow")

        return dict(load(Anything, recipe, overrides))

    kept = read(
        """
        source = "model"
        environment = { name = "rows", path = "data/a-*.jsonl", test_path = "data/test.jsonl" }
        verifier = { name = "weighted", parts.a.verifier = { name = "python", function = "rewards.py:right" } }
        algorithm = { name = "mine.py:Mine" }
        chat_template = "chat.jinja"
        several = [{ path = "shared.jsonl" }, { path = "only_here.jsonl" }, { path = "hub:a/b/c.jsonl" }]
        other = "rewards.py"
        """
    )
    assert kept["source"] == str(folder / "model")
    assert kept["environment"] == {
        "name": "rows", "path": str(folder / "data/a-*.jsonl"), "test_path": str(folder / "data/test.jsonl")
    }  # fmt: skip
    assert kept["verifier"]["parts"]["a"]["verifier"]["function"] == f"{folder / 'rewards.py'}:right"
    assert kept["algorithm"] == {"name": f"{folder / 'mine.py'}:Mine"}
    assert kept["chat_template"] == str(folder / "chat.jinja")
    assert [each["path"] for each in kept["several"]] == [
        str(folder / "shared.jsonl"), "only_here.jsonl", "hub:a/b/c.jsonl"
    ]  # fmt: skip
    assert kept["other"] == "rewards.py", "no setting that names a file"
    assert read('name = "name"\nsource = "default"\nfunction = "operator:eq"') == {
        "name": "name", "source": "default", "function": "operator:eq"
    }  # fmt: skip
    assert read('options = { path = "rewards.py" }') == {"options": {"path": "rewards.py"}}, "arguments of a function"
    assert read('path = "x"', "path=rewards.py") == {"path": "rewards.py"}, "typed in a shell: from where one stands"
    assert dict(load(Settings, {})) == {}


def test_changed_data_and_changed_functions_are_noticed(tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("a-1.jsonl", "a-2.jsonl", "test.jsonl", "theirs.py", "mine.py")}
    for name, path in files.items():
        path.write_text(f"# {name}\n")
    parts = {name: {"verifier": {"name": name, "function": f"{files['theirs.py']}:right"}} for name in ("trl", "verl")}
    settings = {
        "environment": {"name": "rows", "path": f"{tmp_path}/a-*.jsonl", "test_path": str(files["test.jsonl"])},
        "verifier": {"name": "weighted", "parts": parts, "solved_by": "trl"},
        "evaluation": {"strict": {"name": "python", "function": f"{files['mine.py']}:right"}},
    }
    config = validate(RunConfig, settings)
    began = source_hashes(config)
    check_sources(began, source_hashes(config))
    for name, path in files.items():
        before = path.read_text()
        path.write_text(before + "changed")
        with pytest.raises(
            ConfigError, match=rf"{'a-.' if name.startswith('a-') else name}.* has changed since the run"
        ):
            check_sources(began, source_hashes(config))
        path.write_text(before)
    (tmp_path / "a-3.jsonl").write_text("")
    with pytest.raises(ConfigError, match=r"a-\*\.jsonl has changed since the run"):
        check_sources(began, source_hashes(config))
    own = validate(RunConfig, {"environment": {"name": "python", "function": f"{files['mine.py']}:problems"}})
    assert list(source_hashes(own)) == [str(files["mine.py"])]
    assert source_hashes(validate(RunConfig, {})) == {}
    check_sources({}, began)  # a run of before, which kept no hashes of files

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from assay.errors import ConfigError
from assay.evaluation.sweep import Sweep
from assay.evaluation.sweep.spec import flatten, toml_literal


def write(folder: Path, text: str) -> Path:
    (folder / "recipe.toml").write_text("")
    (folder / "other.toml").write_text("")
    (folder / "spec.toml").write_text(text)
    return folder / "spec.toml"


def test_cells_and_grid_are_spelled_out(tmp_path: Path):
    spec = write(
        tmp_path,
        """
        name = "rates"
        recipe = "recipe.toml"
        seeds = [3, 1]
        settings.num_steps = 5
        [cells.grpo]
        [cells.rloo]
        recipe = "other.toml"
        settings = { algorithm.keep_all = true, algorithm.name = "rloo", num_steps = 7 }
        [grid]
        trainer.learning_rate = [1e-5, 3e-5]
        """,
    )
    sweep = Sweep.load(spec)
    assert [cell.name for cell in sweep.cells] == [
        "grpo,learning_rate=1e-05",
        "grpo,learning_rate=3e-05",
        "rloo,learning_rate=1e-05",
        "rloo,learning_rate=3e-05",
    ]
    assert sweep.cells[0].overrides == ("num_steps=5", "trainer.learning_rate=1e-05")
    # A cell's own value wins, and the name goes before the options of what it names.
    assert sweep.cells[3].overrides == (
        'algorithm.name="rloo"',
        "num_steps=7",
        "algorithm.keep_all=true",
        "trainer.learning_rate=3e-05",
    )
    assert [cell.recipe.name for cell in sweep.cells] == ["recipe.toml", "recipe.toml", "other.toml", "other.toml"]
    runs = list(sweep.runs())
    assert len(runs) == 8
    assert [(run.cell.name, run.seed) for run in runs[3:5]] == [(sweep.cells[3].name, 3), (sweep.cells[0].name, 1)]
    assert runs[0].overrides[-1] == "seed=3"


def test_without_cells_the_sweep_is_one_cell(tmp_path: Path):
    sweep = Sweep.load(write(tmp_path, 'name = "demo"\nrecipe = "recipe.toml"\nseeds = [0]'))
    assert [(cell.name, cell.overrides) for cell in sweep.cells] == [("demo", ())]


def test_fingerprint_follows_recipe_and_settings(tmp_path: Path):
    spec = write(tmp_path, 'name = "demo"\nrecipe = "recipe.toml"\nseeds = [0, 1]')
    first, second = Sweep.load(spec).runs()
    assert first.fingerprint() != second.fingerprint()
    before = first.fingerprint()
    (tmp_path / "recipe.toml").write_text("num_steps = 1")
    assert first.fingerprint() != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = []', "seeds"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1, 1]', "listed twice"),
        ('name = "x"\nrecipe = "recipe.toml"\nseed = [1]', "did you mean 'seeds'"),
        ('name = "x"\nrecipe = "gone.toml"\nseeds = [1]', r"no recipe at .*gone\.toml"),
        ('name = "x"\nseeds = [1]', "has no recipe"),
        ('name = "../x"\nrecipe = "recipe.toml"\nseeds = [1]', "cannot be a sweep's name"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1]\n[cells."a/b"]', "cannot be a cell's name"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1]\nsettings.seed = 4', "list it under seeds"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1]\ngrid.a = 4', "must be a list"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1]\ngrid = { a.r = [1], b.r = [1, 1] }', "two cells are called"),
        ('name = "x"\nrecipe = "recipe.toml"\nseeds = [1]\nsettings.a = inf', "cannot set a value to inf"),
    ],
)
def test_rejects(tmp_path: Path, text: str, message: str):
    with pytest.raises(ConfigError, match=message):
        Sweep.load(write(tmp_path, text))


def test_missing_spec(tmp_path: Path):
    with pytest.raises(ConfigError, match="no recipe at"):
        Sweep.load(tmp_path / "gone.toml")


@pytest.mark.parametrize(
    "value", [True, 3, -2.5, 1e-5, 1e300, 'a "quoted"\n\\ café \x7f', [1, 2], [{"complexity": 2, "name": "x y"}], [[]]]
)
def test_literals_read_back(value: object):
    assert tomllib.loads(f"v = {toml_literal(value)}")["v"] == value


def test_flatten():
    assert flatten({"a": {"b": 1, "c": {"d": [2]}}, "e": 3}) == {"a.b": 1, "a.c.d": [2], "e": 3}

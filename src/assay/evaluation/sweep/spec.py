"""The description of a sweep: a TOML file, spelled out into cells and runs.

name = "arithmetic"
recipe = "../recipes/arithmetic_rlvr/demo.toml"          # relative to this file
seeds = [0, 1, 2, 3, 4]
tabulate = ["gain.value", "after.accuracy", "seconds"]   # keys of a run's summary.json

[settings]                       # for every cell, as --set takes them
evaluation.test_tasks = 256

[cells.grpo]                     # named cells; one may have a recipe of its own
[cells.rloo]
settings = { algorithm.name = "rloo" }

[grid]                           # every combination of the values, in every named cell
trainer.learning_rate = [1e-5, 3e-5]
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from assay.config import Settings, load
from assay.errors import ConfigError

# A cell's name becomes a folder's: nothing that leaves it or needs quoting.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._,=+-]*")


class CellSettings(Settings):
    """The settings of one named cell that differ from the sweep's."""

    recipe: str | None = None
    """A recipe of its own; default: the sweep's."""
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Settings of the recipe that this cell has, by dotted key."""


class SweepSettings(Settings):
    """A sweep's spec."""

    name: str
    """Name of the sweep: its folder has it."""
    recipe: str | None = None
    """The recipe of every cell that names none itself."""
    seeds: tuple[int, ...] = pydantic.Field(min_length=1)
    """The seeds: every cell is run once with each."""
    seed_key: str = "seed"
    """The recipe's setting that takes the seed."""
    tabulate: tuple[str, ...] = ("gain.value", "before.accuracy", "after.accuracy", "num_steps", "seconds")
    """Dotted keys of numbers in a run's summary.json, such as "after.by_horizon.h4" or "after.by_environment.chain":
    the columns of the table."""
    keep: tuple[str, ...] = ("*.json", "*.jsonl", "*.toml", "*.csv", "run.sqlite", "report/**/*")
    """A run's raw results: files of its folder, as patterns."""
    keep_optimizer: bool = False
    """True to keep a finished run's optimizer state, so that it could go on: two numbers a parameter on disk."""
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Settings of the recipe that every cell has, by dotted key."""
    cells: dict[str, CellSettings] = pydantic.Field(default_factory=dict)
    """Name to cell: what differs from the others."""
    grid: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Setting to the list of its values."""


@dataclass(frozen=True)
class Cell:
    """Settings that are run once a seed."""

    name: str
    recipe: Path
    overrides: tuple[str, ...]
    """key=value, as `assay train --set` takes them."""


@dataclass(frozen=True)
class SweepRun:
    """One cell at one seed."""

    cell: Cell
    seed: int
    overrides: tuple[str, ...]
    """The cell's and the seed's."""

    @property
    def label(self) -> str:
        return f"{self.cell.name} seed {self.seed}"

    @property
    def path(self) -> Path:
        """The run's folder below runs/ and results/."""
        return Path(self.cell.name) / f"seed-{self.seed}"

    def fingerprint(self) -> str:
        """Hash of what decides the result: the recipe's content and the overrides."""
        content = b"\0".join([self.cell.recipe.read_bytes(), *(override.encode() for override in self.overrides)])
        return hashlib.sha256(content).hexdigest()[:16]


@dataclass(frozen=True)
class Sweep:
    """A spec whose cells are spelled out."""

    settings: SweepSettings
    cells: tuple[Cell, ...]

    @classmethod
    def load(cls, path: Path) -> Sweep:
        """Reads a spec.

        Raises:
            ConfigError: not a spec, an unknown key, a recipe that is missing, a name that cannot be a folder's, two
                cells of one name, or a seed that is listed twice or set beside the list.
        """
        settings = load(SweepSettings, path)
        if not _NAME.fullmatch(settings.name):
            raise ConfigError(f"{path}: {settings.name!r} cannot be a sweep's name; use letters, digits and ._,=+-")
        if len(set(settings.seeds)) < len(settings.seeds):
            raise ConfigError(f"{path}: a seed is listed twice in {list(settings.seeds)}")
        common = flatten(settings.settings)
        grid = _grid_points(path, settings.grid)
        cells: dict[str, Cell] = {}
        for name, cell in (settings.cells or {"": CellSettings()}).items():
            for suffix, point in grid:
                full_name = ",".join(filter(None, (name, suffix))) or settings.name
                if not _NAME.fullmatch(full_name):
                    raise ConfigError(f"{path}: {full_name!r} cannot be a cell's name; name such cells under [cells]")
                if full_name in cells:
                    raise ConfigError(f"{path}: two cells are called {full_name!r}")
                values = {**common, **flatten(cell.settings), **point}
                if settings.seed_key in values:
                    raise ConfigError(f"{path}: cell {full_name} sets {settings.seed_key!r}; list it under seeds")
                recipe = _recipe(path, full_name, cell.recipe or settings.recipe)
                cells[full_name] = Cell(full_name, recipe, _overrides(values))
        return cls(settings, tuple(cells.values()))

    def runs(self) -> Iterator[SweepRun]:
        """Every run, seed by seed, so that an unfinished sweep has as much of each cell."""
        for seed in self.settings.seeds:
            for cell in self.cells:
                yield SweepRun(cell, seed, (*cell.overrides, f"{self.settings.seed_key}={seed}"))

    def choose(self, cells: Sequence[str] | None = None, seeds: Sequence[int] | None = None) -> list[SweepRun]:
        """The runs of these cells at these seeds; None for all.

        Raises:
            ConfigError: the sweep has no such cell or seed.
        """
        for what, wanted, there in (
            ("cell", cells, [cell.name for cell in self.cells]),
            ("seed", seeds, list(self.settings.seeds)),
        ):
            if unknown := [each for each in wanted or () if each not in there]:
                raise ConfigError(
                    f"{self.settings.name} has no {what} {unknown[0]}; it has {', '.join(map(str, there))}"
                )
        return [
            run
            for run in self.runs()
            if (cells is None or run.cell.name in cells) and (seeds is None or run.seed in seeds)
        ]


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted keys: {"a": {"b": 1}} -> {"a.b": 1}."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def toml_literal(value: Any) -> str:
    """A value as TOML writes it, on one line.

    Raises:
        ConfigError: TOML has no literal for it, or it is not a finite number.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(toml_literal, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml_literal(key)} = {toml_literal(item)}' for key, item in value.items())}}}"
    raise ConfigError(f"a sweep cannot set a value to {value!r}")


def _overrides(values: Mapping[str, Any]) -> tuple[str, ...]:
    # Choosing a component by its name drops the options it had, so names go first.
    ordered = sorted(values.items(), key=lambda item: not item[0].endswith(".name"))
    return tuple(f"{key}={toml_literal(value)}" for key, value in ordered)


def _recipe(spec: Path, cell: str, recipe: str | None) -> Path:
    if recipe is None:
        raise ConfigError(f"{spec}: cell {cell} has no recipe; set `recipe` for it or for the whole sweep")
    path = (spec.parent / recipe).resolve()
    if not path.is_file():
        raise ConfigError(f"{spec}: no recipe at {path}")
    return path


def _grid_points(spec: Path, grid: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Every combination of the grid's values, with its name; a single nameless point where there is no grid."""
    axes = flatten(grid)
    for key, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{spec}: grid.{key} must be a list of values, got {values!r}")
    points = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [(",".join(f"{key.rpartition('.')[2]}={value}" for key, value in point.items()), point) for point in points]

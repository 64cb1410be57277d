"""The description of a transfer experiment: a recipe, named environments, and what is trained and measured.

A TOML file that is an ordinary recipe, with two tables more:

[environments.sums]              # a name for an environment with its settings, as in [[environments]] of a mixture
name = "arithmetic"
level = { complexity = 2 }

[transfer]                       # what `assay transfer` takes as options
train = ["sums", "units:level=1", "mix"]
evaluate = ["sums", "units:level=1", "chain"]
seeds = 3
tokens = 8000
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from assay.config import Settings, load
from assay.environments.named import NamedEnvironment, named_environment
from assay.errors import ConfigError
from assay.evaluation.sweep.spec import Cell, SweepRun, toml_literal

MIX = "mix"
"""The mixture of all environments that are trained on by themselves, in equal parts."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class TransferSettings(Settings):
    """What is trained, and what is measured."""

    train: tuple[str, ...] = ()
    """Environments that are trained on, one arm each: names of the spec or of Assay, with settings
    ("arithmetic:level=2"); "a+b" is the mixture of two, "mix" that of all that stand here by themselves."""
    evaluate: tuple[str, ...] = ()
    """Environments that every model is measured on; none for those that are trained on."""
    sequence: tuple[str, ...] = ()
    """Environments that one model goes through in this order, beside a fresh model on each; none for no sequence."""
    seeds: int = pydantic.Field(default=3, ge=1)
    """Number of seeds: each arm is trained once with 0, 1, ..."""
    tokens: int | None = pydantic.Field(default=None, ge=1)
    """Sampled tokens of each training run."""
    tasks: int = pydantic.Field(default=96, ge=2)
    """Held-out tasks of each environment, the same for every model."""
    threshold: float = pydantic.Field(default=0.5, gt=0.0, le=1.0)
    """Solved share at which an environment of a sequence counts as reached."""
    reading: str = "strict"
    """Reading of the answers that the matrix is about."""


class TransferSpec(Settings):
    """A file that `assay transfer` reads."""

    recipe: dict[str, Any] = pydantic.Field(default_factory=dict)
    """The recipe of every training run, without its environment."""
    environments: dict[str, dict[str, Any]] = pydantic.Field(default_factory=dict)
    """Name to environment."""
    transfer: TransferSettings = TransferSettings()

    @classmethod
    def from_written(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """All other tables are the recipe's."""
        if isinstance(data.get("environments"), list):
            raise ConfigError(
                "[[environments]] is a mixture; name what is trained and measured by tables such as [environments.sums]"
            )
        if "environment" in data:
            raise ConfigError(
                "[environment] has no effect here: name what is trained and measured by tables such as "
                "[environments.sums], and list the names under train and evaluate"
            )
        own = {key: data[key] for key in ("environments", "transfer") if key in data}
        return {"recipe": {key: value for key, value in data.items() if key not in own}, **own}


@dataclass(frozen=True)
class TransferArm:
    """What one kind of run is trained on."""

    name: str
    parts: tuple[NamedEnvironment, ...]
    """The environment, or those of a mixture in equal parts."""

    @property
    def is_mixture(self) -> bool:
        return len(self.parts) > 1

    def overrides(self) -> list[str]:
        """Return the settings of a recipe that train on this."""
        parts = [
            {key: value for key, value in part.plain().items() if value is not None and key != "weight"}
            for part in self.parts
        ]
        return [
            f"environment={toml_literal({'name': 'mixture', 'parts': _without_none(parts)})}",
            # The dials are the environments' own.
            "curriculum.levels=[{}]",
        ]


@dataclass(frozen=True)
class TransferPlan:
    """A spec whose arms and environments are spelled out."""

    name: str
    recipe: Mapping[str, Any]
    settings: TransferSettings
    tokens: int
    arms: tuple[TransferArm, ...]
    evaluated: tuple[NamedEnvironment, ...]
    sequence: tuple[TransferArm, ...] = ()

    @classmethod
    def load(cls, path: Path, options: Mapping[str, Any], overrides: Sequence[str] = ()) -> TransferPlan:
        """Reads a spec.

        Args:
            options: of the table [transfer], in place of what stands there.
            overrides: key=value, for settings of the recipe.

        Raises:
            ConfigError: not a spec; nothing to train, or no tokens to train with; an unknown name; the same environment
                twice; or a setting that transfer decides itself.
        """
        spec = load(TransferSpec, path, overrides)
        if unknown := [key for key in overrides if key.partition(".")[0] in ("transfer", "environments")]:
            raise ConfigError(f"--set {unknown[0]}: --set is for the recipe; write it in the spec, or use its option")
        settings = load(TransferSettings, {**spec.transfer.plain(), **options})
        if not settings.train and not settings.sequence:
            raise ConfigError(
                f"{path} says nothing to train on: give --train, such as --train arithmetic:level=1,units"
            )
        if settings.tokens is None:
            raise ConfigError("every arm is trained with as many tokens: say how many, such as --tokens 10000")
        for key in ("max_sampled_tokens", "max_seconds", "num_steps", "seed"):
            if key in spec.recipe:
                raise ConfigError(f"{path}: {key} is decided by --tokens and --seeds; leave it out")
        if settings.sequence and isinstance(model := spec.recipe.get("model"), dict) and "lora" in model:
            raise ConfigError(
                f"{path}: model.lora: an adapter cannot be put on the model of the stage before; leave it out"
            )
        if "levels" in spec.recipe.get("curriculum", {}):
            raise ConfigError(f"{path}: curriculum.levels has no effect here: give the environments their dials")
        names = _Names(spec.environments)
        arms = _arms(settings.train, names, "--train")
        sequence = _arms(settings.sequence, names, "--sequence")
        if mixed := [arm.name for arm in sequence if arm.is_mixture]:
            raise ConfigError(f"--sequence: {mixed[0]} is a mixture; name one environment after the other")
        singles = [arm.parts[0] for arm in (*arms, *sequence) if not arm.is_mixture]
        evaluated = [names.find(each, "--eval") for each in settings.evaluate] or _unlike(singles)
        _differ(evaluated, "--eval")
        # What is kept of an environment is seen on its held-out tasks.
        evaluated = _unlike([*evaluated, *(arm.parts[0] for arm in sequence)])
        recipe_name = spec.recipe.get("name", path.stem)
        if not isinstance(recipe_name, str) or not _NAME.fullmatch(recipe_name):
            raise ConfigError(f"{path}: {recipe_name!r} cannot be a name; use letters, digits and ._-")
        return cls(recipe_name, spec.recipe, settings, settings.tokens, arms, tuple(evaluated), sequence)

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(range(self.settings.seeds))

    @cached_property
    def fresh(self) -> tuple[TransferArm, ...]:
        """Everything that is trained from the base: the arms, and the environments of the sequence."""
        known = [_identity(arm) for arm in self.arms]
        return (*self.arms, *(arm for arm in self.sequence if _identity(arm) not in known))

    def fresh_like(self, arm: TransferArm) -> TransferArm:
        """The arm among `fresh` that is trained on the same."""
        return next(each for each in self.fresh if _identity(each) == _identity(arm))

    def write_recipe(self, folder: Path) -> Path:
        """Writes the recipe of all runs, by a name that its content gives it; returns its path."""
        text = "".join(f"{json.dumps(key)} = {toml_literal(value)}\n" for key, value in sorted(self.recipe.items()))
        path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:8]}.toml"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return path

    def run(
        self, arm: TransferArm, seed: int, recipe: Path, num_steps: int, before: TransferStage | None = None
    ) -> SweepRun:
        """The training run of an arm at a seed.

        Args:
            recipe: that `write_recipe` wrote.
            num_steps: more than the tokens suffice for.
            before: the stage of a sequence whose model it begins with; None for the base.
        """
        overrides = [
            f"name={toml_literal(arm.name.replace('+', '.'))}",
            *arm.overrides(),
            f"max_sampled_tokens={self.tokens}",
            f"num_steps={num_steps}",
            "evaluation.test_tasks=0",
            *([] if before is None else [f"model.source={toml_literal(str(before.model))}"]),
        ]
        stages = arm.name if before is None else f"{before.name}-then-{arm.name}"
        # What was made before is part of the name, and the place where it lies is not.
        made = [*overrides[:-1], before.fingerprint] if before is not None else overrides
        digest = hashlib.sha256("\0".join([recipe.name, *made]).encode()).hexdigest()[:8]
        cell = Cell(f"{stages}-{digest}", recipe, tuple(overrides))
        return SweepRun(cell, seed, (*overrides, f"seed={seed}"))


@dataclass(frozen=True)
class TransferStage:
    """A stage of a sequence that has ended."""

    name: str
    model: Path
    fingerprint: str


class _Names:
    """Names of a spec, and of Assay."""

    def __init__(self, tables: Mapping[str, Mapping[str, Any]]) -> None:
        for name, table in tables.items():
            if name == MIX or not _NAME.fullmatch(name):
                what = "is the mixture of all" if name == MIX else "cannot be a name; use letters, digits and ._-"
                raise ConfigError(f"[environments.{name}]: {name!r} {what}")
            if "label" in table or "weight" in table:
                raise ConfigError(f"[environments.{name}] has its name for a label, and no weight; leave them out")
        self._tables = tables

    def find(self, written: str, option: str) -> NamedEnvironment:
        written = written.strip()
        try:
            if written in self._tables:
                return named_environment(self._tables[written], label=written)
            return named_environment(written)
        except ConfigError as error:
            own = f"; names of this spec: {', '.join(self._tables)}" if self._tables else ""
            raise ConfigError(f"{option} {written}: {error}{own}") from None


def _arms(written: Sequence[str], names: _Names, option: str) -> tuple[TransferArm, ...]:
    singles = [names.find(each, option) for each in written if each != MIX and "+" not in each]
    _differ(singles, option)
    by_text = {each: names.find(each, option) for each in written if each != MIX and "+" not in each}
    arms: list[TransferArm] = []
    for each in written:
        if each == MIX:
            if len(singles) < 2:
                raise ConfigError(
                    f"{option} {MIX} is the mixture of the others, which are {len(singles)}: name two or more"
                )
            arms.append(TransferArm(MIX, tuple(singles)))
        elif "+" in each:
            parts = [names.find(part, option) for part in each.split("+")]
            _differ(parts, option)
            arms.append(TransferArm("+".join(part.filed_as for part in parts), tuple(parts)))
        else:
            arms.append(TransferArm(by_text[each].filed_as, (by_text[each],)))
    if twice := _first_twice([arm.name for arm in arms]):
        raise ConfigError(f"{option} {twice} stands there twice; name each once")
    return tuple(arms)


def _differ(environments: Sequence[NamedEnvironment], option: str) -> None:
    """Raise ConfigError where two environments have one name, or are the same."""
    seen: dict[str, str] = {}
    for each in environments:
        tasks = json.dumps(each.same_tasks(), sort_keys=True)
        if tasks in seen:
            raise ConfigError(f"{option}: {seen[tasks]} and {each.filed_as} are the same environment; name each once")
        if each.filed_as in seen.values():
            raise ConfigError(
                f"{option}: two environments are called {each.filed_as}; name them in [environments.NAME]"
            )
        seen[tasks] = each.filed_as


def _unlike(environments: Sequence[NamedEnvironment]) -> list[NamedEnvironment]:
    found: dict[str, NamedEnvironment] = {}
    for each in environments:
        found.setdefault(json.dumps(each.same_tasks(), sort_keys=True), each)
    return list(found.values())


def _first_twice(names: Sequence[str]) -> str | None:
    return next((name for name in names if list(names).count(name) > 1), None)


def _identity(arm: TransferArm) -> list[dict[str, Any]]:
    return [part.same_tasks() for part in arm.parts]


def _without_none(value: Any) -> Any:
    """Plain settings without those that are None, which TOML cannot write and which are defaults."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list) else value

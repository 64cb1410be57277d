"""Strict settings: load from TOML, override with key=value, dump; unknown keys are errors that name the nearest.

A component (an algorithm, an environment, a verifier) is its own settings: a frozen class whose fields are its options
and whose defaults are the vetted ones (`assay.components`). Importable without torch.
"""

from __future__ import annotations

import difflib
import glob
import json
import os
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, ClassVar, TypeVar

import pydantic

from assay.errors import ConfigError
from assay.other_tools import OTHER_TOOLS

FileText = Annotated[str, pydantic.BeforeValidator(lambda given: str(given) if isinstance(given, PurePath) else given)]
"""Text that may name a file; in Python a `Path` as well."""

SettingsT = TypeVar("SettingsT", bound="Settings")


class Settings(pydantic.BaseModel):
    """Base of everything that can be configured: frozen, strict, no unknown keys."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", strict=True, validate_default=True)

    other_names: ClassVar[Mapping[str, str]] = {}
    """Names that other tools give an option, or options that they have beside these, and what to do here: part of the
    error."""

    @classmethod
    def from_written(cls, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings that a table stands for, where a shorter way of writing them is offered."""
        return data

    def plain(self) -> dict[str, Any]:
        """Every value, defaults included, as plain JSON data."""
        return self.model_dump(mode="json")


def load(cls: type[SettingsT], source: Path | Mapping[str, Any], overrides: Iterable[str] = ()) -> SettingsT:
    """Settings from a TOML file (or a mapping of the same shape) with `a.b=value` overrides applied on top.

    Override values are read as TOML (`3`, `1e-5`, `true`, `"text"`, `[1, 2]`); what is not TOML is taken as text. Files
    that a TOML file names lie beside it, wherever one stands; where none lies there, names are taken as they stand.

    Raises:
        ConfigError: the file is missing or not TOML; a key is unknown; a value is out of range.
    """
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                data = tomllib.load(file)
        except FileNotFoundError:
            raise ConfigError(f"no recipe at {source}; pass the path of a TOML file") from None
        except OSError as error:
            raise ConfigError(f"{source} cannot be read ({error.strerror}); pass the path of a TOML file") from None
        except tomllib.TOMLDecodeError as error:
            raise ConfigError(f"{source} is not valid TOML: {error}") from None
        except UnicodeDecodeError as error:
            line = error.object.count(b"\n", 0, error.start) + 1
            raise ConfigError(
                f"{source} is not valid TOML: line {line} is not UTF-8 ({error.reason}); save it as UTF-8"
            ) from None
        data = _beside(data, source.resolve().parent)
    else:
        data = json.loads(json.dumps(source, default=_plain))
    for override in overrides:
        _apply(data, override)
    return validate(cls, data)


KEPT = {"curriculum": ("levels",), "scaffold": ("share", "final_share")}
"""Settings of a component's table that stay when another component is chosen by its name: they are about the run, the
levels among which a curriculum chooses, the share of episodes that have the scaffold."""


def merged(data: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain settings with changes: a table changes the settings that it names and leaves the others, as `--set`
    does; with another component's name it replaces the table, whose options were those of the component before (`KEPT`
    apart)."""
    result = dict(data)
    for key, value in changes.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            same = value.get("name", before.get("name")) == before.get("name")
            value = merged(before if same else _kept(key, before), value)
        result[key] = value
    return result


def validate(cls: type[SettingsT], data: Mapping[str, Any]) -> SettingsT:
    """Settings from plain data, with every mistake reported at once as one ConfigError."""
    try:
        # JSON mode: lists become tuples, strict otherwise.
        return cls.model_validate_json(json.dumps(cls.from_written(data), default=_plain))
    except pydantic.ValidationError as error:
        raise ConfigError("\n".join(explain(cls, error))) from None


class NestedError(ValueError):
    """The mistakes in the settings of a component, which a class has that is found only when its name is read."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines


def validate_nested(cls: type[SettingsT], data: Mapping[str, Any]) -> SettingsT:
    """Validate as `validate` does, inside the validation of other settings.

    Raises:
        NestedError: with each mistake by its place inside `data`.
    """
    try:
        return cls.model_validate_json(json.dumps(data, default=_plain))
    except pydantic.ValidationError as error:
        raise NestedError(explain(cls, error)) from None


def explain(cls: type[Settings], error: pydantic.ValidationError) -> list[str]:
    """Each mistake as a line that names the place, the value and the remedy."""
    return [line for details in error.errors() for line in _explain(cls, details)]


def dump(settings: Settings) -> dict[str, Any]:
    """Every value, defaults included, as plain JSON data: what a run folder records."""
    return settings.plain()


def _plain(value: Any) -> Any:
    """Settings among plain data, such as an environment given as an object, are validated like what they dump to."""
    if isinstance(value, Settings):
        return value.plain()
    if isinstance(value, PurePath):
        return os.fspath(value)
    raise ConfigError(f"{value!r:.80} is no setting; settings are numbers, texts, lists, tables and components")


def parse_value(text: str) -> Any:
    """Return the value that a text typed in a shell means: TOML (`3`, `1e-5`, `true`, `"text"`, `[1, 2]`), else
    text."""
    try:
        value = tomllib.loads(f"value = {text}")
        json.dumps(value)  # dates are text, as no setting is one
    except (tomllib.TOMLDecodeError, TypeError):
        return text
    # "1\nother = 2" is one text, and no two settings.
    return value["value"] if len(value) == 1 else text


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """The tables that `a.b=value` overrides make by themselves; values are read by `parse_value`.

    Raises:
        ConfigError: an override without "=", or one that goes into a value as if it were a table.
    """
    data: dict[str, Any] = {}
    for override in overrides:
        _apply(data, override)
    return data


FILE_KEYS = ("path", "test_path", "function", "chat_template", "source", "base", "name", "folder", "python")
"""Keys of a recipe whose values may name a file, or begin with one: "rewards.py:right"."""


def _beside(value: Any, folder: Path, key: str = "") -> Any:
    """Settings with the files that they name, and that lie in a folder or below it, named by their whole path."""
    if isinstance(value, dict):
        return {each: part if each == "options" else _beside(part, folder, each) for each, part in value.items()}
    if isinstance(value, list):
        return [_beside(part, folder, key) for part in value]
    # A component may be named without a table, under any key: environment = "mine.py:Mine".
    if not isinstance(value, str) or (key not in FILE_KEYS and ".py:" not in value):
        return value
    file, colon, rest = value.rpartition(":") if ".py:" in value else (value, "", "")
    if not file or file.startswith(("~", "/")) or (key == "name" and not colon):
        return value
    there = os.path.join(folder, file)
    is_there = os.path.exists(there) or ("*" in file and bool(glob.glob(file, root_dir=folder)))
    return f"{there}{colon}{rest}" if is_there else value


def _apply(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {override!r}: expected key=value, such as --set trainer.learning_rate=1e-5")
    value = parse_value(text)
    *parents, last = key.strip().split(".")
    table: Any = data
    for parent in parents:
        table = table.setdefault(parent, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {override!r}: {parent} is a value, not a table")
    # Choosing another component drops the options of the one it replaces.
    if last == "name" and parents and table.get("name", value) != value:
        kept = _kept(parents[-1], table)
        table.clear()
        table.update(kept)
    table[last] = value


def _kept(key: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """What of a component's table stays when another one is chosen."""
    return {name: table[name] for name in KEPT.get(key, ()) if name in table}


def _explain(cls: type[Settings], details: Any) -> list[str]:
    location = [part for part in details["loc"] if isinstance(part, str | int)]
    if details["type"] == "extra_forbidden":
        *parents, key = location
        model, path = _descend(cls, parents)
        known = sorted(model.model_fields) if model else []
        other = model.other_names.get(str(key)) if model else None
        if other is None and (there := _places(cls, str(key)) or OTHER_TOOLS.get(str(key))):
            other = f"here it is {there}"
        near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
        return [f"unknown key {'.'.join([*path, str(key)])!r}; {other or hint}"]
    dotted = ".".join(map(str, _descend(cls, location)[1])) or "settings"
    nested = details.get("ctx", {}).get("error")
    if isinstance(nested, NestedError):
        return [_at(dotted, line) for line in nested.lines]
    given = details.get("input")
    shown = "" if isinstance(given, dict) else f" (got {given!r})"
    message = details["msg"].removeprefix("Value error, ")
    return [f"{dotted}: {message}{shown}"]


def _at(place: str, line: str) -> str:
    """A line about a component's settings, as one about the settings that hold it."""
    unknown = "unknown key '"
    if line.startswith(unknown):
        return f"{unknown}{place}.{line.removeprefix(unknown)}"
    return f"{place}: {line.removeprefix('settings: ')}" if line.startswith("settings: ") else f"{place}.{line}"


def _descend(cls: type[Settings], location: list[Any]) -> tuple[type[Settings] | None, list[str]]:
    """The settings class at a location of pydantic's, and the dotted path without the marks of unions."""
    model: type[Settings] | None = cls
    path: list[str] = []
    options: list[type[Settings]] = []
    for part in location:
        if any(part == option.__name__ for option in options):
            continue
        path.append(str(part))
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part) if model is not None else None
        options = _settings_in(field.annotation) if field else []
        model = options[0] if len(options) == 1 else None
    return model, path


def _places(cls: type[Settings], key: str) -> str:
    """Where in the tables of settings a key stands, as they are by default; empty where it stands nowhere."""
    found = []
    for name, field in cls.model_fields.items():
        if isinstance(field.default, Settings) and key in type(field.default).model_fields and key != "name":
            found.append(f"{name}.{key}")
    return " or ".join(found)


def _settings_in(annotation: Any) -> list[type[Settings]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return [annotation] if issubclass(annotation, Settings) else []
    return [model for argument in typing.get_args(annotation) for model in _settings_in(argument)]

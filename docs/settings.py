"""Prints docs/settings.md: every setting of a recipe and of a sweep, with its type, its default and what it says.

python docs/settings.py > docs/settings.md
"""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from assay.components import Component, component_names, find_component
from assay.config import Settings
from assay.evaluation.sweep import SweepSettings
from assay.evaluation.transfer import TransferSettings
from assay.recipe import RunConfig

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", dict: "table", Any: "any value"}


def main() -> None:
    print("# Settings\n")
    print(
        "Every setting of a recipe and of a sweep. On the command line a setting is `--set TABLE.SETTING=VALUE`. "
        "This page is made from the code: `python docs/settings.py > docs/settings.md`."
    )
    print("\n## A recipe")
    kinds: dict[type[Component], list[str]] = {}
    _print_tables(RunConfig, "", kinds)
    seen: set[type[Component]] = set()
    while missing := [kind for kind in kinds if kind not in seen]:
        seen.add(missing[0])
        _print_kind(missing[0], kinds)
    print("\n## A sweep")
    print("\nThe file that `assay sweep` runs.")
    _print_tables(SweepSettings, "", kinds)
    print("\n## A transfer experiment")
    print("\nThe table `[transfer]` of the file that `assay transfer` runs, beside a recipe and `[environments.NAME]`.")
    _print_table(TransferSettings, dict(TransferSettings.model_fields))


def _print_kind(kind: type[Component], kinds: dict[type[Component], list[str]]) -> None:
    """Every component of a kind that is Assay's own, with the options that are not those of its whole kind."""
    print(f"\n## Any {kind.kind}\n")
    places = ", ".join(f"`{place}`" for place in dict.fromkeys(kinds[kind]))
    print(f"Chosen by `name`, in {places}; its options stand beside the name.")
    found = {name: find_component(kind, name) for name in component_names(kind)}
    own = {name: component for name, component in found.items() if component.__module__.startswith("assay.")}
    shared = {key: field for key, field in kind.model_fields.items() if key != "name"}
    if shared:
        print(f"\nOptions that every {kind.kind} has:")
        _print_table(kind, shared)
    for key, field in shared.items():
        _print_parts(field.annotation, f"{kind.kind}.{key}", kinds)
    for name, component in own.items():
        options = {
            key: field
            for key, field in component.model_fields.items()
            if key != "name" and (key not in shared or _default(field) != _default(shared[key]))
        }
        print(f'\n### `name = "{name}"`\n')
        print(" ".join(inspect.cleandoc(component.__doc__ or "").split("\n\n")[0].split()))
        if options:
            _print_table(component, options)
        for key, field in options.items():
            _print_parts(field.annotation, f"{kind.kind}.{key}", kinds)


def _print_tables(settings: type[Settings], place: str, kinds: dict[type[Component], list[str]]) -> None:
    if place:
        print(f"\n### `[{place}]`\n")
        print(" ".join(inspect.cleandoc(settings.__doc__ or "").split("\n\n")[0].split()))
    _print_table(settings, settings.model_fields)
    for key, field in settings.model_fields.items():
        _print_parts(field.annotation, f"{place}.{key}".lstrip("."), kinds)


def _print_parts(annotation: Any, place: str, kinds: dict[type[Component], list[str]]) -> None:
    """The tables below a setting, and the kinds of component that it holds, which have a section of their own."""
    for part in _settings_in(annotation):
        if issubclass(part, Component):
            kinds.setdefault(part, []).append(place)
        else:
            in_many = typing.get_origin(annotation) in (tuple, list)
            named = typing.get_origin(annotation) is dict
            _print_tables(part, f"[{place}]" if in_many else f"{place}.NAME" if named else place, kinds)


def _settings_in(annotation: Any) -> Iterator[type[Settings]]:
    if inspect.isclass(annotation) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, Settings):
            yield annotation
        return
    for argument in typing.get_args(annotation):
        yield from _settings_in(argument)


def _print_table(settings: type[Settings], fields: dict[str, FieldInfo]) -> None:
    said = documented(settings)
    print("\n| setting | type | default | |\n|---|---|---|---|")
    for key, field in fields.items():
        bounds = [f"{word} {getattr(mark, name)}" for mark in field.metadata for name, word in BOUNDS.items()
                  if getattr(mark, name, None) is not None]  # fmt: skip
        of = ", ".join([type_in_words(field.annotation), *bounds])
        print("| " + " | ".join(_cell(text) for text in (f"`{key}`", of, _default(field), said.get(key, ""))) + " |")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def type_in_words(annotation: Any) -> str:
    """The type of a setting as TOML has it."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "none"
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_in_words(part) for part in arguments)
    if origin is typing.Annotated:
        return type_in_words(arguments[0])
    if origin in (tuple, list):
        parts = [part for part in arguments if part is not ...]
        return "list of " + ", ".join(dict.fromkeys(type_in_words(part) for part in parts))
    if origin is not None:
        return f"table of {type_in_words(arguments[-1])}" if len(arguments) == 2 else WORDS.get(origin, str(origin))
    if inspect.isclass(annotation) and issubclass(annotation, Component):
        return annotation.kind
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return "table"
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
    if value is PydanticUndefined:
        return "must be given"
    if value is None:
        return "none"
    if isinstance(value, Component):
        return f'`name = "{value.name}"`'
    if isinstance(value, Settings):
        return "its defaults"
    return f"`{json.dumps(value, default=lambda part: part.model_dump(mode='json', exclude_none=True))}`"


def documented(settings: type[Settings]) -> dict[str, str]:
    """What the class and its bases say below each field."""
    said: dict[str, str] = {}
    for base in reversed(settings.__mro__):
        if not (issubclass(base, Settings) and base is not Settings):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(tree, ast.ClassDef)
        for field, after in zip(tree.body, tree.body[1:], strict=False):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
                said[field.target.id] = inspect.cleandoc(str(after.value.value))
    return said


if __name__ == "__main__":
    main()

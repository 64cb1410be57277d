"""Components: the parts of a run that are chosen by name, and that anybody can write.

A component (an algorithm, an environment, a verifier, ...) is its own settings: a frozen class whose fields are its
options and whose defaults are the vetted ones. Each kind has a base class; a settings field `Annotated[Base, Chosen()]`
holds any subclass of it, given

- by registered name: `name = "grpo"`, a module of Assay's own or an entry point of another package, in the group
  "assay.KINDs" (such as "assay.algorithms");
- by place: `name = "package.module:Class"` or `name = "path/to/file.py:Class"`;
- in Python as an object.

All are validated the same way, and written to the run folder so that a resumed run finds them again.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import pydantic
from pydantic_core import core_schema

from assay.config import NestedError, Settings, validate, validate_nested
from assay.errors import ConfigError

ComponentT = TypeVar("ComponentT", bound="Component")


class Component(Settings):
    """Base of all components. A kind's base class states `kind` and `modules`; a component has a `name`."""

    name: Any = ""
    """Name that the component's results are filed under; the class's own name in lower case where a class states
    none."""

    kind: ClassVar[str] = ""
    """Kind of the component, in a word: "algorithm"."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Packages of Assay in which the module (or folder) NAME holds the component NAME."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields:
            hidden = next((base for base in cls.__mro__[1:] if _is_method(vars(base).get(field))), None)
            if hidden is not None:
                raise ConfigError(
                    f"the option {field!r} of {cls.__name__} hides {hidden.__name__}.{field}, which runs use: give the "
                    f"option another name, and where it says what {field} is, return it from a method or property "
                    f"{field} of {cls.__name__}"
                )
        if "kind" not in vars(cls) and not cls.model_fields["name"].default:
            words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls.__name__)
            cls.model_fields["name"].default = words.lower()
            cls.model_rebuild(force=True)

    def files(self) -> Mapping[str, Sequence[Path]]:
        """Files that decide what it does, beside its own source, by the setting that names them: data, or a function of
        somebody's own. A resumed run refuses to go on where they have changed."""
        return {}

    def plain(self) -> dict[str, Any]:
        """Return the name by which its class is found again, under "name", and every option, as plain JSON data."""
        return {**self.model_dump(mode="json"), "name": reference_of(type(self))}


class Chosen:
    """Marks a settings field that holds any component of a kind: `Annotated[Verifier, Chosen()]`.

    Args:
        default: the name that a table without one stands for; None where a name must be given.
    """

    def __init__(self, default: str | None = None) -> None:
        self._default = default

    def __get_pydantic_core_schema__(self, base: type[Component], handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            lambda value: self._read(base, value),
            serialization=core_schema.plain_serializer_function_ser_schema(Component.plain),
        )

    def _read(self, base: type[Component], value: Any) -> Component:
        if isinstance(value, base):
            return value
        if isinstance(value, Component):
            raise ValueError(f"{value.name!r} is no {base.kind}, but of kind {value.kind!r}")
        if isinstance(value, str):
            value = {"name": value}
        if not isinstance(value, Mapping):
            raise ValueError('expected a table with a name, such as { name = "..." }')
        name = value.get("name", self._default)
        if not isinstance(name, str):
            raise ValueError(
                f"needs a name beside its other options; one of {', '.join(component_names(base))}, "
                "or package.module:Class, or path/to/file.py:Class",
            )
        try:
            found = find_component(base, name)
        except ConfigError as error:
            raise ValueError(str(error)) from None
        own = {key: part for key, part in value.items() if key != "name"}
        return validate_nested(found, own)


def make_component(base: type[ComponentT], name: str, options: Mapping[str, Any] | None = None) -> ComponentT:
    """The component of this name or place with these options.

    Raises:
        ConfigError: there is none, an unknown option, or a value out of range.
    """
    return validate(find_component(base, name), options or {})


def find_component(base: type[ComponentT], reference: str) -> type[ComponentT]:
    """The class that a name, "package.module:Class" or "path/to/file.py:Class" stands for.

    Raises:
        ConfigError: there is none, or it is no component of this kind.
    """
    if ":" in reference:
        place, _, attribute = reference.rpartition(":")
        found: Any = load_module(place)
        for part in attribute.split("."):  # a class may stand inside another
            found = getattr(found, part, None)
        if not (inspect.isclass(found) and issubclass(found, base)):
            raise ConfigError(_no_class(base, place, attribute, found))
        return found
    for module in base.modules:
        if found := _in_module(base, f"{module}.{reference}", reference):
            return found
    for entry in importlib.metadata.entry_points(group=_group(base)):
        if entry.name == reference:
            found = entry.load()
            if not (inspect.isclass(found) and issubclass(found, base)):
                raise ConfigError(f"the entry point {reference!r} ({entry.value}) is no {base.kind}: {found!r}")
            return found
    known = component_names(base)
    near = difflib.get_close_matches(reference, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise ConfigError(
        f"unknown {base.kind} {reference!r}; {hint}known: {', '.join(known)}; "
        "one of your own is package.module:Class or path/to/file.py:Class"
    )


def component_names(base: type[Component]) -> tuple[str, ...]:
    """The names by which components of a kind can be chosen: Assay's own, then those of other packages."""
    own = {
        found.name
        for package in base.modules
        for found in pkgutil.iter_modules(importlib.import_module(package).__path__)
        if _in_module(base, f"{package}.{found.name}", found.name)
    }
    return (*sorted(own), *sorted(entry.name for entry in importlib.metadata.entry_points(group=_group(base))))


def reference_of(component: type[Component]) -> str:
    """Return the text by which `find_component` finds this class: its name where it is registered, else its place.

    Raises:
        ConfigError: the class can be found by nobody else, such as one that was made inside a function.
    """
    name = component.model_fields["name"].default
    if component.__module__.startswith(tuple(f"{module}.{name}" for module in component.modules)):
        return name
    for entry in importlib.metadata.entry_points(group=_group(component)):
        if entry.value.replace(" ", "") == f"{component.__module__}:{component.__qualname__}":
            return entry.name
    if "<locals>" in component.__qualname__:
        raise ConfigError(
            f"{component.__qualname__} is made inside a function, where a resumed run could not find it again; "
            "define it at the top of its file"
        )
    module = sys.modules.get(component.__module__)
    file = getattr(module, "__assay_file__", None) or _loose_file(module)
    return f"{file or component.__module__}:{component.__qualname__}"


def _loose_file(module: ModuleType | None) -> str | None:
    """The file of a module that lies beside a script or notebook and is in no package: nobody else could import it by
    its name, such as `assay train --resume`."""
    file = getattr(module, "__file__", None)
    if module is None or file is None or "." in module.__name__ or module.__name__ == "__main__":
        return None
    path = Path(file).absolute()
    installed = any(path.is_relative_to(place) for place in _places_of_packages())
    return None if installed or path.suffix != ".py" or path.name == "__init__.py" else str(path)


@functools.cache
def _places_of_packages() -> tuple[str, ...]:
    return tuple(sysconfig.get_path(each) for each in ("stdlib", "purelib", "platlib"))


def source_file(component: type[Component]) -> Path | None:
    """The file that a component of somebody's own is written in; None for those of Assay and where there is none."""
    if component.__module__.split(".")[0] == "assay":
        return None
    try:
        return Path(inspect.getfile(component))
    except (OSError, TypeError):
        return None


def source_hashes(*settings: Settings) -> dict[str, str]:
    """SHA-256 of the source of each component in settings that is not Assay's own, by reference, and of the files that
    components name, by path: what a resumed run compares."""
    hashes = {}
    for component in components_in(settings):
        file = source_file(type(component))
        if file is not None and file.is_file():
            hashes[reference_of(type(component))] = _hash(file)
        hashes |= {name: _hash(*files) for name, files in component.files().items() if files}
    return hashes


def module_file(place: str) -> Path | None:
    """The file of "path/to/file.py" or of a module's name; None where there is none that can be found."""
    if place.endswith(".py"):
        return Path(place).expanduser()
    try:
        found = importlib.util.find_spec(place)
    except (ImportError, ValueError):
        return None
    return Path(found.origin) if found is not None and found.has_location and found.origin else None


def _hash(*files: Path) -> str:
    digests = []
    for file in files:
        with file.open("rb") as opened:
            digests.append(hashlib.file_digest(opened, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256(" ".join(digests).encode()).hexdigest()


def components_in(value: Any) -> Iterator[Component]:
    """Every component in settings, at any depth, those inside components included."""
    if isinstance(value, Component):
        yield value
    if isinstance(value, pydantic.BaseModel):
        for name in type(value).model_fields:
            yield from components_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from components_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from components_in(part)


def load_module(place: str) -> ModuleType:
    """The module of this name, or of the file where the name ends in ".py".

    Raises:
        ConfigError: there is none, or it cannot be imported.
    """
    if not place.endswith(".py"):
        try:
            return importlib.import_module(place)
        except Exception as error:
            raise ConfigError(f"module {place!r} could not be imported: {type(error).__name__}: {error}") from error
    path = Path(place).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(f"no file at {path}; pass the path of a Python file")
    for module in list(sys.modules.values()):
        if _loose_file(module) == str(path) and not hasattr(module, "__assay_file__"):
            return module  # imported by its name already: its classes are the ones that objects here are of
    # One module a file and content: a class is the same class wherever it is named, and a changed file is read anew.
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:12]
    name = f"assay_file_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    vars(module)["__assay_file__"] = str(path)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ConfigError(f"{path} could not be imported: {type(error).__name__}: {error}") from error
    return module


def explain_foreign(error: BaseException) -> str | None:
    """Return what a component that was read from a file raised, and where in that file and below; None where no such
    file took part."""
    frames = list(traceback.walk_tb(error.__traceback__))
    first = next((at for at, (frame, _) in enumerate(frames) if "__assay_file__" in frame.f_globals), None)
    if first is None:
        return None
    raised = "".join(traceback.format_exception_only(error)).strip()
    places = [f"  {frame.f_code.co_filename}, line {line}, in {frame.f_code.co_name}" for frame, line in frames[first:]]
    return "\n".join((raised, *places))


def _in_module(base: type[ComponentT], module: str, name: str) -> type[ComponentT] | None:
    """The component `name` of this kind in the module of that name; None where there is none."""
    if not re.fullmatch(r"[A-Za-z_]\w*", name) or importlib.util.find_spec(module) is None:
        return None
    for found in vars(importlib.import_module(module)).values():
        if not (inspect.isclass(found) and issubclass(found, base)):
            continue
        # Bases that components share are none themselves: they state no name of their own.
        if "name" in found.__annotations__ and found.model_fields["name"].default == name:
            return found
    return None


def _no_class(base: type[Component], place: str, attribute: str, found: Any) -> str:
    classes = [
        name
        for name, value in vars(load_module(place)).items()
        if inspect.isclass(value) and issubclass(value, base) and value.kind and value is not base
    ]
    has = f"it has {', '.join(classes)}" if classes else f"it has no {base.kind}: a class that extends {base.__name__}"
    problem = f"has no {attribute!r}" if found is None else f"has {attribute!r}, which is no {base.kind}"
    return f"{place} {problem}; {has}"


def _is_method(value: Any) -> bool:
    """Return True for what a class computes: no option of a subclass can take its place (a property wins over it)."""
    return inspect.isfunction(value) or isinstance(value, property | functools.cached_property)


def _group(base: type[Component]) -> str:
    """The entry points of a kind."""
    plural = f"{base.kind[:-1]}ies" if base.kind.endswith("y") else f"{base.kind}s"
    return f"assay.{plural}"


__all__ = [
    "Chosen",
    "Component",
    "NestedError",
    "component_names",
    "components_in",
    "find_component",
    "load_module",
    "make_component",
    "module_file",
    "reference_of",
    "source_hashes",
]

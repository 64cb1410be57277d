"""A function to be written: its specification in words, its reference in Python, its valid arguments."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from assay.environments.programs.value_kinds import Kind

SELF = "SELF"
"""Placeholder in a body and a description for the function's own name."""


@dataclass(frozen=True)
class Parameter:
    """An argument by name."""

    name: str
    kind: Kind


@dataclass(frozen=True)
class Phrase:
    """The same thing in English and in Python."""

    words: str
    code: str


@dataclass(frozen=True)
class Function:
    """One function. Its reference returns a value for all valid arguments and changes none of them."""

    name: str
    parameters: tuple[Parameter, ...]
    returns: str
    """The type hint of what it returns."""
    description: str
    """The words after "a function that", such as "returns ...". Ends with a full stop or a list."""
    body: str
    """Lines of Python, not indented."""
    imports: tuple[str, ...] = ()
    heavy: bool = False
    """True where the function calls another function of the task in a loop."""

    @cached_property
    def signature(self) -> str:
        given = ", ".join(f"{parameter.name}: {parameter.kind.annotation}" for parameter in self.parameters)
        return f"{self.name}({given}) -> {self.returns}"

    @cached_property
    def source(self) -> str:
        body = textwrap.indent(self.body.replace(SELF, self.name), "    ")
        return f"def {self.signature}:\n{body}\n"

    @property
    def call(self) -> str:
        """A call with its own parameters as arguments."""
        return f"{self.name}({', '.join(parameter.name for parameter in self.parameters)})"

    def named(self, name: str) -> Function:
        return dataclasses.replace(self, name=name)


def module_source(functions: Sequence[Function]) -> str:
    """The whole program: imports, then the functions in their order."""
    imports = sorted({line for function in functions for line in function.imports})
    head = "\n".join(imports) + "\n\n\n" if imports else ""
    return head + "\n\n".join(function.source for function in functions)


def lines(*parts: str | None) -> str:
    """Lines of code; a None is left out."""
    return "\n".join(part for part in parts if part is not None)


def parameters(**kinds: Kind) -> tuple[Parameter, ...]:
    return tuple(Parameter(name, kind) for name, kind in kinds.items())


def steps_list(steps: Sequence[str]) -> str:
    """A numbered list, each on a line of its own."""
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, start=1))


def bullets(points: Sequence[str]) -> str:
    return "\n".join(f"- {point}" for point in points)

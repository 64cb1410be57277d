"""The prompt of a programming task: signatures, specifications, valid arguments, examples."""

from __future__ import annotations

from collections.abc import Sequence

from assay.environments.programs.function import Function
from assay.environments.programs.suite import ProgramSuite, Test

_OPERATORS = {
    "//": "As in Python, `//` rounds down.",
    "%": "As in Python, remainders (`%`) are never negative.",
}


def question(functions: Sequence[Function], suites: Sequence[ProgramSuite], instruction: str) -> str:
    """The whole prompt of a task."""
    said: set[str] = set()
    if len(functions) == 1:
        parts = [f"Write a Python function `{functions[0].signature}` that {functions[0].description}"]
        parts += _details(functions[0], suites[0], said)
    else:
        parts = [f"Write these {len(functions)} Python functions. Later ones use earlier ones."]
        for number, (function, suite) in enumerate(zip(functions, suites, strict=True), start=1):
            parts.append(f"Function {number}: `{function.signature}` {function.description}")
            parts += _details(function, suite, said)
    return "\n\n".join([*parts, instruction] if instruction else parts)


def _details(function: Function, suite: ProgramSuite, said: set[str]) -> list[str]:
    """Paragraphs: what arguments are valid, but for what was said before, and examples."""
    notes = [f"{limit}." for given in function.parameters for limit in given.kind.limits(f"`{given.name}`")]
    notes = [note[0].upper() + note[1:] for note in notes]
    if "//" in function.description:
        notes.append(_OPERATORS["//"])
    if " % " in function.description or "modulo" in function.description:
        notes.append(_OPERATORS["%"])
    new = [note for note in notes if note not in said]
    said.update(new)
    examples = "\n".join(["For example:", *(f"- {shown_test(test)}" for test in suite.shown)])
    return [" ".join(new)] * bool(new) + [examples] * bool(suite.shown)


def call_text(test: Test) -> str:
    return f"{test.function}({', '.join(map(repr, test.arguments))})"


def shown_test(test: Test) -> str:
    return f"`{call_text(test)}` returns `{test.expected!r}`"


def assertion(test: Test) -> str:
    """A hidden test as the `code` verifier reads it."""
    return f"assert {call_text(test)} == {test.expected!r}"


def fenced(source: str) -> str:
    return f"```python\n{source.rstrip()}\n```"

"""Modules that run inside the spaces of a program and of its test file, and how it gets there.

No file of this package is mounted in a space: the code of these modules goes in as the arguments of a first call,
compiled here where the Python over there is the same, else as text. They use the standard library only.
"""

from __future__ import annotations

import importlib.util
import marshal
from functools import cache
from pathlib import Path

LOADER = """
def _assay_load(magic, modules):
    import importlib.util, marshal, sys, types
    if magic is not None and magic != importlib.util.MAGIC_NUMBER:
        return None
    for name, content in modules:
        module = sys.modules[name] = types.ModuleType(name)
        code = compile(content, '<' + name + '>', 'exec') if magic is None else marshal.loads(content)
        exec(code, module.__dict__)
    for name, _ in modules:
        del sys.modules[name]
    return module
"""
"""Defines _assay_load(magic, modules): the last of the modules; None where they were compiled by another Python."""

_VALUES = ("plain_values", "twins", "stand_ins", "exchange")
PROGRAM_MODULES = (*_VALUES, "shared_state", "program_end")
TEST_MODULES = (*_VALUES, "shared_state", "pytest_stand_in", "pytest_runner", "test_end")


def shipment(names: tuple[str, ...], *, compiled: bool) -> tuple[bytes | None, list[tuple[str, str | bytes]]]:
    """The arguments of _assay_load for these modules of this package: (magic number or None, (name, content))."""
    return (importlib.util.MAGIC_NUMBER if compiled else None, _contents(names, compiled))


@cache
def _contents(names: tuple[str, ...], compiled: bool) -> list[tuple[str, str | bytes]]:
    return [(f"{__name__}.{name}", _compiled(name) if compiled else _text(name)) for name in names]


def _compiled(name: str) -> bytes:
    return marshal.dumps(compile(_text(name), f"<{name}>", "exec", dont_inherit=True))


def _text(name: str) -> str:
    return (Path(__file__).parent / f"{name}.py").read_text()

"""Names that a test takes from its program, and which a program takes from its task."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Collection, Sequence
from typing import Any

from assay.verifiers.code.asserts import imported_names
from assay.verifiers.code.program import runnable

PROGRAM_MODULES = (
    *("solution", "main", "program", "submission", "candidate", "answer", "your_module", "my_module", "module"),
    *("implementation", "task", "script", "app", "__main__"),
)
"""Names by which tests import their program, where no such module is there."""
_STATE = {
    "files": r"\bopen\(|\bos\b|Path|tempfile|shutil|tmp_path|tmpdir|NamedTemporary|chdir|sqlite3",
    "environ": r"environ|getenv|setenv|delenv",
    "random": r"\brandom\b",
    "numpy": r"\b(?:np|numpy)\.random\b",
}
_SAYINGS = {
    "stdout": r"stdout|capsys|capfd",
    "stderr": r"stderr|capsys|capfd",
    "logging": r"assertLogs|assertNoLogs|caplog|\blogging\b",
    "warnings": r"[wW]arn|deprecated_call",
}
_LOOKS = re.compile(r"signature|iscoroutinefunction|isgeneratorfunction|__doc__|getsource|getfullargspec|__name__")


def imports_in(source: str, wanted: Collection[str] | None = None) -> list[str]:
    """The imports at the outermost level of code to go on from, each a line; of `wanted` only, where it is given."""
    try:
        tree = ast.parse(runnable(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        ast.unparse(node)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and getattr(node, "module", None) != "__future__"
        and (wanted is None or imported_names(node) & {*wanted})
    ]


def prelude(prompt: str, functions: Collection[str]) -> tuple[str, ...]:
    """The statements of code to go on from that a response may leave out, each as text: imports, classes, helpers and
    constants, but not the functions that are asked for."""
    try:
        tree = ast.parse(runnable(prompt))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return tuple(
        ast.unparse(node)
        for node in tree.body
        if (isinstance(node, ast.Import | ast.ImportFrom) and getattr(node, "module", None) != "__future__")
        or (isinstance(node, kinds) and node.name not in functions and node.name != "Solution")
        or isinstance(node, ast.Assign | ast.AnnAssign)
    )


def free_names(tree: ast.Module, functions: Collection[str]) -> tuple[str, ...]:
    """Names that a test uses and neither makes nor imports nor has from Python, in order: its program may have them."""
    made: set[str] = {*functions, "candidate", *dir(builtins)}
    used: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            used.append(node.id) if isinstance(node.ctx, ast.Load) else made.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            made.add(node.name)
        elif isinstance(node, ast.Import):
            made |= imported_names(node)
        elif isinstance(node, ast.ImportFrom):
            names = imported_names(node)
            used += sorted(names) if node.module in PROGRAM_MODULES else []
            made |= set() if node.module in PROGRAM_MODULES else names
    return tuple(name for name in dict.fromkeys(used) if name not in made and name != "*")


def program_modules(test: str, functions: Sequence[str]) -> list[str]:
    """Names by which a test may import its program: the usual ones, and those that it imports the functions from."""
    found = list(PROGRAM_MODULES)
    for module, names in re.findall(r"^[ \t]*from[ \t]+(\w+)[ \t]+import[ \t]+([^\n]+)", test, re.MULTILINE):
        if {*re.findall(r"\w+", names)} & {*functions}:
            found.append(module)
    return found


def shared_facts(test: str, prompt: str) -> dict[str, Any]:
    """Return what both ends of the exchange must know of a test: what of their surroundings it names, and the classes
    that come from the task, which both have."""
    try:
        tree = ast.parse(runnable(prompt))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree = ast.Module([], [])
    return {
        "state": [kind for kind, pattern in _STATE.items() if re.search(pattern, test)],
        "sayings": [kind for kind, pattern in _SAYINGS.items() if re.search(pattern, test)],
        "classes": sorted(node.name for node in tree.body if isinstance(node, ast.ClassDef)),
        "looks": _LOOKS.search(test) is not None,
    }

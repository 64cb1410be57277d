"""Programs that a model proposes, with a call: read as syntax, run twice in the sandbox, never anywhere else."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from assay.environments.proposals import MAX_CHARACTERS, Proposals, RefusedProposalError
from assay.errors import SandboxError
from assay.host import current_host
from assay.sandbox import Limits, NotPlainError, Program, RunStatus, Sandbox
from assay.types import Task
from assay.verifiers.code.prediction import NoLiteralError, arguments_in, output_in

LIMITS = Limits(cpu_seconds=1.0, wall_seconds=4.0, memory_bytes=128 << 20, processes=1, output_bytes=64 << 10)
MAX_VALUE_CHARACTERS = 300
"""Characters of the arguments, and of what comes back."""
MAX_FUNCTIONS = 8
_FENCED = re.compile(r"\s*```(?:python)?[ \t]*\n(.*?)\n?```[ \t]*\n(.*)", re.DOTALL)
_CALLED = re.compile(r"([^\W\d]\w*)\(.*\)", re.DOTALL)
_FORBIDDEN = {
    *("breakpoint", "compile", "delattr", "dir", "eval", "exec", "exit", "getattr", "globals", "hash", "help", "id"),
    *("input", "locals", "memoryview", "object", "open", "print", "quit", "setattr", "type", "vars"),
}
"""Built-in functions of which no value, or none that is the same everywhere, can be asked about."""


@dataclass(frozen=True)
class _Call:
    """A proposed program, as it was read."""

    source: str
    function: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    shown: str
    """The arguments as text."""
    num_functions: int
    normal: str


class OutputPrograms(Proposals):
    """Functions in a block of code, and after it a call with literals.

    The truth is settled by two runs in two sandboxes, whose interpreters have hash seeds of their own: a program whose
    value depends on the order of a set, on an address or on anything else that is not in it differs, and is refused.

    Args:
        task_of: source, function, arguments and output to the task, as the environment gives it.
    """

    instruction: ClassVar[str] = "Write a new Python function, and under it a call of it."

    def __init__(self, task_of: Callable[..., Task]) -> None:
        self._task_of = task_of

    def shown(self, task: Task) -> str:
        suite = task.suite
        assert suite is not None
        assert suite.prediction is not None
        call = f"{suite.entry_point}({suite.prediction.input})"
        return f"```python\n{suite.prediction.code.rstrip()}\n```\n{call}"

    def text_of(self, task: Task) -> str:
        assert task.suite is not None
        assert task.suite.prediction is not None
        return normal_form(ast.parse(task.suite.prediction.code))

    async def settle(self, text: str) -> Task:
        call = _read(text)
        first, second = await asyncio.gather(*(_value(call, number) for number in (1, 2)))
        if type(first) is not type(second) or first != second:
            raise RefusedProposalError("settle", "not deterministic")
        output = _literal(first)
        identity = f"{call.normal}\n{call.function}({call.shown})"
        return self._task_of(
            call.source,
            call.function,
            call.shown,
            output,
            horizon=call.num_functions,
            metadata={"canonical": hashlib.sha256(identity.encode()).hexdigest()[:16]},
        )


def _read(text: str) -> _Call:
    if len(text) > MAX_CHARACTERS:
        raise RefusedProposalError("read", "too long")
    found = _FENCED.fullmatch(text.rstrip())
    if found is None:
        raise RefusedProposalError("read", "no program and call")
    source, said = found[1].strip("\n"), found[2].strip()
    called = _CALLED.fullmatch(said)
    if called is None or "\n" in said:
        raise RefusedProposalError("read", "no call")
    try:
        tree = ast.parse(source)
        arguments, keywords = arguments_in(said, called[1])
        normal = normal_form(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError, NoLiteralError) as error:
        raise RefusedProposalError(
            "read", "no Python" if not isinstance(error, NoLiteralError) else "no literals"
        ) from None
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    if len(names) != len(tree.body) or not 1 <= len(names) <= MAX_FUNCTIONS or called[1] not in names:
        raise RefusedProposalError("read", "not functions alone")
    if any(_is_forbidden(node) for node in ast.walk(tree)):
        raise RefusedProposalError("read", "a forbidden name")
    shown = ", ".join([*map(repr, arguments), *(f"{name}={value!r}" for name, value in keywords.items())])
    if len(shown) > MAX_VALUE_CHARACTERS:
        raise RefusedProposalError("read", "too long")
    return _Call(source, called[1], arguments, keywords, shown, len(names), normal)


def _is_forbidden(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.AsyncFunctionDef | ast.ClassDef | ast.Global):
        return True
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name.startswith("__") or (isinstance(node, ast.Name) and name in _FORBIDDEN)


async def _value(call: _Call, number: int) -> Any:
    """What a run of the program gives, in the first or the second sandbox.

    Raises:
        RefusedProposalError: it raised, passed a limit, or gave what is no plain value.
        SandboxError: the sandbox failed.
    """
    sandbox = current_host().hold(("sandbox", "proposals", number), lambda: Sandbox(num_workers=1), Sandbox.close)
    async with sandbox.open(Program(call.source), limits=LIMITS) as session:
        try:
            reply = await session.call(call.function, call.arguments, call.keywords)
        except NotPlainError:
            raise RefusedProposalError("read", "no literals") from None
        run = await session.finish()
    if reply.kind == "value":
        return reply.value
    if run.status is RunStatus.SANDBOX_FAILURE:
        raise SandboxError(f"the sandbox failed on a proposed program: {run.reason}")
    reasons = {"raised": "raised", "not_plain": "no literal", "ended": run.status.value.replace("_", " ")}
    raise RefusedProposalError("settle", reasons[reply.kind])


def _literal(value: Any) -> str:
    """A value as the literal that says it.

    Raises:
        RefusedProposalError: it is too long, or none says it.
    """
    try:
        text = repr(value)
        if len(text) > MAX_VALUE_CHARACTERS:
            raise RefusedProposalError("settle", "a large value")
        if output_in(text) == value:
            return text
    except (ValueError, RecursionError):  # an integer of thousands of digits has no repr; NaN is no literal
        pass
    raise RefusedProposalError("settle", "no literal")


class _Renamed(ast.NodeTransformer):
    """Gives the names of a program's own functions, arguments and variables numbers, in the order in which they come;
    drops type hints and doc strings."""

    def __init__(self, own: set[str]) -> None:
        self._own = own
        self._names: dict[str, str] = {}

    def _renamed(self, name: str) -> str:
        return self._names.setdefault(name, f"n{len(self._names)}") if name in self._own else name

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name, node.returns = self._renamed(node.name), None
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self._renamed(node.arg), None
        return node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._renamed(node.id)
        return node


def normal_form(tree: ast.Module) -> str:
    """The syntax of a program in words, the same for other names, layout, comments, hints and doc strings. Operators
    are words too, so that n-grams tell a + b from a - b.

    Example:
        >>> normal_form(ast.parse("def f(a): return a + 1")) == normal_form(ast.parse("def g(x):\\n    return (x + 1)"))
        True
        >>> normal_form(ast.parse("def f(a): return a + 1")) == normal_form(ast.parse("def f(a): return a - 1"))
        False
    """
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            own.add(node.name)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
    return ast.dump(_Renamed(own).visit(ast.parse(ast.unparse(tree))))

"""The reference program of a task, compiled once: runs its functions, tells two programs apart by what they compute."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from assay.environments.programs.function import Function, module_source
from assay.environments.programs.metered import Meter, MeteredResult, instrumented, is_tick, load, run
from assay.environments.programs.value_kinds import Hints, Integer, Kind
from assay.seeds import derive_seed

Arguments = tuple[Any, ...]

MAX_TICKS = 20_000
"""Loop rounds, calls and branches of one call of a reference."""
MAX_VALUE_CHARACTERS = 300
"""Most characters of an argument list or a result, written out."""
_NUM_PROBES = 24


class RejectedError(Exception):
    """A proposed task is not good enough; the message is the reason, in a few words."""


class Reference:
    """The functions of a task as one program."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.functions = tuple(functions)
        self.tree, _ = instrumented(module_source(functions))
        self.meter = Meter()
        self._names = load(compile(self.tree, "<reference>", "exec"), self.meter)

    def definition(self, name: str) -> ast.FunctionDef:
        (node,) = (n for n in self.tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
        return node

    def function(self, name: str) -> Callable[..., Any]:
        return self._names[name]

    def places(self, name: str) -> set[int]:
        """Return the places at which the function's loops and branches start."""
        found = set()
        for node in ast.walk(self.definition(name)):
            if is_tick(node):
                found.add(node.value.args[0].value)  # pyright: ignore[reportAttributeAccessIssue]
        return found

    def hints(self, name: str) -> Hints:
        """Return the function's constants, and those of the functions it calls last: all of the program's, its own
        twice."""
        found = [*_constants(self.tree), *_constants(self.definition(name))]
        numbers = tuple(value for value in found if isinstance(value, int))
        return Hints(numbers, tuple(value for value in found if isinstance(value, str) and value))

    def run(self, name: str, arguments: Arguments) -> MeteredResult:
        """Raises:
        RejectedError: it raised, burnt too much or gave something too large.
        """
        outcome = run(self._names[name], arguments, self.meter, MAX_TICKS)
        if outcome.ended:
            raise RejectedError("slow" if outcome.ended == "OverLimitError" else f"reference raised {outcome.ended}")
        if len(repr(outcome.value)) > MAX_VALUE_CHARACTERS:
            raise RejectedError("large values")
        return outcome

    def fingerprint(self, function: Function) -> str:
        """The same for functions that take the same kinds of argument and agree on probes of them."""
        kinds = tuple(parameter.kind for parameter in function.parameters)
        results = self._probed(function, _probes(kinds))
        return hashlib.sha256("\n".join([repr(kinds), *results]).encode()).hexdigest()[:16]

    def require_effects(self, function: Function) -> None:
        """Raises:
        RejectedError: some argument makes no difference to any probe.
        """
        probes = _probes(tuple(parameter.kind for parameter in function.parameters))
        results = self._probed(function, probes)
        for place in range(len(function.parameters)):
            pairs = zip(probes, results, probes[1:], strict=False)
            if not any(self._matters(function.name, place, *pair) for pair in pairs):
                raise RejectedError("an argument without effect")

    def _probed(self, function: Function, probes: Sequence[Arguments]) -> list[str]:
        return [canonical(self.run(function.name, arguments).value) for arguments in probes]

    def _matters(self, name: str, place: int, probe: Arguments, result: str, other: Arguments) -> bool:
        """Return True where the result changes when one argument is replaced with that of another probe."""
        changed = (*probe[:place], other[place], *probe[place + 1 :])
        return canonical(self.run(name, changed).value) != result


def _constants(tree: ast.AST) -> list[int | str]:
    """Integers and texts in it, but not those of ticks."""
    if is_tick(tree):
        return []
    if isinstance(tree, ast.Constant):
        return [tree.value] if isinstance(tree.value, (int, str)) and not isinstance(tree.value, bool) else []
    return [value for child in ast.iter_child_nodes(tree) for value in _constants(child)]


def canonical(value: Any) -> str:
    """A text that is the same for dictionaries of other orders."""
    if isinstance(value, dict):
        return "{" + ", ".join(sorted(f"{key!r}: {canonical(item)}" for key, item in value.items())) + "}"
    if isinstance(value, (list, tuple)):
        return type(value).__name__ + "(" + ", ".join(map(canonical, value)) + ")"
    return repr(value)


def valid_arguments(kinds: Sequence[Kind], rng: Random, hints: Hints, count: int) -> tuple[list[Arguments], int]:
    """Return up to `count` distinct argument lists, those at the edges first, and how many these are."""
    edges = [kind.edges() for kind in kinds]
    first = [
        tuple(values[(row + row // len(values) * place) % len(values)] for place, values in enumerate(edges))
        for row in range(max(map(len, edges)))
    ]
    found = {repr(arguments): arguments for arguments in first}
    num_edges = len(found)
    for _ in range(2 * count):
        if len(found) >= count:
            break
        arguments = _drawn(kinds, rng, hints)
        found.setdefault(repr(arguments), arguments)
    return [arguments for text, arguments in found.items() if len(text) <= MAX_VALUE_CHARACTERS], num_edges


def _drawn(kinds: Sequence[Kind], rng: Random, hints: Hints) -> Arguments:
    """One argument list; sometimes two of its integers are related."""
    values = [kind.sample(rng, hints) for kind in kinds]
    places = [place for place, kind in enumerate(kinds) if isinstance(kind, Integer)]
    if len(places) > 1 and rng.random() < 0.4:
        first, second = rng.sample(places, 2)
        kind = kinds[second]
        assert isinstance(kind, Integer)
        values[second] = kind.related(rng, values[first], hints)
    return tuple(values)


@functools.lru_cache(maxsize=512)
def _probes(kinds: tuple[Kind, ...]) -> list[Arguments]:
    rng = Random(derive_seed("programs", "probes", repr(kinds)))
    return valid_arguments(kinds, rng, Hints((2, 3, 5, 7), ("a", "b")), _NUM_PROBES)[0]

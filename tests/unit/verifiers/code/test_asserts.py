from __future__ import annotations

import ast
import asyncio
import time
from typing import Any

import pytest

from assay.verifiers.code.asserts import NotUnderstoodError, Question, program_functions, read_asserts


def holds(text: str, value: Any = None, names: tuple[str, ...] = ("f",), inside: tuple[str, ...] = ()) -> bool:
    """Whether one assert holds where every call of the program gives this value."""
    asked: list[Question] = []

    async def ask(question: Question) -> Any:
        asked.append(question)
        return value

    (one,) = read_asserts(ast.parse(text).body, names, inside)
    result = asyncio.run(one.holds(ask))
    assert asked or "f(" not in text
    return result


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("assert f(1) == 3", 3),
        ("assert f(1) == 3, 'a message'", 3),
        ("assert f(1) == True", 1),
        ("assert f(1) == 1", 1.0),
        ("assert f(1) == (1, [2, {'a': {3}}])", (1, [2, {"a": {3}}])),
        ("assert f() is None", None),
        ("assert f() is not True", 1),
        ("assert not f()", []),
        ("assert f()", [0]),
        ("assert f() != 4 and f() < 4 or f() == 9", 3),
        ("assert 1 < f() <= 3", 3),
        ("assert f() in (1, 3)", 3),
        ("assert f() not in {'a': 3}", 3),
        ("assert set(f()) == set((1, 2))", [2, 1, 2]),
        ("assert sorted(f(), reverse=True) == [2, 1]", [1, 2]),
        ("assert abs(f() - 0.3) < 1e-6", 0.1 + 0.2),
        ("assert round(f(), 2) == 0.33", 1 / 3),
        ("assert math.isclose(f(), 2.0 / 3.0, rel_tol=0.001)", 0.6667),
        ("assert f()[0][1] == -2", [[1, -2]]),
        ("assert f(0 ** 0, 3 * [1], 'a' + 'b') == 7 // 2", 3),
        ("assert isinstance(f(), (int, str))", 3),
        ("assert f() == float('inf')", float("inf")),
        ("assert Counter(f()) == Counter([1, 1, 2])", [1, 2, 1]),
        ("assert True", None),
    ],
)
def test_what_holds(text: str, value: Any) -> None:
    assert holds(text, value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("assert f(1) == 3", 4),
        ("assert f(1) == 3", "3"),
        ("assert f(1) == [1, 2]", (1, 2)),
        ("assert f(1) == f(1)", float("nan")),
        ("assert f(1) == float('nan')", float("nan")),
        ("assert abs(f() - 0.3) < 1e-6", float("nan")),
        ("assert f() is True", 1),
        ("assert not f()", [0]),
        ("assert 1 < f() <= 3", 4),
    ],
)
def test_what_does_not_hold(text: str, value: Any) -> None:
    assert not holds(text, value)


def test_an_error_is_raised_as_python_would() -> None:
    with pytest.raises(TypeError):
        holds("assert abs(f() - 1) < 1", None)
    with pytest.raises(OverflowError):
        holds("assert 2 ** f() == 1", 10**9)
    with pytest.raises(OverflowError):
        holds("assert [0] * f() == 1", 10**9)
    with pytest.raises(TypeError, match="formatting"):
        holds("assert f() % 3 == 1", "%1000000000d")


@pytest.mark.parametrize("function", ["set", "frozenset", "Counter", "collections.Counter"])
def test_values_made_to_collide_are_refused(function: str) -> None:
    values = [k * (2**61 - 1) for k in range(1, 70_000)]
    began = time.process_time()
    with pytest.raises(ValueError, match="collide"):
        holds(f"assert {function}(f()) == 1", values)
    with pytest.raises(ValueError, match="collide"):
        holds("assert dict(f()) == 1", [(value, 1) for value in values])
    assert holds(f"assert len({function}(f())) == 2", [1, 2] * 1000), "equal values do not"
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", ["f() // 3", "f() % 3", "f() ** 1", "math.isqrt(f())", "f() * f()"])
def test_integers_with_too_many_digits_are_refused(text: str) -> None:
    with pytest.raises(OverflowError):
        holds(f"assert {text} == 1", 1 << 100_001)


@pytest.mark.parametrize(
    "text",
    [
        "assert all(x in f() for x in (1, 2))",
        "assert [y for y in f()] == []",
        "assert f().lower() == 'a'",
        "assert f() == __import__('os').getcwd()",
        "assert eval('f()') == 1",
        "assert f() == open('/etc/passwd').read()",
        "assert (lambda: f())() == 1",
        "assert f(*[1, 2]) == 1",
        "assert f(**{'a': 1}) == 1",
        "assert f() is 3",
        "assert f() == other",
        "assert f'{f()}' == '1'",
        "assert (x := f()) == 1",
        "assert f()[1:] == []",
        "assert f.__globals__",
        "for x in range(3):\n    assert f(x) == x",
        "x = f()",
        "try:\n    f()\nexcept ValueError:\n    pass",
    ],
)
def test_what_is_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstoodError):
        read_asserts(ast.parse(text).body, ("f",))


def test_calls_with_what_only_the_program_has_are_asked_as_expressions() -> None:
    text = "assert f(Pair(1, 2), root) == 3"
    (one,) = read_asserts(ast.parse(text).body, ("f", "Pair"), ("root",))
    assert one.expressions == ("f(Pair(1, 2), root)",)
    assert holds(text, 3, ("f", "Pair"), ("root",))
    (one,) = read_asserts(ast.parse("assert f((1, 'a'), int) == (1,)").body, ("f",))
    assert one.expressions == ("f((1, 'a'), int)",)
    (one,) = read_asserts(ast.parse("assert f(int('3')) == 3").body, ("f",))
    assert one.expressions == (), "the argument is worked out here"
    with pytest.raises(NotUnderstoodError):
        read_asserts(ast.parse("assert f(Pair(secret)) == 3").body, ("f", "Pair"))


@pytest.mark.parametrize(
    ("text", "entry_point", "reference", "functions"),
    [
        ("assert add(1, 2) == 3", "", "", ["add"]),
        ("assert set(add(1)) == set([1])", "", "", ["add"]),
        ("assert sum(10, 15) == 6", "", "def sum(a, b): pass", ["sum"]),
        ("assert sum(10, 15) == 6", "", "", ["sum"]),
        ("assert area(Box(1)) == 3", "", "class Box: pass\ndef area(b): pass", ["area", "Box"]),
        ("assert candidate(1) == helper(1)", "main", "", ["main", "helper"]),
        ("assert add(1) == 1", "", "not python(", ["add"]),
    ],
)
def test_which_functions_are_the_programs(text: str, entry_point: str, reference: str, functions: list[str]) -> None:
    assert program_functions(ast.parse(text), entry_point, reference) == functions

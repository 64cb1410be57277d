from __future__ import annotations

import ast
from typing import Any

from assay.environments.programs.metered import Meter, OverLimitError, instrumented, load, run
from assay.environments.programs.mutants import mutants


def results(source: str, *arguments: Any) -> dict[str, list[Any]]:
    """What each mutant of f returns for the arguments, by mistake; an error's name where it raises."""
    tree, _ = instrumented(source)
    before, meter = ast.dump(tree), Meter()
    found: dict[str, list[Any]] = {}
    for mistake, code in mutants(tree, "f", lambda count: list(range(count))):
        outcome = run(load(code, meter)["f"], arguments, meter, 1000)
        found.setdefault(mistake, []).append(outcome.ended or outcome.value)
    assert ast.dump(tree) == before
    return found


def test_mistakes_in_an_expression() -> None:
    assert results("def f(a: int, b: int) -> int:\n    return 3 * a - b\n", 5, 2) == {
        # 3 + 5 - 2, 3 * 5 + 2
        "other operator": [17, 6],
        "operands swapped": [-13],
        "constant + 1": [18],
        "constant - 1": [8],
        "a becomes b": [4],
        "b becomes a": [10],
    }


def test_mistakes_in_a_comparison() -> None:
    found = results("def f(a: int) -> int:\n    if a < 5:\n        return 1\n    return 2\n", 5)
    assert found["boundary"] == [1]
    assert found["opposite comparison"] == [1]
    assert found["condition is True"] == [1]
    assert found["condition is False"] == [2]
    assert found["statement left out"] == [2]
    assert found["constant + 1"] == [1, 2, 3]


def test_mistakes_in_a_loop() -> None:
    found = results(
        "def f(n: int) -> int:\n    total = 0\n    for i in range(n):\n        total += i\n    return total\n", 4
    )
    assert found["range one longer"] == [10]
    assert found["range one shorter"] == [3]
    assert found["range from 1"] == [6]
    assert found["other operator"] == [-6]
    assert found["statement left out"] == ["UnboundLocalError", 0]


def test_mistakes_in_calls_and_slices() -> None:
    found = results("def f(x: list) -> list:\n    return sorted(x, reverse=True)[1:3]\n", [3, 1, 4, 2])
    assert found["sorted becomes list"] == ["TypeError"]
    assert found["without reverse"] == [[2, 3]]
    assert found["slice without lower"] == [[4, 3, 2]]
    assert found["slice without upper"] == [[3, 2, 1]]
    assert found["opposite constant"] == [[2, 3]]


def test_every_run_ends() -> None:
    endless = (
        "def f(n):\n    while n > 0:\n        try:\n            n += 1\n        except Exception:\n      "
        "      pass\n    return n\n"
    )
    tree, places = instrumented(endless)
    meter = Meter()
    names = load(compile(tree, "<test>", "exec"), meter)
    assert places == 2
    assert run(names["f"], [1], meter, 500).ended == "OverLimitError"
    assert run(names["f"], [0], meter, 500).value == 0
    assert not issubclass(OverLimitError, Exception)
    deep, _ = instrumented("def f(n):\n    return f(n + 1)\n")
    assert run(load(compile(deep, "<test>", "exec"), meter)["f"], [1], meter, 10**6).ended == "RecursionError"


def test_places_are_branches() -> None:
    tree, places = instrumented(
        "def f(a):\n    if a:\n        return 1\n    elif a is None:\n        return 2\n    else:\n        return 3\n"
    )
    assert places == 4
    meter = Meter()
    names = load(compile(tree, "<test>", "exec"), meter)
    for value, count in ((1, 2), (None, 3), (0, 4)):
        run(names["f"], [value], meter, 100)
        assert len(meter.reached) == count


def test_ticks_are_counted() -> None:
    tree, _ = instrumented("def f(n):\n    for _ in range(n):\n        pass\n    return n\n")
    meter = Meter()
    function = load(compile(tree, "<test>", "exec"), meter)["f"]
    # One for the call, one for each round.
    assert run(function, [2], meter, 3).value == 2
    assert run(function, [2], meter, 3).burnt == 3
    assert run(function, [2], meter, 2).ended == "OverLimitError"

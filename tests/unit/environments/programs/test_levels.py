from __future__ import annotations

import ast
import keyword
from random import Random
from typing import Any

import pytest

from assay.environments.programs.levels import LEVELS
from assay.environments.programs.metered import run
from assay.environments.programs.reference import MAX_TICKS, Reference, valid_arguments
from assay.environments.programs.value_kinds import Hints

PLAIN = (type(None), bool, int, str)


def is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(is_plain, value))
    if type(value) is dict:
        return all(is_plain(key) and is_plain(item) for key, item in value.items())
    return type(value) in PLAIN


@pytest.mark.parametrize("level", LEVELS)
def test_references_run_on_all_valid_arguments_and_give_plain_values(level: int) -> None:
    rng = Random(level)
    num_slow = 0
    for _ in range(60):
        function = LEVELS[level].make(rng)
        assert function.name.isidentifier()
        assert not keyword.iskeyword(function.name)
        assert function.description[0].islower()
        assert function.description.rstrip()[-1] in ".;"
        assert "{" not in function.description.replace("`{", "")
        reference = Reference([function])
        kinds = [parameter.kind for parameter in function.parameters]
        for arguments in valid_arguments(kinds, rng, reference.hints(function.name), 40)[0]:
            before = repr(arguments)
            outcome = run(reference.function(function.name), arguments, reference.meter, MAX_TICKS)
            if outcome.ended == "OverLimitError":
                num_slow += 1
                continue
            assert outcome.ended == ""
            value = outcome.value
            assert is_plain(value)
            assert is_plain(arguments)
            assert repr(arguments) == before
    assert num_slow < 30


@pytest.mark.parametrize("level", LEVELS)
def test_grammars_give_many_functions(level: int) -> None:
    rng = Random(level)
    sources = {LEVELS[level].make(rng).source.partition("(")[2] for _ in range(100)}
    assert len(sources) >= 85


@pytest.mark.parametrize(
    ("level", "wanted"),
    [(2, ast.Compare), (4, ast.For | ast.While), (7, ast.For), (9, ast.For), (10, ast.While)],
)
def test_levels_need_what_they_say(level: int, wanted: Any) -> None:
    rng = Random(level)
    functions = [LEVELS[level].make(rng) for _ in range(40)]
    assert all(any(isinstance(node, wanted) for node in ast.walk(ast.parse(f.source))) for f in functions)


def test_recursion_recurs() -> None:
    rng = Random(0)
    for _ in range(40):
        tree = ast.parse(LEVELS[8].make(rng).source)
        defined = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert any(
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function.name
            for function in defined
            for node in ast.walk(function)
        )


def test_arguments_near_constants_are_tried() -> None:
    function = next(f for f in (LEVELS[2].make(Random(i)) for i in range(50)) if "> 1" in f.source or "< 1" in f.source)
    reference = Reference([function])
    hints = reference.hints(function.name)
    kinds = [parameter.kind for parameter in function.parameters]
    drawn = {value for arguments in valid_arguments(kinds, Random(0), hints, 150)[0] for value in arguments}
    assert set(hints.numbers) <= drawn
    assert valid_arguments(kinds, Random(0), Hints(), 20)[0] == valid_arguments(kinds, Random(0), Hints(), 20)[0]

from __future__ import annotations

from random import Random

import pytest

from assay.environments.programs.function import Function, lines, parameters
from assay.environments.programs.reference import Reference, RejectedError
from assay.environments.programs.suite import MAX_ADDED_TESTS, ProgramSuite, build_suite
from assay.environments.programs.value_kinds import INTEGER, NUMBERS, Integer, Kind


def function(body: str, returns: str = "int", **kinds: Kind) -> Function:
    return Function("f", parameters(**kinds), returns, "returns something.", body)


def suite(made: Function, num_tests: int = 12) -> ProgramSuite:
    return build_suite(Reference([made]), made, Random(0), num_tests=num_tests, num_shown=2)


def test_a_boundary_has_a_test() -> None:
    made = suite(function(lines("if a > 37:", "    return 1", "return a"), a=INTEGER))
    arguments = {test.arguments[0] for test in made.hidden}
    # a > 37 against a >= 37, a > 38 and a > 36: only 37 and 38 tell.
    assert {37, 38} <= arguments
    assert made.mutants.unknown == 0
    assert made.mutants.made == made.mutants.killed_at_once + made.mutants.killed_later


def test_an_equivalent_mutant_is_not_told_apart() -> None:
    made = suite(function(lines("if a < b:", "    return b", "return a"), a=INTEGER, b=INTEGER))
    # a < b against a <= b gives the same larger number.
    assert made.mutants.unknown >= 1


def test_a_test_is_added_for_what_the_first_ones_let_through() -> None:
    few = suite(
        function(lines("if a > 3 and b > 5 and a + b == 20:", "    return 1", "return a - b"), a=INTEGER, b=INTEGER), 4
    )
    assert few.mutants.killed_later > 0
    assert 4 < len(few.hidden) <= 4 + MAX_ADDED_TESTS


def test_shown_calls_are_not_hidden_ones() -> None:
    made = suite(function("return sum(numbers)", numbers=NUMBERS))
    hidden = [test.arguments for test in made.hidden]
    assert len(made.shown) == 2
    assert not any(test.arguments in hidden for test in made.shown)
    assert made.shown[0].expected != made.shown[1].expected


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (function(lines("if a > 1000:", "    return 1", "return a + 1"), a=INTEGER), "a branch is never taken"),
        (function("return a > 97", "bool", a=INTEGER), "results too much alike|too few examples"),
        (function("return a", a=INTEGER), "identity"),
        (
            function(
                lines("result = sorted(numbers)", "result = [x * 2 for x in result]", "return sum(result)"),
                numbers=NUMBERS,
            ),
            "a step without effect",
        ),
        (function(lines("numbers.append(1)", "return len(numbers)"), numbers=NUMBERS), "arguments were changed"),
        (function(lines("while a >= 0:", "    a += 1", "return a"), a=INTEGER), "slow"),
        (function("return 1 // a", a=INTEGER), "reference raised ZeroDivisionError"),
        (function("return 'x' * (a + 400)", "str", a=INTEGER), "large values"),
    ],
)
def test_what_is_not_asked(made: Function, reason: str) -> None:
    with pytest.raises(RejectedError, match=reason):
        suite(made)


def test_fingerprints_know_only_what_is_computed() -> None:
    def fingerprint(made: Function) -> str:
        return Reference([made]).fingerprint(made)

    one = function("return 2 * a + b", a=INTEGER, b=INTEGER)
    other = function(lines("total = b", "for _ in range(2):", "    total += x", "return total"), x=INTEGER, b=INTEGER)
    assert fingerprint(one) == fingerprint(other.named("g"))
    assert fingerprint(one) != fingerprint(function("return 2 * a - b", a=INTEGER, b=INTEGER))
    assert fingerprint(one) != fingerprint(function("return 2 * a + b", a=Integer(0, 9), b=INTEGER))
    made = function("return a + b - b", a=INTEGER, b=INTEGER)
    with pytest.raises(RejectedError, match="an argument without effect"):
        Reference([made]).require_effects(made)

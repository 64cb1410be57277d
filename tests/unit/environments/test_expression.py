from __future__ import annotations

import itertools
import math

import pytest

from assay.environments.arithmetic.expression import ExpressionSpace, Shape, Term, canonical_form, expression_text


def test_mirror_images_share_a_canonical_form() -> None:
    a, b = Term(1, (37,)), Term(1, (45,))
    assert canonical_form((a, b)) == canonical_form((b, a)) == "+37+45"
    assert canonical_form((Term(1, (4, 37)),)) == canonical_form((Term(1, (37, 4)),)) == "+37*4"


def test_a_difference_is_not_its_mirror_image() -> None:
    assert canonical_form((Term(1, (45,)), Term(-1, (37,)))) == "+45-37"
    assert canonical_form((Term(1, (37,)), Term(-1, (45,)))) == "+37-45"


def test_expression_text() -> None:
    assert expression_text((Term(1, (37, 4)), Term(-1, (12,)), Term(1, (5,)))) == "37 * 4 - 12 + 5"


@pytest.mark.parametrize(
    ("shape", "horizon", "tasks"),
    [
        (Shape(digits=(1,), terms=2), 1, 45),  # pairs from 1..9 with repetition: 9 * 10 / 2
        (Shape(digits=(1,), terms=2), 2, 165),  # triples from 1..9: C(11, 3)
        (Shape(digits=(1,), terms=2, subtraction=True), 1, 90),  # 45 sums, 45 differences of 0 or more
        (Shape(digits=(1,), terms=2, subtraction=True, negative=True), 1, 126),  # 45 sums, 81 differences
        (Shape(digits=(2, 1)), 1, 720),  # 90 * 8
        (Shape(digits=(1, 1)), 1, 36),  # pairs from 2..9
    ],
)
def test_a_space_holds_every_canonical_expression_once(shape: Shape, horizon: int, tasks: int) -> None:
    space = ExpressionSpace(shape, horizon)
    found = [terms for index in range(space.size) if (terms := space.terms_at(index)) is not None]
    assert len(found) == tasks
    assert len({canonical_form(terms) for terms in found}) == tasks


def test_enumeration_agrees_with_brute_force() -> None:
    space = ExpressionSpace(Shape(digits=(1,), terms=3, subtraction=True, negative=True), 1)
    brute = {
        canonical_form((Term(1, (a,)), Term(s, (b,)), Term(t, (c,))))
        for a, b, c in itertools.product(range(1, 10), repeat=3)
        for s, t in itertools.product((1, -1), repeat=2)
    }
    assert {canonical_form(space.terms_at(index) or ()) for index in range(space.size)} == brute


def test_no_intermediate_result_is_negative_where_none_may_be() -> None:
    space = ExpressionSpace(Shape(digits=(1,), terms=2, subtraction=True), 3)
    for index in range(0, space.size, 7):
        terms = space.terms_at(index)
        if terms is not None:
            assert min(itertools.accumulate(term.value for term in terms)) >= 0


def test_every_number_of_a_huge_space_is_an_expression() -> None:
    space = ExpressionSpace(Shape(digits=(2, 2), terms=2, subtraction=True, negative=True), 20)
    for index in (0, space.size // 3, space.size - 1):
        terms = space.terms_at(index)
        assert terms is not None
        assert len(terms) == 21
        assert terms[0].sign == 1


def test_digit_operations_by_hand() -> None:
    assert Shape(digits=(2,), terms=2).digit_operations(1) == 2
    assert Shape(digits=(2,), terms=2).digit_operations(4) == 8
    # 37 * 4: two digit products with their carries.
    assert Shape(digits=(2, 1)).digit_operations(1) == 4
    # 37 * 45: four digit products with carries, then one addition of three digits.
    assert Shape(digits=(2, 2)).digit_operations(1) == 8 + 3
    # Two of those, and an addition of four digits.
    assert Shape(digits=(2, 2), terms=2).digit_operations(1) == 26


def test_values() -> None:
    assert Term(-1, (6, 7)).value == -42
    assert math.prod(Term(1, (5,)).factors) == 5

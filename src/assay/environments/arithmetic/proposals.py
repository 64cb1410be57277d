"""Expressions that a model proposes: read by a grammar of whole numbers and + - *, and computed from what was read."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

from assay.environments.arithmetic.expression import Shape, Term, canonical_form
from assay.environments.proposals import Proposals, RefusedProposalError, single_line
from assay.types import Split, Task

_EXPRESSION = re.compile(r"(?:What is )?(\d{1,4}(?: ?[-+*] ?\d{1,4}){1,8}) ?\??", re.ASCII)
"""At most nine numbers of four digits: what is longer is on no level of the dial."""
_PART = re.compile(r"[-+*]|\d+", re.ASCII)


class Expressions(Proposals):
    """Expressions such as "37 + 45 - 12", each on the first level of the complexity dial that has room for it.

    Args:
        shapes: the complexity dial.
        task_of: terms and level to the task, as the environment gives it.
        split_of: a canonical form to its split.
        is_example: whether the exchange before the question shows these terms at this level.
    """

    instruction: ClassVar[str] = "Write a new sum or difference."

    def __init__(
        self,
        shapes: dict[int, Shape],
        task_of: Callable[[tuple[Term, ...], int], Task],
        split_of: Callable[[str], Split],
        is_example: Callable[[tuple[Term, ...], int], bool],
    ) -> None:
        self._shapes = shapes
        self._task_of = task_of
        self._split_of = split_of
        self._is_example = is_example

    def shown(self, task: Task) -> str:
        return str(task.metadata["expression"])

    async def settle(self, text: str) -> Task:
        terms = terms_in(single_line(text))
        level = next((level for level, shape in self._shapes.items() if has_room(shape, terms)), None)
        if level is None:
            raise RefusedProposalError("read", "on no level")
        if self._is_example(terms, level):
            raise RefusedProposalError("new", "the example")
        if self._split_of(canonical_form(terms)) != "train":
            raise RefusedProposalError("new", "held out")
        return self._task_of(terms, level)


def terms_in(line: str) -> tuple[Term, ...]:
    """The terms of an expression.

    Raises:
        RefusedProposalError: it is none, or has a number that changes nothing: a term of 0, a factor below 2.

    Example:
        >>> expression_text(terms_in("What is 37+45 - 12*3?"))
        '37 + 45 - 12 * 3'
    """
    found = _EXPRESSION.fullmatch(line)
    if found is None:
        raise RefusedProposalError("read", "no expression")
    terms: list[tuple[int, list[int]]] = [(1, [])]
    for part in _PART.findall(found[1]):
        if part in "+-":
            terms.append((1 if part == "+" else -1, []))
        elif part != "*":
            if len(part) > 1 and part[0] == "0":
                raise RefusedProposalError("read", "no expression")
            terms[-1][1].append(int(part))
    if any(min(factors) < (2 if len(factors) > 1 else 1) for _, factors in terms):
        raise RefusedProposalError("read", "a number without effect")
    return tuple(Term(sign, tuple(factors)) for sign, factors in terms)


def has_room(shape: Shape, terms: tuple[Term, ...]) -> bool:
    """Return True where an expression has no more terms, factors, digits and operators than those of a shape, and no
    negative result that the shape does not allow."""
    digits = sorted(shape.digits, reverse=True)
    for term in terms:
        own = sorted((len(str(factor)) for factor in term.factors), reverse=True)
        if len(own) > len(digits) or any(mine > most for mine, most in zip(own, digits, strict=False)):
            return False
    totals = [sum(term.value for term in terms[: number + 1]) for number in range(len(terms))]
    return (
        len(terms) <= shape.terms
        and (shape.subtraction or all(term.sign > 0 for term in terms))
        and (shape.negative or min(totals) >= 0)
    )

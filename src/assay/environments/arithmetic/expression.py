"""Integer expressions: signed sums of products, their canonical form, and the numbered space of a shape."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from assay.seeds import derive_seed


@dataclass(frozen=True)
class Term:
    """A signed product, such as + 37 or - 24 * 7."""

    sign: int
    """1 or -1."""
    factors: tuple[int, ...]
    """One factor is a plain number."""

    @property
    def value(self) -> int:
        return self.sign * math.prod(self.factors)

    @property
    def canonical(self) -> str:
        """The same for every order of the factors."""
        return ("-" if self.sign < 0 else "+") + "*".join(map(str, sorted(self.factors, reverse=True)))

    def __str__(self) -> str:
        return " * ".join(map(str, self.factors))


def canonical_form(terms: tuple[Term, ...]) -> str:
    """One name for every order of the terms and of their factors: 37 + 45 and 45 + 37 are both "+37+45".

    A chain of steps is named as the sum it amounts to, so a chain and the bare expression share a name.
    """
    return "".join(sorted(term.canonical for term in terms))


def expression_text(terms: tuple[Term, ...]) -> str:
    """The terms as one line, such as "37 + 45 - 24 * 7". The first term must be positive."""
    first, *rest = terms
    return str(first) + "".join(f" {'-' if term.sign < 0 else '+'} {term}" for term in rest)


@dataclass(frozen=True)
class Shape:
    """The form that the expressions of one level share."""

    digits: tuple[int, ...]
    """Digits of each factor of a term, two factors at most: (2,) is two-digit numbers, (2, 1) is 37 * 4."""
    terms: int = 1
    """Terms of the bare expression."""
    subtraction: bool = False
    """True where terms after the first may be subtracted."""
    negative: bool = False
    """True where results may be below zero; where false, no intermediate result is below zero either."""

    @property
    def terms_per_step(self) -> int:
        """Terms that each further step of a chain applies to the result so far."""
        return max(1, self.terms - 1)

    def num_terms(self, horizon: int) -> int:
        return self.terms + (horizon - 1) * self.terms_per_step

    def digit_operations(self, horizon: int) -> int:
        """Operations on single digits that the schoolbook method takes: the argument that the dials are monotone.

        Adding or subtracting a term costs its digits. A product costs two for each pair of digits (the product and its
        carry) and, for each partial product after the first, one addition as wide as the partial product.
        """
        product = 0
        if len(self.digits) == 2:
            wide, narrow = self.digits
            product = 2 * wide * narrow + (narrow - 1) * (wide + 1)
        terms = self.num_terms(horizon)
        return terms * product + (terms - 1) * sum(self.digits)


@dataclass(frozen=True)
class ExpressionSpace:
    """Every canonical expression of a shape at a horizon, numbered from 0 without gaps or repeats."""

    shape: Shape
    horizon: int

    @cached_property
    def _ranges(self) -> tuple[range, ...]:
        """The values of each factor. A factor of 1 would make no product, and a term of 0 no step."""
        smallest = 2 if len(self.shape.digits) == 2 else 1
        return tuple(range(max(smallest, 10 ** (digits - 1)), 10**digits) for digits in self.shape.digits)

    @cached_property
    def _num_products(self) -> int:
        """Distinct unsigned terms: a * b and b * a are one."""
        if len(self._ranges) == 1:
            return len(self._ranges[0])
        wide, narrow = self._ranges
        return _num_multisets(len(wide), 2) if wide == narrow else len(wide) * len(narrow)

    @cached_property
    def _blocks(self) -> tuple[int, ...]:
        """Numbers of expressions that subtract 0, 1, 2, ... terms; the first term is always positive."""
        terms = self.shape.num_terms(self.horizon)
        most = terms - 1 if self.shape.subtraction else 0
        count = self._num_products
        return tuple(_num_multisets(count, terms - m) * _num_multisets(count, m) for m in range(most + 1))

    @property
    def size(self) -> int:
        """Numbered expressions, those included that `terms_at` refuses."""
        return sum(self._blocks)

    def terms_at(self, index: int) -> tuple[Term, ...] | None:
        """The expression of this number, in the one order it is asked in.

        None where its result is negative and the shape has no negative results. The order depends only on the canonical
        form, so that a canonical expression has a single wording.
        """
        num_terms = self.shape.num_terms(self.horizon)
        num_negative = 0
        while index >= self._blocks[num_negative]:
            index -= self._blocks[num_negative]
            num_negative += 1
        positive, negative = divmod(index, _num_multisets(self._num_products, num_negative))
        ranks = [(1, rank) for rank in _multiset(positive, num_terms - num_negative)]
        ranks += [(-1, rank) for rank in _multiset(negative, num_negative)]
        terms = tuple(Term(sign, self._factors(rank)) for sign, rank in ranks)
        if not self.shape.negative and sum(term.value for term in terms) < 0:
            return None
        return self._ordered(terms)

    def _factors(self, rank: int) -> tuple[int, ...]:
        if len(self._ranges) == 1:
            return (self._ranges[0][rank],)
        wide, narrow = self._ranges
        if wide == narrow:
            first, second = _multiset(rank, 2)
        else:
            first, second = divmod(rank, len(narrow))
        return wide[first], narrow[second]

    def _ordered(self, terms: tuple[Term, ...]) -> tuple[Term, ...]:
        """A shuffle fixed by the canonical form, repaired to begin with a positive term and to stay where it must."""
        name = canonical_form(terms)
        waiting = [
            Term(term.sign, tuple(sorted(term.factors, key=lambda factor: derive_seed("factors", name, factor))))
            for _, term in sorted(enumerate(terms), key=lambda numbered: derive_seed("order", name, numbered[0]))
        ]
        ordered: list[Term] = []
        total = 0
        while waiting:
            # A positive term is always left while the total may not sink further, because the whole is not negative.
            free = self.shape.negative and ordered
            chosen = next(term for term in waiting if free or total + term.value >= 0)
            waiting.remove(chosen)
            ordered.append(chosen)
            total += chosen.value
        return tuple(ordered)


def _num_multisets(kinds: int, size: int) -> int:
    return math.comb(kinds + size - 1, size)


def _multiset(rank: int, size: int) -> tuple[int, ...]:
    """The multiset of this rank, ascending, by the combinatorial number system (Knuth, TAOCP 4A, 7.2.1.3)."""
    chosen = []
    for left in range(size, 0, -1):
        low, high = left - 1, left
        while math.comb(high, left) <= rank:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if math.comb(middle, left) <= rank:
                low = middle
            else:
                high = middle
        rank -= math.comb(low, left)
        # A strictly ascending combination becomes a multiset by taking its position off each member.
        chosen.append(low - (left - 1))
    return tuple(reversed(chosen))

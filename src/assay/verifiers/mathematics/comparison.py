"""Comparison of two answers, as far as it is possible without algebra."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

from assay.verifiers.mathematics.node import MAX_PARTS, Comparison, Node, rational, walk
from assay.verifiers.mathematics.units import same_unit

_UNORDERED = frozenset({"list", "set"})
SETS = frozenset({"interval", "union", "difference", "space", "relation", "and", "or", "member", "set"})
"""Kinds that may describe a set of numbers."""
_ANGLES = frozenset({"pi", "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc"})
"""Constants and functions that an angle in radians is written with."""
_EXPRESSIONS = frozenset({"number", "numeral", "symbol", "constant", "sum", "product", "power", "call"})


@dataclass(frozen=True)
class Tolerance:
    """Largest distance of a number from the gold one; none by default."""

    relative: float = 0.0
    """Share of the gold number."""
    decimals: int | None = None
    """Decimals to which the gold number was rounded."""

    @property
    def is_exact(self) -> bool:
        return not self.relative and self.decimals is None

    def allows(self, gold: Fraction, response: Fraction) -> bool:
        if gold == response:
            return True
        margin = abs(gold) * Fraction(str(self.relative))
        if self.decimals is not None:
            margin = max(margin, Fraction(1, 2 * 10**self.decimals))
        return abs(gold - response) <= margin


@dataclass(frozen=True)
class AnswerComparer:
    """Compares two trees."""

    algebra: Callable[[Node, Node], Comparison] = lambda gold, response: "unknown"
    """The function that compares two expressions, equations or sets that are not written alike."""
    tolerance: Tolerance = Tolerance()

    def same(self, gold: Node, response: Node) -> Comparison:
        """Compare two answers; "unknown" where the result depends on a pair that `algebra` does not know about."""
        if gold == response:
            return "same"
        for kinds, compare in self._readings():
            if gold.kind in kinds or response.kind in kinds:
                verdict = compare(gold, response)
                if verdict is not None:
                    return verdict
        if gold.kind in _EXPRESSIONS and response.kind in _EXPRESSIONS:
            return self._expressions(gold, response)
        if gold.kind != response.kind:
            return self._kinds_differ(gold, response)
        if gold.kind in ("interval", "matrix") and gold.text != response.text:
            # Other brackets; a matrix and a determinant.
            return "different"
        return self._in_order(gold.parts, response.parts)

    def _readings(self) -> tuple[tuple[frozenset[str], Callable[[Node, Node], Comparison | None]], ...]:
        return (
            (frozenset({"equation"}), self._equations),
            (frozenset({"member"}), self._members),
            (frozenset({"point"}), self._points),
            (frozenset({"text"}), self._texts),
            (frozenset({"words"}), _words),
            (frozenset({"clock"}), _clocks),
            (frozenset({"ratio"}), self._ratios),
            (frozenset({"quantity"}), self._quantities),
            (_UNORDERED, self._lists),
            (frozenset({"relation", "or", "and", "union", "difference", "space"}), self._sets),
        )

    def _equations(self, gold: Node, response: Node) -> Comparison:
        if gold.kind != response.kind:
            # "x = 5" for 5: what the variable is. "2 + 3 = 5" is no answer to anything.
            if response.kind == "equation":
                return self.same(gold, response.parts[0]) if response.text else "different"
            return self.same(gold.parts[0], response) if gold.text else "different"
        if gold.text and gold.text == response.text:
            return self.same(gold.parts[0], response.parts[0])
        if gold.text and any(rational(node.parts[0]) is not None for node in (gold, response)):
            # x = 5 and y = 5. And "2x = 10" is a question to which x = 5 is the answer.
            return "different"
        return self.algebra(gold, response)

    def _members(self, gold: Node, response: Node) -> Comparison | None:
        if gold.kind == response.kind == "member":
            return self.same(gold.parts[0], response.parts[0]) if gold.text == response.text else "different"
        if {gold.kind, response.kind} & {"relation", "or", "and"}:
            return self.algebra(gold, response)
        inside = [node.parts[0] if node.kind == "member" else node for node in (gold, response)]
        return self.same(inside[0], inside[1])

    def _points(self, gold: Node, response: Node) -> Comparison | None:
        if gold.kind == response.kind:
            return self._in_order(gold.parts, response.parts) if gold.text == response.text else "different"
        other = response if gold.kind == "point" else gold
        if other.kind in ("tuple", "interval") and other.text in ("", "()"):
            return self._in_order(gold.parts, response.parts)
        if other.kind in _UNORDERED:
            verdict = self._match(gold.parts, response.parts)
            if verdict == "different" and len(other.parts) == 1:
                return self.same(*((gold, other.parts[0]) if gold.kind == "point" else (other.parts[0], response)))
            return verdict
        if other.kind == "matrix":
            return None
        if other.kind in ("relation", "or", "and"):
            return "different"
        return "different"

    def _texts(self, gold: Node, response: Node) -> Comparison:
        if gold.kind == response.kind:
            if _squeezed(gold.text) == _squeezed(response.text):
                return "same"
        elif {gold.kind, response.kind} == {"text", "words"}:
            return _verdict(_squeezed(gold.text).casefold() == _squeezed(response.text).casefold())
        return "different"

    def _ratios(self, gold: Node, response: Node) -> Comparison:
        if gold.kind == "ratio" and response.kind == "clock" and "m" not in response.text:
            response = Node("ratio", parts=tuple(_integer(part) for part in response.text.split(":")))
        if gold.kind != response.kind or len(gold.parts) != len(response.parts):
            return "different"
        if gold.text and response.text:
            # "3 to 5" may be a range as well, of which no part is a multiple.
            return self._in_order(gold.parts, response.parts)
        # Two ratios are one where every part is as many times the other's.
        firsts = gold.parts[0], response.parts[0]
        crosses: list[Comparison] = [
            self.same(
                Node("product", parts=(firsts[1], mine)),
                Node("product", parts=(firsts[0], theirs)),
            )
            for mine, theirs in zip(gold.parts[1:], response.parts[1:], strict=True)
        ]
        return _all(crosses)

    def _quantities(self, gold: Node, response: Node) -> Comparison | None:
        units = [node.text if node.kind == "quantity" else "" for node in (gold, response)]
        values = [node.parts[0] if node.kind == "quantity" else node for node in (gold, response)]
        if values[0].kind not in (*_EXPRESSIONS, "matrix") or values[1].kind not in (*_EXPRESSIONS, "matrix"):
            if _UNORDERED & {values[0].kind, values[1].kind} or "clock" in (values[0].kind, values[1].kind):
                return None
            return "different"
        if "degree" in units and units[0] != units[1]:
            in_radians = [
                Node("call", "degrees", (value,)) if unit == "degree" else value
                for unit, value in zip(units, values, strict=True)
            ]
            other = units[1] if units[0] == "degree" else units[0]
            if other == "radian":
                return self._expressions(*in_radians)
            if other:
                return "different"
            plain = values[1] if units[0] == "degree" else values[0]
            if rational(plain) is not None or not any(node.text in _ANGLES for node in walk(plain)):
                return self._expressions(*values)
            return self._expressions(*in_radians)
        if not same_unit(*units):
            return "different"
        return self._expressions(*values)

    def _lists(self, gold: Node, response: Node) -> Comparison | None:
        if gold.kind in _UNORDERED and response.kind in _UNORDERED:
            if "set" in (gold.kind, response.kind):
                # {1, 1, 2} is {1, 2}.
                return self._match(list(dict.fromkeys(gold.parts)), list(dict.fromkeys(response.parts)))
            return self._match(gold.parts, response.parts)
        listed = gold if gold.kind in _UNORDERED else response
        if listed.kind == "set" and {gold.kind, response.kind} & SETS - {"set"}:
            return self.algebra(gold, response)
        if listed.kind == "list" and 1 < len(listed.parts) <= 4:
            # One value written in several ways: x + 11 or 11 + x.
            alike = _all([self.same(listed.parts[0], part) for part in listed.parts[1:]])
            if alike != "different":
                one = listed.parts[0]
                verdict = self.same(one, response) if listed is gold else self.same(gold, one)
                return "different" if verdict == "different" else "unknown" if alike == "unknown" else verdict
        if listed.kind == "set" and len(listed.parts) == 1:
            one = listed.parts[0]
            return self.same(one, response) if listed is gold else self.same(gold, one)
        return "different"

    def _sets(self, gold: Node, response: Node) -> Comparison:
        if gold.kind == response.kind:
            if gold.kind == "union" and self._match(gold.parts, response.parts) == "same":
                return "same"
            return self.algebra(gold, response)
        other = response if gold.kind not in SETS else gold
        if other.kind in SETS or (other.kind == "tuple" and len(other.parts) == 2):
            return self.algebra(gold, response)
        return "different"

    def _expressions(self, gold: Node, response: Node) -> Comparison:
        """Two expressions: by value where they are rational numbers."""
        if gold == response:
            return "same"
        if gold.kind == "numeral" or response.kind == "numeral":
            return self._numerals(gold, response)
        first, second = rational(gold), rational(response)
        if first is not None and second is not None:
            return _verdict(self.tolerance.allows(first, second))
        return self.algebra(gold, response)

    def _numerals(self, gold: Node, response: Node) -> Comparison:
        """Numbers in a base: where one side does not say its base, its digits are read in that of the other."""
        if gold.kind == response.kind:
            return _verdict(gold.value == response.value)
        numeral, other = (gold, response) if gold.kind == "numeral" else (response, gold)
        if other.kind == "number" and other.value is not None:
            digits = numeral.text.partition("_")[0]
            written = re.fullmatch(r"\d+(?:\.\d+)?", digits)
            return _verdict(written is not None and Fraction(digits) == other.value)
        return self.algebra(gold, response)

    def _kinds_differ(self, gold: Node, response: Node) -> Comparison:
        kinds = {gold.kind, response.kind}
        if kinds == {"tuple", "matrix"} or kinds == {"point", "matrix"}:
            matrix, other = (gold, response) if gold.kind == "matrix" else (response, gold)
            column = [row.parts[0] for row in matrix.parts if len(row.parts) == 1]
            if len(column) == len(matrix.parts) > 1:
                return self._in_order(*((column, other.parts) if matrix is gold else (other.parts, column)))
            return "different"
        if kinds == {"tuple", "interval"}:
            interval = gold if gold.kind == "interval" else response
            return self._in_order(gold.parts, response.parts) if interval.text == "()" else "different"
        determinant = any(node.kind == "matrix" and node.text for node in (gold, response))
        if "matrix" in kinds and kinds & ({"product", "sum", "power"} | (_EXPRESSIONS if determinant else set())):
            return self.algebra(gold, response)
        if kinds == {"tuple", "call"}:
            # A(3, 4) is the point (3, 4) with its name.
            call, other = (gold, response) if gold.kind == "call" else (response, gold)
            if len(call.text) == 1 and call.text.isupper() and len(call.parts) > 1:
                return self._in_order(*((call.parts, other.parts) if call is gold else (other.parts, call.parts)))
        return "different"

    def _match(self, gold: Sequence[Node], response: Sequence[Node]) -> Comparison:
        """Compare the parts in any order: each part of the response is used once."""
        if len(response) > len(gold) and all(part.kind in ("tuple", "point", "set") for part in response):
            # A point that is listed twice.
            response = list(dict.fromkeys(response))
        if len(gold) != len(response) or len(gold) > MAX_PARTS:
            return "different"
        free = list(response)
        uncertain = False
        cheap_judge = AnswerComparer(tolerance=self.tolerance)
        for part in gold:
            # What needs no algebra first: comparing expressions is what takes time.
            cheap = [cheap_judge.same(part, other) for other in free]
            found = "same" if "same" in cheap else "different"
            place = cheap.index("same") if "same" in cheap else -1
            for i, other in enumerate(free):
                if found == "same":
                    break
                if cheap[i] == "unknown":
                    verdict = self.same(part, other)
                    found, place = (verdict, i) if verdict != "different" else (found, place)
            if found == "different":
                return "different"
            if found == "same":
                del free[place]
            uncertain |= found == "unknown"
        return "unknown" if uncertain else "same"

    def _in_order(self, gold: Sequence[Node], response: Sequence[Node]) -> Comparison:
        if len(gold) != len(response) or len(gold) > MAX_PARTS:
            return "different"
        return _all([self.same(a, b) for a, b in zip(gold, response, strict=True)])


def _integer(digits: str) -> Node:
    return Node("number", value=Fraction(int(digits)))


def _all(verdicts: Sequence[Comparison]) -> Comparison:
    return "different" if "different" in verdicts else "unknown" if "unknown" in verdicts else "same"


def _verdict(equal: bool) -> Comparison:
    return "same" if equal else "different"


def _squeezed(text: str) -> str:
    """Return the text without spaces, except between digits: "8 2" is not 82."""
    return re.sub(r"(?<!\d) +| +(?!\d)", "", text)


def _words(gold: Node, response: Node) -> Comparison | None:
    said = [_as_word(node) for node in (gold, response)]
    if said[0] is None or said[1] is None:
        return "different"
    return _verdict(said[0] == said[1])


def _as_word(node: Node) -> str | None:
    """The letters of words, or of symbols that may be some; without their spaces where they are symbols."""
    if node.kind == "words":
        return node.text.replace(" ", "").casefold()
    if node.kind in ("symbol", "constant"):
        return node.text.casefold()
    if node.kind == "product" and all(part.kind in ("symbol", "constant") for part in node.parts):
        return "".join(part.text for part in node.parts).casefold()
    return None


def _clocks(gold: Node, response: Node) -> Comparison | None:
    if {gold.kind, response.kind} == {"clock", "ratio"}:
        return "different" if gold.kind == "clock" else None
    one, other = _time(gold), _time(response)
    if one is None or other is None:
        return "different"
    (first, first_half), (second, second_half) = one, other
    if first_half and second_half:
        return _verdict((first, first_half) == (second, second_half))
    if (not first_half and not second_half) or (not _is_24_hours(gold) and not _is_24_hours(response)):
        return _verdict(first == second)
    # 18:30 is no 6:30 of a clock with 24 hours.
    return "different"


def _is_24_hours(node: Node) -> bool:
    hour = int(node.text.partition(":")[0]) if node.kind == "clock" else 1
    return hour == 0 or hour > 12


def _time(node: Node) -> tuple[str, str] | None:
    """A time of day, and its half of the day where it is known."""
    if node.kind == "clock":
        text, _, half = node.text.partition(" ")
        hour, _, rest = text.partition(":")
        if int(hour) > 12:
            hour, half = str(int(hour) - 12), "pm" if hour != "24" else "am"
        elif hour == "0":
            hour, half = "12", "am"
        return f"{hour}:{rest}", half
    value = node.parts[0] if node.kind == "quantity" else node
    half = node.text if node.kind == "quantity" else ""
    if value.kind == "number" and value.value is not None and value.value.denominator == 1 and half in ("", "am", "pm"):
        return f"{int(value.value)}:00" if len(str(value.value)) < 3 else "", half
    return None

"""Equations and inequalities, and the names that they are about."""

from __future__ import annotations

from collections.abc import Sequence

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.brackets import Reader, closes, outside, split
from assay.verifiers.mathematics.grammar import NotReadError, read_expression
from assay.verifiers.mathematics.lists import point
from assay.verifiers.mathematics.node import Node, rational
from assay.verifiers.mathematics.tokens import Token, spelled
from assay.verifiers.mathematics.words import is_word


def relation(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    sides = split(tokens, ("relation",))
    if len(sides) < 2:
        return None
    signs = [token.text for token in outside(tokens) if token.kind == "relation"]
    if "approx" in signs:
        # What stands before "about" is the answer, unless it is only the name of it.
        first = signs.index("approx")
        if first == 0 and len(signs) == 1 and name_of(sides[0]) is not None:
            signs = ["="]
        elif first == 0:
            return read(sides[0], depth + 1) if sides[0] else None
        else:
            place = next(i for i, token in enumerate(tokens) if token.kind == "relation" and token.text == "approx")
            return read(tokens[:place], depth + 1)
    if not all(sides):
        return Node("text", spelled(tokens))
    if all(sign == "=" for sign in signs):
        return _equation(sides, tokens, depth, read)
    if signs == ["in"]:
        name = name_of(sides[0])
        inside = read(sides[1], depth + 1)
        names = names_of(sides[0])
        if names is not None:
            return Node("member", ",".join(names), (inside,))
        return Node("text", spelled(tokens)) if name is None else Node("member", name, (inside,))
    parts = [read(side, depth + 1) for side in sides]
    if "in" in signs or any(part.kind in ("text", "words") for part in parts):
        return Node("text", spelled(tokens))
    return Node("relation", " ".join(signs), tuple(parts))


def _equation(sides: list[list[Token]], tokens: list[Token], depth: int, read: Reader) -> Node:
    names = names_of(sides[0])
    if names is not None and len(sides) == 2:
        right = read(sides[1], depth + 1)
        if right.kind in ("tuple", "interval") and len(right.parts) == len(names):
            return point(names, right.parts, as_written=True)
    if len(sides) == 2 and name_of(sides[0]) is None and name_of(sides[1]) is not None and _is_variable(sides[1]):
        sides = sides[::-1]
    left = name_of(sides[0])
    nodes = [read(side, depth + 1) for side in sides[1:]]
    values = {value for node in nodes if (value := rational(node)) is not None}
    # "x = 43 = 42" says two things.
    if left is not None and len(values) < 2:
        return Node("equation", left, (nodes[-1],))
    return Node("equation", "", (read(sides[0], depth + 1), *nodes))


def _is_variable(tokens: Sequence[Token]) -> bool:
    return len(tokens) == 1 and tokens[0].kind == "run" and len(tokens[0].text) == 1


def names_of(tokens: list[Token]) -> list[str] | None:
    """The names in (x, y)."""
    if len(tokens) < 5 or tokens[0].kind != "(" or closes(tokens, 0) != len(tokens) - 1:
        return None
    names = [name_of(part) for part in split(tokens[1:-1], (",", ";"))]
    found = [name for name in names if name is not None]
    return found if len(found) == len(names) > 1 else None


def name_of(tokens: Sequence[Token]) -> str | None:
    """Return what an equation is about, where its left side is a name: a variable, f(x), an angle, a length AB, some
    words; None where it is an expression."""
    text = spelled(list(tokens)).strip()
    if not tokens or len(text) > 60:
        return None
    if all(token.kind in ("text", "run", "%", ".") for token in tokens) and any(t.kind == "text" for t in tokens):
        return text.casefold()
    if len(tokens) == 1 and tokens[0].kind == "run":
        return text if len(text) == 1 or is_word(text) else None
    if tokens[0].kind == "command" and tokens[0].text in notation.NAMING and len(tokens) <= 4:
        return text
    if tokens[0].kind == "|" == tokens[-1].kind and len(tokens) == 3 and tokens[1].text.isupper():
        return text
    if all(token.kind in ("run", ":", "_", "{", "}", "number") for token in tokens) and any(
        token.kind == ":" for token in tokens
    ):
        return text
    runs = [token for token in tokens if token.kind not in ("{", "}")]
    if runs[0].text == "frac" and all(
        token.kind == "run" and len(token.text) == 2 and token.text.isupper() for token in runs[1:]
    ):
        return text
    try:
        node = read_expression(list(tokens))
    except NotReadError:
        return None
    if node.kind == "symbol" or (node.kind == "constant" and node.text in ("e", "i")):
        return node.text
    if node.kind == "call" and node.text not in notation.FUNCTIONS and node.text not in _WORKED_OUT:
        return text
    return None


_WORKED_OUT = frozenset(
    {"abs", "factorial", "double factorial", "degrees", "binomial", "floor", "ceil", *notation.GROUPED}
)

"""Lists, alternatives, and points whose coordinates are named one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from assay.verifiers.mathematics.brackets import Reader, filled, split
from assay.verifiers.mathematics.node import Node
from assay.verifiers.mathematics.tokens import Token

CONDITIONS = frozenset({"relation", "or", "and", "member"})
"""Kinds of trees that say what holds."""


def alternatives(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    """Read the parts that "or", a semicolon or a new row separates."""
    parts = filled(split(tokens, ("or", ";", "row")))
    if len(parts) < 2:
        return None
    nodes = [read(_connected(part), depth + 1) for part in parts]
    if any(node.kind in CONDITIONS for node in nodes):
        return Node("or", parts=_same_variable(nodes))
    return listed(nodes)


def _connected(part: list[Token]) -> list[Token]:
    """Return the part without the comma or "and" that stands beside another separator."""
    while part and part[0].kind in (",", "and"):
        part = part[1:]
    while part and part[-1].kind in (",", "and"):
        part = part[:-1]
    return part


def members(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    """Read the parts that commas or "and" separate."""
    if is_grouped_number(tokens):
        digits = "".join(token.text for token in tokens)
        return Node("number", value=plain_number(digits))
    parts = filled(split(tokens, (",", "and")))
    if len(parts) < 2:
        return None
    nodes = [read(part, depth + 1) for part in parts]
    conditions = [node for node in nodes if node.kind in CONDITIONS]
    if conditions:
        first = nodes[0]
        if first.kind == "relation" and first.text == "ne" and all(node.kind not in CONDITIONS for node in nodes[1:]):
            # "x != 1, 2"
            nodes = [first, *(Node("relation", "ne", (first.parts[0], node)) for node in nodes[1:])]
        joined = "and" if any(token.kind == "and" for token in tokens) else "comma"
        return Node("and", joined, _same_variable(nodes))
    return listed(nodes)


def is_grouped_number(tokens: Sequence[Token]) -> bool:
    """1 234 567"""
    return (
        len(tokens) > 1
        and all(token.kind == "number" for token in tokens)
        and tokens[0].text.isdigit()
        and len(tokens[0].text) <= 3
        and tokens[0].text[0] != "0"
        and all(re.fullmatch(r"\d{3}", token.text) for token in tokens[1:-1])
        and re.fullmatch(r"\d{3}(?:\.\d+)?", tokens[-1].text) is not None
    )


def _same_variable(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Conditions, with equations of a variable among them as what they allow."""
    return tuple(
        Node("relation", "=", (Node("symbol", node.text), node.parts[0]))
        if node.kind == "equation" and node.text
        else node
        for node in nodes
    )


def listed(nodes: Sequence[Node]) -> Node:
    """A list, or the point or points that equations name one by one."""
    flat = [part for node in nodes for part in (node.parts if node.kind == "list" else (node,))]
    names = [node.text for node in flat if node.kind == "equation" and node.text]
    if len(names) == len(flat):
        if len(set(names)) == len(names):
            return point(names, [node.parts[0] for node in flat], as_written=False)
        block = names[: names.index(names[0], 1)] if names.count(names[0]) > 1 else names
        if len(block) > 1 and block * (len(names) // len(block)) == names:
            values = [node.parts[0] for node in flat]
            starts = range(0, len(values), len(block))
            return Node("list", parts=tuple(point(block, values[i : i + len(block)], as_written=False) for i in starts))
    # A list of equations about one variable is a list of what it is: x = 1, x = 2 and x = 1, 2 alike.
    if flat[0].kind == "equation" and len(set(names)) == 1:
        flat = [node.parts[0] if node.kind == "equation" and node.text else node for node in flat]
        flat = [part for node in flat for part in (node.parts if node.kind == "list" else (node,))]
    elif flat[0].kind == "point" and all(node.kind == "tuple" for node in flat[1:]):
        named = flat[0]
        flat = [named, *(node for node in flat[1:])]
    return Node("list", parts=tuple(flat))


_CANONICAL = ("abcdefg", "klmn", "pqrs", "rst", "uvw", "xyz")


def point(names: Sequence[str], values: Sequence[Node], *, as_written: bool) -> Node:
    """Return the values of named coordinates, in the order of the names. That is the alphabet's, unless the names were
    written as a tuple and are no neighbours in the alphabet, as in (n, k) = (5, 2)."""
    pairs = list(zip(names, values, strict=True))
    letters = "".join(sorted(names))
    if not as_written or any(letters in run for run in _CANONICAL):
        pairs.sort(key=lambda pair: [int(piece) if piece.isdigit() else piece for piece in re.split(r"(\d+)", pair[0])])
    return Node("point", ",".join(name for name, _ in pairs), tuple(value for _, value in pairs))


def plain_number(text: str) -> Fraction | None:
    found = re.fullmatch(r"-?(?:\d+|[1-9]\d{0,2}(?:,\d{3})+)(?:\.\d+)?", text)
    return Fraction(Decimal(text.replace(",", ""))) if found else None

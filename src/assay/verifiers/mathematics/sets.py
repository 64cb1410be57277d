"""Sets, tuples, intervals and matrices: what brackets hold."""

from __future__ import annotations

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.brackets import OPENING, Reader, closes, filled, outside, split
from assay.verifiers.mathematics.lists import CONDITIONS, listed, point
from assay.verifiers.mathematics.node import Node, number
from assay.verifiers.mathematics.terms import negative
from assay.verifiers.mathematics.tokens import Token, spelled


def set_algebra(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    if len(tokens) == 1 and tokens[0].kind == "command":
        if tokens[0].text == "emptyset":
            return Node("set")
        if tokens[0].text == "reals" or tokens[0].text.startswith("mathbb"):
            return Node("space", tokens[0].text)
    if tokens[0].kind == "command" and tokens[0].text == "reals" and len(tokens) > 1:
        part = _PARTS_OF_REALS.get(spelled(tokens[1:]).replace(" ", ""))
        if part is not None:
            return Node("interval", part[0], tuple(_end(end) for end in part[1:]))
    unions = split(tokens, (), ("cup",))
    if len(unions) > 1:
        return Node("union", parts=tuple(read(part, depth + 1) for part in unions))
    common = split(tokens, (), ("cap",))
    if len(common) > 1:
        return Node("and", "and", tuple(read(part, depth + 1) for part in common))
    without = split(tokens, (), ("setminus",))
    if len(without) == 1:
        without = _split_before_set(tokens)
    if len(without) == 2 and all(without):
        return Node("difference", parts=tuple(read(part, depth + 1) for part in without))
    return None


_PARTS_OF_REALS = {
    "^+": ("()", "0", "+"),
    "_+": ("()", "0", "+"),
    "^{+}": ("()", "0", "+"),
    "_{+}": ("()", "0", "+"),
    "_{>0}": ("()", "0", "+"),
    "^-": ("()", "-", "0"),
    "^{-}": ("()", "-", "0"),
    "_{<0}": ("()", "-", "0"),
    "_{ge0}": ("[)", "0", "+"),
    "_{le0}": ("(]", "-", "0"),
}


def _end(text: str) -> Node:
    infinity = Node("constant", "infinity")
    return {"0": number(0), "+": infinity}.get(text) or negative(infinity)


def _split_before_set(tokens: list[Token]) -> list[list[Token]]:
    """\\mathbb{R} - \\{0\\}"""
    for place, token in enumerate(tokens[:-1]):
        if token.kind == "-" and place and tokens[place + 1].kind == "open" and tokens[0].kind == "command":
            return [tokens[:place], tokens[place + 1 :]]
    return [tokens]


def bracketed(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    """A set, a tuple, an interval, a matrix, or what stands in superfluous parentheses."""
    first, last = tokens[0], tokens[-1]
    if first.kind == "langle" and last.kind == "rangle" and closes(tokens, 0) == len(tokens) - 1:
        return Node("tuple", parts=tuple(read(part, depth + 1) for part in filled(split(tokens[1:-1], (",", ";")))))
    if len(tokens) < 2 or first.kind not in OPENING or closes(tokens, 0) != len(tokens) - 1:
        return None
    inside = tokens[1:-1]
    if first.kind == "begin":
        return _environment(first.text, inside, depth, read)
    if first.kind == "open":
        built = _builder(inside, depth, read)
        if built is not None:
            return built
        node = read(inside, depth + 1) if inside else Node("list")
        if node.kind == "list":
            return Node("set", parts=node.parts)
        return Node("set", parts=(node,)) if node.kind != "text" else Node("text", spelled(tokens))
    separators = (";",) if any(token.kind == ";" for token in outside(inside)) else (",",)
    parts = split(inside, separators)
    if len(parts) == 1:
        if first.kind == "(" and last.kind == ")":
            node = read(inside, depth + 1)
            return None if node.kind == "text" and depth == 0 else node
        if inside and inside[0].kind == "begin" and first.kind in "([":
            return read(inside, depth + 1)
        return None
    nodes = [read(part, depth + 1) for part in parts]
    names = [node.text for node in nodes if node.kind == "equation" and node.text]
    if len(names) == len(nodes) and len(set(names)) == len(names):
        return point(names, [node.parts[0] for node in nodes], as_written=True)
    brackets = first.kind + last.kind
    if brackets == "()" or len(parts) != 2 or first.kind not in "([" or last.kind not in ")]":
        return Node("tuple", parts=tuple(nodes))
    return Node("interval", brackets, tuple(nodes))


def _environment(name: str, inside: list[Token], depth: int, read: Reader) -> Node | None:
    if name in ("cases", "aligned", "gathered", "array", "align*", "align"):
        rows = filled(split([token for token in inside if token.kind != "&"], ("row", ",")))
        nodes = [read(row, depth + 1) for row in rows]
        if len(nodes) > 1 and all(node.kind == "equation" and node.text for node in nodes):
            return listed(nodes)
    if name not in notation.MATRICES:
        return None
    rows = [row for row in split(inside, ("row",)) if row]
    determinant = "determinant" if name in ("vmatrix", "Vmatrix", "vsmallmatrix") else ""
    return Node(
        "matrix",
        determinant,
        tuple(Node("row", parts=tuple(read(cell, depth + 1) for cell in split(row, ("&",)))) for row in rows),
    )


def _builder(inside: list[Token], depth: int, read: Reader) -> Node | None:
    """{x | x > 3}: what holds for its members."""
    for separator in ("|", ":"):
        parts = split(inside, (separator,))
        if len(parts) == 2 and all(parts):
            head, condition = parts
            about = read(head, depth + 1)
            if about.kind not in ("symbol", "member"):
                continue
            held = read(condition, depth + 1)
            if held.kind in CONDITIONS:
                if about.kind == "member" and about.parts != (Node("space", "reals"),):
                    return Node("and", "and", (about, held))
                return held
    return None

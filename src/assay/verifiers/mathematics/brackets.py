"""Tokens and the brackets around them: what closes, what stands outside, where a list is cut."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from assay.verifiers.mathematics.node import Node
from assay.verifiers.mathematics.tokens import Token

Reader = Callable[[list[Token], int], Node]
"""Reads tokens, at a depth of nesting, into a tree."""
OPENING = frozenset({"(", "[", "{", "open", "begin", "langle"})
CLOSING = frozenset({")", "]", "}", "close", "end", "rangle"})


def depth_of(tokens: Sequence[Token]) -> int:
    depth = deepest = 0
    for token in tokens:
        depth += (token.kind in OPENING) - (token.kind in CLOSING)
        deepest = max(deepest, depth)
    return deepest


def unwrapped(tokens: list[Token]) -> list[Token]:
    """Return the tokens without braces around all of them, and without what ends a sentence."""
    while tokens and tokens[-1].kind in (".", ",", ";"):
        tokens = tokens[:-1]
    while len(tokens) > 1 and tokens[0].kind == "{" and closes(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


def closes(tokens: Sequence[Token], start: int) -> int | None:
    """The place of the bracket that closes the one at the start."""
    depth = 0
    for place in range(start, len(tokens)):
        depth += (tokens[place].kind in OPENING) - (tokens[place].kind in CLOSING)
        if not depth:
            return place
    return None


def split(tokens: Sequence[Token], kinds: Collection[str], texts: Collection[str] = ()) -> list[list[Token]]:
    """The tokens between those of some kinds, or commands of some texts, outside all brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.kind in OPENING) - (token.kind in CLOSING)
        if depth == 0 and (token.kind in kinds or (token.kind == "command" and token.text in texts)):
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def filled(parts: Iterable[list[Token]]) -> list[list[Token]]:
    return [part for part in parts if part]


def outside(tokens: Sequence[Token]) -> list[Token]:
    """The tokens outside all brackets."""
    found, depth = [], 0
    for token in tokens:
        depth += (token.kind in OPENING) - (token.kind in CLOSING)
        if depth == 0:
            found.append(token)
    return found

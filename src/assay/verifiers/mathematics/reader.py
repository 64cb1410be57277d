"""Reader from the text of an answer to its tree: chooses the reading that fits."""

from __future__ import annotations

import re

from assay.verifiers.mathematics.brackets import depth_of, split, unwrapped
from assay.verifiers.mathematics.grammar import NotReadError, read_expression
from assay.verifiers.mathematics.lists import alternatives, members, plain_number
from assay.verifiers.mathematics.node import MAX_DEPTH, MAX_EXPRESSION, Node
from assay.verifiers.mathematics.quantities import TEX_SPACE, quantity, ratio, spread, with_degrees
from assay.verifiers.mathematics.relations import relation
from assay.verifiers.mathematics.sets import bracketed, set_algebra
from assay.verifiers.mathematics.tokens import Token, spelled, tidy, tokenize
from assay.verifiers.mathematics.words import is_word, said

_WORDS = re.compile(r"[^\W\d_]+(?:[ '’.-]+[^\W\d_]+)*\.?")
_JOINING = re.compile(r"\b(?:and|or)\b", re.IGNORECASE)


def read_answer(text: str) -> Node:
    """The tree of an answer. Never fails: what the grammar does not have is a `text`.

    Example:
        >>> read_answer("(1, 2)").kind, read_answer("x = 5").kind, read_answer("12 \\\\text{ cm}").text
        ('tuple', 'equation', 'centimetre')
    """
    if len(text) > MAX_EXPRESSION:
        plain = tidy(text)
        return Node("number", value=value) if (value := plain_number(plain)) is not None else Node("text", plain)
    tokens = tokenize(text)
    if depth_of(tokens) > MAX_DEPTH:
        return Node("text", spelled(tokens))
    return _read(tokens, 0)


def last_side(text: str) -> str:
    """Return the last side of an equation, without a rounded value behind it."""
    tokens = unwrapped(tokenize(text))
    exact = next((i for i, token in enumerate(tokens) if (token.kind, token.text) == ("relation", "approx")), None)
    return spelled(split(tokens[:exact], ("relation",))[-1]).strip()


def _read(tokens: list[Token], depth: int) -> Node:
    tokens = unwrapped(tokens)
    if not tokens or depth > 8:
        return Node("text", spelled(tokens))
    node = _words(tokens, depth)
    if node is not None:
        return node
    for reading in _READINGS:
        node = reading(tokens, depth, _read)
        if node is not None:
            return node
    try:
        return with_degrees(read_expression(tokens))
    except (NotReadError, RecursionError):
        return Node("text", spelled(tokens))


def _words(tokens: list[Token], depth: int) -> Node | None:
    if len(tokens) == 1 and tokens[0].kind == "text":
        return _text(tokens[0].text, depth)
    if all(token.kind in ("run", ".", "text", "-") for token in tokens) and tokens[0].kind != "-":
        runs = [token.text for token in tokens if token.kind in ("run", "text")]
        has_text = any(token.kind == "text" for token in tokens)
        if len(runs) > 1 and (has_text or all(len(run) > 1 for run in runs)) and sum(map(len, runs)) >= 4:
            joined = "".join(f"{' ' if t.spaced or t.kind == 'text' else ''}{t.text or t.kind}" for t in tokens)
            return said(joined)
        if len(runs) == 1 and len(tokens) <= 2 and is_word(runs[0]):
            return said(runs[0])
    return None


def _text(text: str, depth: int) -> Node:
    text = TEX_SPACE.sub(" ", text).strip().strip("$").strip()
    if _WORDS.fullmatch(text) and not _JOINING.search(text):
        return said(text)
    node = _read(tokenize(text), depth + 1) if len(text) <= MAX_EXPRESSION else Node("text", text)
    return said(text) if node.kind == "text" and any(map(str.isalpha, text)) else node


_READINGS = (alternatives, members, relation, set_algebra, bracketed, ratio, quantity, spread)

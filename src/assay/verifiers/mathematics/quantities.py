"""Numbers with something beside them: units, currency, degrees, clocks and ratios, both signs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from assay.verifiers.mathematics.brackets import Reader, closes, split, unwrapped
from assay.verifiers.mathematics.grammar import NotReadError, read_expression
from assay.verifiers.mathematics.lists import is_grouped_number, plain_number
from assay.verifiers.mathematics.node import Node, number, symbols
from assay.verifiers.mathematics.terms import times
from assay.verifiers.mathematics.tokens import Token, spelled
from assay.verifiers.mathematics.units import BARE, SCALES, unit_of

_SLASHED_UNIT = re.compile(r"(?:m|km|cm|ft|mi|g|kg|L|l|N|J) ?/ ?(?:s|h|hr|min|sec|mL|L|cm|m|kg|mol)(?:\^ ?\{?[23]\}?)?")
_SCALE = re.compile(rf"({'|'.join(SCALES)})\b *(.*)", re.IGNORECASE)
_HALF_DAY = re.compile(r"\s*([ap])\.?\s?m\.?")
TEX_SPACE = re.compile(r"\\[,;:! ]|~|\\q?quad(?![a-zA-Z])")
_TEX_TEXT = re.compile(r"\\(?:text|mathrm|textrm|mbox)\s*\{([^{}]*)\}")


def ratio(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    parts, joined = split(tokens, (":",)), ""
    if len(parts) == 1:
        parts, joined = split([Token("to") if t.text == "to" else t for t in tokens], ("to",)), "to"
    if len(parts) < 2 or not all(parts):
        return None
    if joined and not all(len(part) == 1 and part[0].kind == "number" for part in parts):
        return None
    half = ""
    words = next((i for i, t in enumerate(parts[-1]) if t.kind in ("run", "text")), None)
    if words is not None:
        match = _HALF_DAY.fullmatch(plain(parts[-1][words:]).lower())
        if match is None:
            return Node("text", spelled(tokens))
        half = f" {match[1]}m"
        parts[-1] = parts[-1][:words]
    written = [spelled(part).strip() for part in parts]
    digits = [part[0].text if len(part) == 1 and part[0].kind == "number" else "" for part in parts]
    if (
        not joined
        and len(parts) in (2, 3)
        and re.fullmatch(r"\d{1,2}", digits[0])
        and int(digits[0]) <= 24
        and all(re.fullmatch(r"[0-5]\d", part) for part in digits[1:])
    ):
        return Node("clock", f"{int(digits[0])}:{':'.join(digits[1:])}{half}")
    if half:
        return Node("text", f"{':'.join(written)}{half}")
    nodes = [read(part, depth + 1) for part in parts]
    if any(node.kind in ("text", "words") for node in nodes):
        return Node("text", spelled(tokens))
    return Node("ratio", joined, tuple(nodes))


def quantity(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    currency = ""
    place = next((i for i, token in enumerate(tokens[:2]) if token.kind == "currency"), None)
    if place is not None and all(token.kind in ("+", "-", "currency") for token in tokens[: place + 1]):
        currency = tokens[place].text
        tokens = [*tokens[:place], *tokens[place + 1 :]]
        if not tokens:
            return None
    for start in range(1, len(tokens)):
        bare = _begins_unit(tokens, start)
        if bare is None:
            continue
        written = plain(tokens[start:])
        scale = _SCALE.fullmatch(written)
        if scale:
            # 5 million dollars
            written = scale[2]
        # An ordinal: 5^{\\text{th}}.
        unit = "ordinal" if written.removeprefix("^") in _ORDINALS else unit_of(written)
        value = _value(tokens[:start])
        if value is not None and bare and symbols(value):
            continue
        if scale and value is not None:
            value = times(number(SCALES[scale[1].lower()]), value)
            if not unit and not currency:
                return value
        if unit is not None and value is not None:
            if currency and unit and not unit.startswith(currency):
                # "$3 per hour"
                unit = f"{currency}*{unit}" if "^-" in unit or " " not in unit else currency
            return Node("quantity", unit or currency, (value,))
        if not bare:
            break
    if not currency:
        return None
    value = _value(tokens)
    return None if value is None else Node("quantity", currency, (value,))


def _value(tokens: list[Token]) -> Node | None:
    if is_grouped_number(tokens):
        return Node("number", value=plain_number("".join(token.text for token in tokens)))
    try:
        return read_expression(unwrapped(tokens))
    except NotReadError:
        return None


def _begins_unit(tokens: Sequence[Token], start: int) -> bool | None:
    """Return False where \\text{} or a sign begins a unit here, True where bare letters may begin one, else None."""
    token = tokens[start]
    following = tokens[start + 1] if start + 1 < len(tokens) else Token("")
    if token.kind in ("text", "%", "currency"):
        return False
    if token.kind == "degree" and following.text in ("C", "F"):
        return False
    if token.kind == "^" and following.kind in ("text", "{"):
        inner = tokens[start + 1 : start + 3]
        return False if any(one.kind == "text" and one.text in _ORDINALS for one in inner) else None
    if token.kind == "command" and token.text == "frac":
        return False if any(one.kind == "text" for one in tokens[start + 1 : start + 3]) else None
    if token.kind == "command" and (token.text == "celsius" or (token.text == "mu" and following.kind == "text")):
        return False
    if token.kind == "/" and (following.kind == "text" or following.text.lower() in BARE):
        return True
    if token.kind == "run":
        if token.text.lower() in BARE | SCALES.keys() or _SLASHED_UNIT.fullmatch(plain(list(tokens[start:])).strip()):
            return True
        if token.text in ("p", "a", "P", "A") and _HALF_DAY.fullmatch(plain(list(tokens[start:])).lower()):
            return True
    return None


_ORDINALS = ("st", "nd", "rd", "th")


def plain(tokens: Sequence[Token]) -> str:
    """Tokens of a unit as plain text."""
    parts: list[str] = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        if token.kind == "command" and token.text == "frac":
            middle = closes(tokens, place + 1)
            end = closes(tokens, middle + 1) if middle is not None and middle + 1 < len(tokens) else None
            if middle is None or end is None:
                return "?"
            parts.append(f" {plain(tokens[place + 2 : middle])}/{plain(tokens[middle + 2 : end])} ")
            place = end + 1
            continue
        if token.kind == "degree":
            following = tokens[place + 1].text if place + 1 < len(tokens) else ""
            parts.append({"C": " celsius", "F": " fahrenheit"}.get(following, "°"))
            place += 2 if following in ("C", "F") else 1
            continue
        if token.kind == "text":
            text = TEX_SPACE.sub(" ", _TEX_TEXT.sub(r" \1 ", token.text)).replace("\\cdot", "*").replace("\\%", "%")
            parts.append(f" {text} ")
        elif token.kind == "command" and token.text == "mu" and place + 1 < len(tokens):
            parts.append(" micro" + tokens[place + 1].text.strip())
            place += 1
        elif token.kind in ("run", "number", "currency", "command"):
            parts.append(f"{' ' if token.spaced else ''}{token.text}")
        elif token.kind not in ("{", "}"):
            parts.append(f"{' ' if token.spaced else ''}{token.text or token.kind}")
        place += 1
    return "".join(parts).replace(" ^", "^").replace("^ ", "^").strip()


def spread(tokens: list[Token], depth: int, read: Reader) -> Node | None:
    """Both readings of an expression with one plus-minus sign."""
    places = [i for i, token in enumerate(tokens) if token.kind == "command" and token.text in ("pm", "mp")]
    if len(places) != 1:
        return None
    place = places[0]
    signs = (Token("+"), Token("-"))
    return Node("list", parts=tuple(read([*tokens[:place], sign, *tokens[place + 1 :]], depth + 1) for sign in signs))


def with_degrees(node: Node) -> Node:
    """An expression of degrees as a quantity."""
    inside = _degrees(node)
    return node if inside is None else Node("quantity", "degree", (inside,))


def _degrees(node: Node) -> Node | None:
    if node.kind == "call" and node.text == "degrees":
        return node.parts[0]
    if node.kind == "sum":
        parts = [_degrees(part) for part in node.parts]
        found = [part for part in parts if part is not None]
        return Node("sum", parts=tuple(found)) if len(found) == len(parts) else None
    if node.kind == "product":
        parts = [_degrees(part) for part in node.parts]
        if sum(part is not None for part in parts) == 1:
            return Node(
                "product",
                parts=tuple(one if part is None else part for one, part in zip(node.parts, parts, strict=True)),
            )
    return None

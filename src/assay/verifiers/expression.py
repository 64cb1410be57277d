"""Mathematical answers as text: from a response to the answer in it, and from an answer to its parts.

    response --> the last balanced box --> cleaned LaTeX --> Answer: a list, set, tuple, interval, matrix, or one leaf

All of it is linear in the length of the text. Nothing is evaluated here: two leaves that are neither the same text nor
two numbers are left to whoever can compare expressions (see `math_worker`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from assay.verifiers.number import parse_number

MAX_EXPRESSION = 2_000
"""Characters of an expression that is compared as more than text."""
MAX_PARTS = 64
MAX_DEPTH = 40
"""Nested brackets of an expression."""

Kind = Literal["leaf", "words", "list", "set", "tuple", "interval", "union", "matrix", "row", "equation"]
Comparison = Literal["same", "different", "unknown"]

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_BOX_OR_BRACE = re.compile(r"(?P<box>\\(?:boxed|fbox)\s*\{)|(?P<escaped>\\.)|(?P<open>\{)|(?P<close>\})", re.DOTALL)
_FENCE = re.compile(r"\\left(?![a-zA-Z])|\\right(?![a-zA-Z])|\\(?:big|Big|bigg|Bigg)[lrm]?(?![a-zA-Z])")
_STYLE = re.compile(r"\\(?:displaystyle|textstyle|limits|mathstrut)(?![a-zA-Z])\s*")
_THOUSANDS = re.compile(r"(?<=\d)(?:\\[,!;: ]|\{,\})(?=\d{3}(?!\d))")
_SPACES = re.compile(r"(?<!\\)\\(?:[,!;:> ]|q?quad(?![a-zA-Z]))|~")
_TEXT = re.compile(r"\\(?:text|mathrm|textrm|textbf|mathbf|textit|mathit|mbox|operatorname)\s*\{([^{}]*)\}")
_DEGREES = re.compile(r"\^ ?\{? ?\\circ ?\}?|\\degree(?![a-zA-Z])|°")
_FRACTION = re.compile(r"\\[dtc]frac(?![a-zA-Z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*(\d)\s*(\d)(?!\d)")
_PRIME = re.compile(r"\^ ?(?:\\prime(?![a-zA-Z])|\{ ?((?:\\prime ?)+)\})|[\u2032\u2019]")
_WORD_BETWEEN = re.compile(r"(?<![a-zA-Z\\])(?:or|and)(?![a-zA-Z])", re.IGNORECASE)
_UNION = re.compile(r"\\cup(?![a-zA-Z])|∪")
_MATRIX = re.compile(r"\\begin\{([pbBvV]?matrix|array)\}(?:\{[^{}]*\})?(.*)\\end\{\1\}", re.DOTALL)
_VARIABLE = re.compile(
    r"(?:[a-zA-Z]|\\(?:alpha|beta|gamma|delta|theta|lambda|mu|nu|rho|sigma|tau|phi|psi|omega)|\\text\{[a-zA-Z]+\})"
    r"(?:_\{?\w+\}?)?(?:\([a-zA-Z](?:,[a-zA-Z])*\))?'*"
)
_RELATION = re.compile(r"(?<![<>!:=\\])=(?!=)")
_INEQUALITY = re.compile(r"[<>≤≥≠]|\\(?:leq?|geq?|lt|gt|neq?)(?![a-zA-Z])|\\in(?![a-zA-Z])")
_NUMBER = r"[-+]?(?:\\frac\{-?\d+\}\{\d+\}|\d+/\d+|\d[\d,]*(?:\.\d+)?|\.\d+)"
_CONSTANT = r"(?:[-+*/^(){}\[\]\d. ]|\\(?:frac|sqrt|pi|cdot|times)(?![a-zA-Z]))+"
_UNITS = (
    "mm|cm|dm|km|inch(?:es)?|foot|feet|ft|yards?|yd|miles?|kg|mg|grams?|pounds?|lbs?|ounces?|oz|tons?|"
    "liters?|litres?|ml|gallons?|cups?|seconds?|sec|minutes?|min|hours?|hr|days?|weeks?|months?|years?|"
    "dollars?|cents?|degrees?|radians?|units?|mph|kmh|points?|people|students?|percent|square|cubic"
)
_UNIT = rf"(?:{_UNITS})(?:\^?[23])?"
_WITH_UNIT = re.compile(
    rf"({_NUMBER}|{_CONSTANT})\s*"
    r"(?:\\(?:text|mathrm|textrm|mbox)\s*\{([a-zA-Z .()'/^23-]*)\}(?:\^\{?([23])\}?)?"
    rf"|({_UNIT}(?:[ /]+{_UNIT})*))"
)
"""A value and its unit: any words in \\text{}, or bare ones that are in the list. No single letter: 2m may be 2 m."""
_SHORT_UNITS = re.compile(
    "[msghlLJNWVAKCF]|[cdkm]m|[kmn]s|k[gJNWVB]|m[gJVALl]|[dc][lL]|gm|[MGT][WB]|Hz|Pa|eV|in|ft|yd|mi|lb|oz|hr|sq|cu|cc|"
    "am|pm|AM|PM|of|st|nd|rd|th"
)
"""All words of one or two letters that a unit may have: other letters are factors (2xy), other words join or deny."""
_NUMBER_WORD = re.compile(
    "(?:zero|one|two|three|four|fi(?:ve|f)|six|seven|eight?|nine?|ten|eleven|twel(?:ve|f)|"
    "(?:thir|four|fif|six|seven|eigh|nine)teen|(?:twen|thir|for|fif|six|seven|eigh|nine)t(?:y|ie)|hundred|thousand|"
    "[a-z]*illi(?:on|ard)|mln|mio|bln|lakh|crore|googol|dozen|score|gross|myriad|hal(?:f|ve)|quarter|third|pi|tau|"
    "infinity)+(?:s|ths?)?"
)
_NO_UNIT = re.compile(
    # What changes the number,
    "plus|minus|times|over|divided|multiplied|added|subtracted|raised|power|exponent|squared|cubed|factorials?|"
    "doubled?|tripled?|quadrupled?|halved|twice|thrice|negated|inverted|reciprocal|itself|choose|mod|modulo|base|binary|"
    "ternary|octal|hex|hexadecimal|repeat(?:ing|ed)|recurring|"
    # what denies it, and what says that it may be another.
    "and|not|nor|but|none|never|n?either|maybe|perhaps|possibly|probably|likely|presumably|approximately|approx|about|"
    "around|roughly|nearly|almost|circa|unknown|undefined|unsure|uncertain|else|otherwise|alternatively|instead|rather|"
    "than|versus|except|unless|without|more|less|fewer|greater|least|most|from|through|until|between|was|were|could|"
    "would|should|might|cannot|wrong|false|incorrect|invalid|actually|wait|sorry|guess|think|believe|another|both|any"
)
_NEEDS_A_NOUN = re.compile("square|cubic|cube|sq|cu|negative|inverse|imaginary")
"""Words that change the number where they stand alone: 5 square is 25, 5 square feet are 5."""
_GROUPS_OF_THREE = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_MIXED = re.compile(r"([-+]?\d+) ?\\frac\{(\d+)\}\{(\d+)\}")
_APART = re.compile(r"\d +\d")
_MEMBER = re.compile(r"\\?[a-zA-Z]\s*\\in(?![a-zA-Z])\s*")
_PLUS_MINUS = re.compile(r"\\pm(?![a-zA-Z])|±")
_OPENING, _CLOSING = "([{", ")]}"
_POWER = re.compile(
    r"(?<![\d._])(\d++)\^(?:\{([-+]?\d{1,9}+)\}|\(([-+]?\d{1,9}+)\)|([-+]?\d{1,9}+)(?!\d))(?!\^)(?=(\d)?)"
)
"""An integer to the power of an integer, the innermost of a tower."""
_BRACKETED = re.compile(r"[{(]{2}([-+]?\d++)[)}]{2}")
_LARGE = re.compile(r"\^[{(]*[-+]?\d{4}|(?<!\d)\d{4,}+!|![)\]}]*!|\\uparrow")
MAX_DIGITS = 10_000
"""Of all powers of integers in an expression, together."""


@dataclass(frozen=True)
class Answer:
    """An answer and its parts."""

    kind: Kind
    text: str
    """Of a leaf: the cleaned expression. Of an interval: its two brackets. Of an equation: the variable on its left, or
    empty where that is an expression. Of words: the words in lower case."""
    parts: tuple[Answer, ...] = ()
    unit: str = ""
    """Of a leaf: what stood after the number, in one spelling."""


def last_box(text: str) -> tuple[str | None, bool]:
    """What the last balanced \\boxed{} or \\fbox{} holds, None where there is none; and whether a later box was left
    open. Of boxes in boxes the innermost counts. One pass over the text."""
    # Of each open brace: where the box's content starts, or None for another brace; and whether a box closed within.
    stack: list[tuple[int | None, bool]] = []
    content: str | None = None
    closed_at = 0
    for token in _BOX_OR_BRACE.finditer(text):
        kind = token.lastgroup
        if kind == "box":
            stack.append((token.end(), False))
        elif kind == "open":
            stack.append((None, False))
        elif kind == "close" and stack:
            start, has_box = stack.pop()
            if start is not None and not has_box:
                content, closed_at = text[start : token.start()], token.start()
            if stack and (start is not None or has_box):
                stack[-1] = (stack[-1][0], True)
    return content, any(start is not None and start > closed_at for start, _ in stack)


def is_balanced(text: str) -> bool:
    """Whether braces close in the order they open, those of \\{ and \\} not counted."""
    depth = 0
    for token in _BOX_OR_BRACE.finditer(text):
        depth += {"close": -1, "escaped": 0}.get(token.lastgroup or "", 1)
        if depth < 0:
            return False
    return depth == 0


def num_boxes(text: str) -> int:
    """Boxes that are opened, whether or not they are closed."""
    return len(_BOX.findall(text))


def clean(text: str) -> str:
    """One spelling of what is drawn alike: fences, spaces, styles, fractions, degrees, dollar and percent signs."""
    # White space first: patterns below must not meet long runs of it.
    text = re.sub(r"\s+", " ", text).strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "$\"'":
        text = text[1:-1].strip()
    for opening, closing in (("\\(", "\\)"), ("\\[", "\\]")):
        if text.startswith(opening) and text.endswith(closing):
            text = text[2:-2].strip()
    text = _THOUSANDS.sub("", text.replace("\\!", ""))
    text = _FENCE.sub("", _STYLE.sub("", text))
    text = text.replace("\\lbrace", "\\{").replace("\\rbrace", "\\}").replace("\\lvert", "|").replace("\\rvert", "|")
    text = re.sub(" +", " ", _SPACES.sub(" ", text))
    text = re.sub(r"\\text ?\{ ?(or|and) ?\}", r" \1 ", text)
    text = _FRACTION.sub(r"\\frac", text)
    text = _SHORT_FRACTION.sub(r"\\frac{\1}{\2}", text)
    text = _DEGREES.sub("", text)
    text = _PRIME.sub(lambda match: "'" * max(1, (match[1] or "").count("p")), text).replace('"', "''")
    text = text.replace("\\%", "%").replace("\\$", "$").replace("×", "\\times ").replace("·", "\\cdot ")
    text = text.replace("−", "-").replace("π", "\\pi ").replace("∞", "\\infty ").replace("√", "\\sqrt ")
    text = re.sub(r"([\^_])\{(\w)\}", r"\1\2", text)
    text = re.sub(r"\s+", " ", text).strip()
    while text.endswith((".", ",", ";")) and not text.endswith("\\,"):
        text = text[:-1].rstrip()
    return text


def parse_answer(text: str) -> Answer:
    """The parts of an answer. Never fails: what has no structure is a leaf.

    Lists ("1, 2", "1 or 2", "x = 1, x = 2") and sets compare in any order, tuples, intervals and matrices in theirs.
    "1,234" is a number, "(1,234)" a pair. An equation whose left side is a variable is what the variable is. Units, a
    percent sign and a currency sign beside a number are read over.
    """
    return _parse(clean(text), depth=0)


def _parse(text: str, depth: int) -> Answer:
    number = _as_number(text)
    if number is not None:
        return Answer("leaf", number)
    if depth > 6 or len(text) > MAX_EXPRESSION:
        return Answer("leaf", text)
    words = _TEXT.fullmatch(text)
    if words:
        text = words.group(1).strip()
        if re.fullmatch(r"[a-zA-Z][a-zA-Z' .-]*[a-zA-Z.]", text) and not _WORD_BETWEEN.search(text):
            return Answer("words", _spelling(text))
    matrix = _MATRIX.fullmatch(text)
    if matrix:
        rows = [row for row in re.split(r"\\\\", matrix.group(2)) if row.strip()]
        return Answer(
            "matrix",
            "v" if matrix.group(1)[0] in "vV" else "",
            tuple(
                Answer("row", "", tuple(_parse(clean(cell), depth + 1) for cell in _split(row, "&"))) for row in rows
            ),
        )
    text = _MEMBER.sub("", text, count=1) if _MEMBER.match(text) else text
    measured = _WITH_UNIT.fullmatch(text)
    if measured:
        value, wrapped, power, bare = measured.groups()
        if _is_unit(wrapped or bare or "", power or ""):
            number = _as_number(value)
            return Answer(
                "leaf", value.strip() if number is None else number, unit=_unit(f"{wrapped or bare or ''}{power or ''}")
            )
    separated = _split_list(text)
    if len(separated) > 1:
        return Answer("list", "", _distinct([_parse(part, depth + 1) for part in separated]))
    unions = [part.strip() for part in _UNION.split(text)]
    if len(unions) > 1:
        return Answer("union", "", tuple(_parse(part, depth + 1) for part in unions))
    bracketed = _bracketed(text, depth)
    if bracketed is not None:
        return bracketed
    sides = _split_at(text, _RELATION)
    if len(sides) > 1 and not _INEQUALITY.search(text):
        left = sides[0].replace(" ", "")
        values = {parse_number(number) for side in sides[1:] if (number := _as_number(side)) is not None}
        # "x = 43 = 42" says two things.
        if _VARIABLE.fullmatch(left) and len(values) < 2:
            return Answer("equation", left, (_parse(sides[-1], depth + 1),))
        return Answer("equation", "", (Answer("leaf", text),))
    spread = _spread_plus_minus(text)
    if spread:
        return Answer("list", "", tuple(_parse(part, depth + 1) for part in spread))
    # Bare letters are a product unless they are plainly words: "abc" is a times b times c, "even" is a word.
    bare = re.split("[ .]+", text.strip(". "))
    if all(re.fullmatch("[a-zA-Z']{2,}", word) for word in bare) and sum(map(len, bare)) >= 4:
        return Answer("words", _spelling(text))
    return Answer("leaf", text)


def _spelling(words: str) -> str:
    return re.sub(r"[ .]+", " ", words).strip().lower()


def same(gold: Answer, response: Answer, leaf: Callable[[str, str], Comparison]) -> Comparison:
    """Whether two answers are the same, given what compares two leaves.

    "unknown" where it depends on a pair of leaves that `leaf` does not know about.
    """
    if response.kind == "equation" and gold.kind != "equation":
        # "x = 5" for 5: what the variable is. "2 + 3 = 5" is no answer to anything.
        return same(gold, response.parts[0], leaf) if response.text else "different"
    if gold.kind == "equation" and response.kind != "equation":
        return same(gold.parts[0], response, leaf) if gold.text else "different"
    if gold.kind == "equation":
        if gold.text and gold.text == response.text:
            return same(gold.parts[0], response.parts[0], leaf)
        if gold.text and response.text and _is_number(gold.parts[0]) and _is_number(response.parts[0]):
            return "different"
        return _whole(gold, response, leaf)
    unordered = {"list", "set", "union"}
    if gold.kind in unordered and response.kind in unordered:
        if ("union" in (gold.kind, response.kind)) and gold.kind != response.kind:
            return "different"
        return _match(gold.parts, response.parts, leaf)
    if gold.kind != response.kind:
        if {gold.kind, response.kind} == {"leaf", "words"}:
            return _verdict(gold.text.replace(" ", "").lower() == response.text.replace(" ", "").lower())
        return "different"
    if gold.kind == "words":
        return _verdict(gold.text == response.text)
    if gold.kind == "leaf":
        if gold.unit and response.unit and gold.unit != response.unit:
            return "different"
        return compare_leaves(gold.text, response.text, leaf)
    if gold.text != response.text:
        return "different"
    return _in_order(gold.parts, response.parts, leaf)


def compare_leaves(gold: str, response: str, leaf: Callable[[str, str], Comparison]) -> Comparison:
    """Same text, or two numbers of the same value; all else is left to `leaf`."""
    if _squeezed(gold) == _squeezed(response):
        return "same"
    if not response:
        return "different"
    gold_number, response_number = parse_number(gold), parse_number(response)
    if gold_number is not None and response_number is not None:
        return _verdict(gold_number == response_number)
    if any(_TEXT.search(side) or _WORD_BETWEEN.search(side) for side in (gold, response)):
        # Words that are no unit change what is said: 5 million is not 5.
        return "different"
    if _APART.search(response) or max(len(gold), len(response)) > MAX_EXPRESSION:
        return "different"
    return leaf(gold, response)


def is_bomb(text: str) -> bool:
    """Whether an expression is one that grows beyond any machine when it is worked out: powers beyond `MAX_DIGITS`,
    exponents of four digits on anything but an integer, factorials of large numbers, brackets nested beyond reading."""
    depth = deepest = 0
    for character in text:
        depth += (character in _OPENING) - (character in _CLOSING)
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        return True
    return _LARGE.search(_powers_worked_out(text.replace(" ", "").replace("**", "^"))) is not None


def _powers_worked_out(text: str) -> str:
    """The text with powers of integers as the numbers that they are, from the innermost of a tower outwards: large ones
    as some large number, those beyond `MAX_DIGITS` as what `_LARGE` finds."""
    num_digits = 0.0

    def value(power: re.Match[str]) -> str:
        nonlocal num_digits
        # int() refuses texts of more than 4,300 digits.
        base = int(power[1]) if len(power[1]) <= MAX_EXPRESSION else 10**MAX_EXPRESSION
        exponent = abs(int(power[2] or power[3] or power[4]))
        digits = exponent * math.log10(max(base, 1))
        num_digits += digits
        number = "9!!" if num_digits > MAX_DIGITS else "9" * 9 if digits > 9 else str(base**exponent)
        return f"{number}*" if power[5] else number

    while True:
        worked_out = _POWER.sub(value, _BRACKETED.sub(r"{\1}", text))
        if worked_out == text or num_digits > MAX_DIGITS:
            return worked_out
        text = worked_out


def _is_number(answer: Answer) -> bool:
    return answer.kind == "leaf" and parse_number(answer.text) is not None


def _whole(gold: Answer, response: Answer, leaf: Callable[[str, str], Comparison]) -> Comparison:
    """Two equations, compared as such: either may have its sides the other way round."""
    sides = [
        answer.parts[0].text if not answer.text else f"{answer.text}={_spelled(answer.parts[0])}"
        for answer in (gold, response)
    ]
    return compare_leaves(sides[0], sides[1], leaf)


def _spelled(answer: Answer) -> str:
    return answer.text if answer.kind in ("leaf", "words") else ",".join(map(_spelled, answer.parts))


def _match(gold: Sequence[Answer], response: Sequence[Answer], leaf: Callable[[str, str], Comparison]) -> Comparison:
    """Whether the parts are the same in some order: each part of the response is used once."""
    if len(gold) != len(response) or len(gold) > MAX_PARTS:
        return "different"
    free = list(response)
    uncertain = False
    for part in gold:
        # What needs no algebra first: comparing expressions is what takes time.
        cheap = [same(part, other, undecided) for other in free]
        found = "same" if "same" in cheap else "different"
        place = cheap.index("same") if "same" in cheap else -1
        for i, other in enumerate(free):
            if found == "same":
                break
            if cheap[i] == "unknown":
                verdict = same(part, other, leaf)
                found, place = (verdict, i) if verdict != "different" else (found, place)
        if found == "different":
            return "different"
        if found == "same":
            del free[place]
        uncertain |= found == "unknown"
    return "unknown" if uncertain else "same"


def undecided(gold: str, response: str) -> Comparison:
    """Compares no leaves: says what can be told without algebra."""
    return "unknown"


def _in_order(gold: Sequence[Answer], response: Sequence[Answer], leaf: Callable[[str, str], Comparison]) -> Comparison:
    if len(gold) != len(response) or len(gold) > MAX_PARTS:
        return "different"
    verdicts = {same(a, b, leaf) for a, b in zip(gold, response, strict=True)}
    return "different" if "different" in verdicts else "unknown" if "unknown" in verdicts else "same"


def _verdict(equal: bool) -> Comparison:
    return "same" if equal else "different"


def _squeezed(text: str) -> str:
    """Without spaces, except between digits: "8 2" is not 82."""
    return re.sub(r"(?<!\d) +| +(?!\d)", "", text)


def _distinct(parts: Sequence[Answer]) -> tuple[Answer, ...]:
    """A list of equations about one variable is a list of what it is."""
    variables = {part.text for part in parts if part.kind == "equation"}
    if len(variables) == 1 and "" not in variables and parts[0].kind == "equation":
        return tuple(part.parts[0] if part.kind == "equation" else part for part in parts)
    return tuple(parts)


def _as_number(text: str) -> str | None:
    """A number as `parse_number` reads it, without a currency sign before it or a percent sign after; None for other
    text."""
    text = text.strip().removesuffix("%").rstrip()
    sign = "-" if text.startswith("-$") else ""
    if text.startswith(("$", "-$")):
        text = sign + text[len(sign) + 1 :].lstrip()
    if _GROUPS_OF_THREE.fullmatch(text):
        text = text.replace(" ", "")
    mixed = _MIXED.fullmatch(text)
    if mixed:
        text = "{} {}/{}".format(*mixed.groups())
    return None if parse_number(text) is None else text


def _is_unit(text: str, power: str) -> bool:
    """Whether words after a number are its unit: no number, nothing to work out, nothing that takes it back."""
    words = [word for word in re.split(r"[ /.()]+", text) if word]
    if not words:
        return not power
    names = [re.sub(r"\^?[23]$", "", word) for word in words]
    return not _NEEDS_A_NOUN.fullmatch(names[-1].lower()) and all(map(_is_unit_word, names))


def _is_unit_word(word: str) -> bool:
    if len(word) < 3:
        return _SHORT_UNITS.fullmatch(word) is not None
    lower = word.lower()
    return lower.isalpha() and not _NO_UNIT.fullmatch(lower) and not _NUMBER_WORD.fullmatch(lower)


def _unit(text: str) -> str:
    """One spelling of a unit: no spaces, no points, no plural."""
    words = re.sub(r"[.^{}]", "", text.lower()).split()
    return " ".join(word.removesuffix("s") if len(word) > 2 else word for word in words)


def _bracketed(text: str, depth: int) -> Answer | None:
    """A set, a tuple, an interval or what stands in superfluous parentheses."""
    if text.startswith("\\{") and text.endswith("\\}"):
        inner = text[2:-2]
        parts = [part for part in _split(inner, ",") if part.strip()]
        return Answer("set", "", tuple(_parse(part.strip(), depth + 1) for part in parts))
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]" or not _encloses(text):
        return None
    parts = [part.strip() for part in _split(text[1:-1], ",")]
    brackets = text[0] + text[-1]
    if len(parts) == 1:
        return _parse(parts[0], depth + 1) if brackets == "()" else None
    inner = tuple(_parse(part, depth + 1) for part in parts)
    if brackets == "()" or len(parts) != 2:
        return Answer("tuple", "()", inner)
    return Answer("interval", brackets, inner)


def _encloses(text: str) -> bool:
    """Whether the first bracket of the text is closed by its last."""
    depth, position = 0, 0
    while position < len(text):
        character = text[position]
        if character == "\\" and text[position : position + 2] not in ("\\{", "\\}"):
            position += 1
            continue
        depth += (character in _OPENING) - (character in _CLOSING)
        position += 1
        if depth == 0 and position < len(text):
            return False
    return depth == 0


def _split(text: str, separator: str) -> list[str]:
    """At separators outside all brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _split_at(text: str, pattern: re.Pattern[str]) -> list[str]:
    """At matches of the pattern outside all brackets."""
    parts, start = [], 0
    for match in pattern.finditer(text):
        before = text[: match.start()]
        if sum(map(before.count, _OPENING)) == sum(map(before.count, _CLOSING)):
            parts.append(text[start : match.start()].strip())
            start = match.end()
    return [*parts, text[start:].strip()]


def _split_list(text: str) -> list[str]:
    """The alternatives or members of a list that has no brackets."""
    if _INEQUALITY.search(text):
        # "x < 1 or x > 3" is one statement, and not "x < 1 and x > 3".
        return [text]
    spelled = _TEXT.sub(r" \1 ", text) if _WORD_BETWEEN.search(text) else text
    parts = [piece for part in _split_at(spelled, _WORD_BETWEEN) for piece in _split(part, ",")]
    parts = [piece for part in parts for piece in _split(part, ";")]
    return [stripped for part in parts if (stripped := part.strip())]


def _spread_plus_minus(text: str) -> list[str]:
    """Both readings of an expression with one plus-minus sign; none where it has none, or several."""
    if len(_PLUS_MINUS.findall(text)) != 1:
        return []
    return [re.sub(r"^\s*\+", "", _PLUS_MINUS.sub(sign, text)).strip() for sign in ("+", "-")]

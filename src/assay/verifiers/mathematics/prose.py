"""The answer of a response in prose: what a stated form announces, or the last expression of the last sentence with
one."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from assay.verifiers.mathematics.reader import read_answer
from assay.verifiers.mathematics.units import BARE, unit_of

_STATED = re.compile(
    r"####+(?!#)|(?m:^A:)|答案(?:是|为)?[ \t]*:?|(?:answers?|solution)\b[*_]{0,3}(?:"
    r"[ \t]*(?:is|are|would be|was|equals)\b[ \t]*(?:therefore|thus|then|simply)?[ \t]*[:=]?"
    r"|[ \t]+(?:to|of|for|in|in terms)\b[^.\n:$]{1,60}?[ \t](?:is|are|would be|:)[ \t]*:?"
    r"|[*_ \t]{0,4}[:=]|[*_ \t]{0,4}\n|[ \t]+(?=[$\\]))[*_]{0,3}",
    re.IGNORECASE,
)
_DISPLAY = (("$$", "$$"), ("\\[", "\\]"), ("\\(", "\\)"))
_OPENING = re.compile(r"\$\$?|\\\[|\\\(|\\begin\{(?:align|gather|equation|eqnarray|multline)\*?\}")
_CLOSING = {**dict(_DISPLAY), "$": "$"}
MAX_FORMULA = 3_000
"""Characters of a formula in prose."""
_ROWS = re.compile(r"\\(?:begin|end)\{(?:align|gather|equation|eqnarray|multline|aligned|split|gathered)\*?\}")
_PROSE_INSIDE = re.compile(r"(?<![\\a-zA-Z{])[a-zA-Z]{2,} +[a-zA-Z]{2,}(?![a-zA-Z}])")
_AMOUNT = re.compile(r"\d[\d,.]*,? [a-z]{2,}[a-z ]* $")
_SENTENCE_END = re.compile(r"[.!?][)\"'*_]*(?=\s|$)|[。\n]")
_SIGNS = r"[-+*/^=<>()\[\]{}|,;:!.%$€£°√π∞≤≥≠≈±×·÷\d\\_'&]*"
_MATH_WORD = re.compile(
    rf"{_SIGNS}(?:(?:\\[a-zA-Z]+|[a-zA-Z](?![a-zA-Z])|sqrt|sin|cos|tan|ln|log|pi|or(?=[(\d])|\d[eE]\d){_SIGNS})*"
)
_EMPHASIS = re.compile(r"(?<![\w)\]}*])(?:\*\*|__)(?=\S)|(?<=\S)(?:\*\*|__)(?![\w(\[{*\\])")
_GLUED_AREA = re.compile(r"([-+]?\d[\d,]*(?:\.\d+)?)(?:[cdk]?m|ft|in)\^[23]")
_CALCULATED = re.compile(r"<<[^<>\n]{0,200}>>")
"""The calculations that GSM8K's solutions write before a result: 3*4 = <<3*4=12>>12."""
_LETTER = re.compile(r"[a-zA-Z]'?|\\[a-z]+")
_STRAY = ' \t\n.,;:*_`"“”。'
_DENIED = re.compile(
    r"(?:not|never|neither|none of|unknown|unclear|between|above|below|over|under|at (?:least|most)"
    r"|(?:more|less|greater|fewer|larger|smaller|other) than)\b",
    re.IGNORECASE,
)
_DENIED_BEFORE = re.compile(
    r"(?:\b(?:not|never|cannot)|n['’]t)(?:\s+(?:be|equal|equals|to|simply|exactly|just))*[\s$(*]*$", re.IGNORECASE
)
_DENIED_AFTER = re.compile(
    r"[\s$)*]*\b(?:(?:is|are|was|were|would be|can|could)\s*(?:not\b|n['’]t\b|never\b|wrong\b|incorrect\b)|cannot\b)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(
    r"\b(?:step|equations?|eq|figure|fig|table|theorem|lemma|problem|question|example|section|chapter|page|exercise)\.?\s*$",
    re.IGNORECASE,
)
"""Words whose number names a place in a text: "step 3", "equation (4)"."""
_NO_SOLUTION = re.compile(r"\b(?:no (?:real )?solutions?|empty set)\b", re.IGNORECASE)
MAX_WORDS = 4
"""Words that an answer in words may have."""
MAX_JOINED = 30
"""Characters between two expressions that are one list."""
_JOINS = re.compile(r"\s*(?:,|;|and|or|,\s*and|,\s*or|,?\s*\(\s*or)\s*", re.IGNORECASE)


def without_emphasis(text: str) -> str:
    """The text without Markdown's signs of bold type; those of a power stay: 2**3, x ** 2."""
    return _EMPHASIS.sub("", text) if "**" in text or "__" in text else text


@dataclass(frozen=True)
class _Piece:
    """An expression in a text."""

    start: int
    end: int
    content: str


def prose_answer(text: str) -> tuple[str, bool] | None:
    """The answer of a response without a box, and whether the text ends with it; None where there is none.

    What the last stated form announces ("The final answer is $34$.", "Answer: 3/4", "#### 12"), where that has an
    expression or a number; else the last expression or number of the last sentence with one. Several that are joined
    by commas, "and" or "or" are one list.

    Example:
        >>> prose_answer("There are 3 boxes. The answer is $12$ apples. I hope it helps.")
        ('12', False)
    """
    text = _CALCULATED.sub("", without_emphasis(text))
    found = _stated_answer(text) or _last_expression(text)
    return None if found is None or not found[0] else (found[0], found[1] >= len(text.rstrip(_STRAY)))


def _stated_answer(text: str) -> tuple[str, int] | None:
    """Return what the last stated form announces, and its end; an empty text where it announces that the answer is
    unknown."""
    words: tuple[str, int] | None = None
    for stated in reversed(list(_STATED.finditer(text))[-20:]):
        start, end = _announced(text, stated.end())
        said = text[start:end]
        plain = said.strip(_STRAY).strip()
        if not plain:
            continue
        if _DENIED.match(plain):
            return "", end
        pieces = _pieces(text, start, end)
        if pieces:
            # What is announced stands first, unless words introduce it: "The largest $n$ is 34."
            leads = not text[start : pieces[0].start].strip(_STRAY + "$(")
            return _joined(text, pieces, forward=leads)
        if words is None and len(plain.split()) <= MAX_WORDS and _reads(plain):
            words = plain, end
    return words


def _last_expression(text: str) -> tuple[str, int] | None:
    """The last expression of the last sentence that has one; else the text itself where that is an answer."""
    for start, end in reversed(_sentences(text)):
        pieces = _pieces(text, start, end)
        # "There are $501$ values of $k$": a letter alone is what the sentence is about.
        pieces = [piece for piece in pieces if not _LETTER.fullmatch(piece.content.strip())] or pieces
        pieces = [piece for piece in pieces if not _is_reference(text, start, piece)]
        if pieces:
            last = pieces[-1]
            denied = _DENIED_BEFORE.search(text, max(start, last.start - 60), last.start)
            if denied or _DENIED_AFTER.match(text, last.end, end):
                return "", end
            return _joined(text, pieces)
        if _NO_SOLUTION.search(text, start, end):
            return "no solution", end
    whole = text.strip(_STRAY).strip()
    return (whole, len(text)) if whole and len(whole.split()) <= 2 and _reads(whole) else None


def _is_reference(text: str, start: int, piece: _Piece) -> bool:
    """Return True for the number of a step, an equation or a page."""
    number = re.fullmatch(r"\(?\d{1,4}(?:\.\d{1,3})*\)?", piece.content.strip(" :"))
    return number is not None and _REFERENCE.search(text, max(start, piece.start - 20), piece.start) is not None


def _reads(text: str) -> bool:
    """Return True where a text is an answer as a whole."""
    return len(text) <= 400 and read_answer(text).kind not in ("text", "list", "equation")


def _announced(text: str, start: int) -> tuple[int, int]:
    """Return start and end of what is announced, to the end of its sentence; a formula on lines of its own is read
    whole."""
    while start < len(text) and text[start] in " \t\n:*_":
        start += 1
    for opening, closing in _DISPLAY:
        if text.startswith(opening, start):
            close = text.find(closing, start + len(opening))
            if close >= 0:
                after = close + len(closing)
                return start, _sentence_end(text, after)
    return start, _sentence_end(text, start)


def _sentence_end(text: str, start: int) -> int:
    for span_start, end in _sentences(text):
        if span_start <= start < end or start <= span_start:
            return end
    return len(text)


def _sentences(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each sentence; a formula ends none."""
    formulas = _formulas(text)
    found, start, index = [], 0, 0
    for match in _SENTENCE_END.finditer(text):
        while index < len(formulas) and formulas[index].end <= match.start():
            index += 1
        if index < len(formulas) and formulas[index].start <= match.start() < formulas[index].end:
            continue
        found.append((start, match.end()))
        start = match.end()
    return [*found, (start, len(text))]


def _formulas(text: str) -> list[_Piece]:
    """Formulas between dollar signs and the like, in order; a dollar sign before an amount in prose opens none."""
    found: list[_Piece] = []
    end = 0
    for match in _OPENING.finditer(text):
        start, opening = match.span()[0], match.group()
        if start < end or (start > 0 and text[start - 1] == "\\" and opening[0] == "$"):
            continue
        inside = start + len(opening)
        closing = _CLOSING.get(opening) or opening.replace("begin", "end")
        close = text.find(closing, inside, inside + MAX_FORMULA)
        while close > 0 and opening == "$" and text[close - 1] == "\\":
            close = text.find(closing, close + 1, inside + MAX_FORMULA)
        content = text[inside:close] if close >= 0 else ""
        bare = re.sub(r"\\[a-zA-Z]+\s*\{[^{}]*\}", "", content) if opening == "$" else ""
        if close < 0 or "\n\n" in bare or _PROSE_INSIDE.search(bare) or _AMOUNT.match(bare):
            continue
        end = close + len(closing)
        found.append(_Piece(start, end, _last_row(content) if "&" in content else content))
    return found


def _pieces(text: str, start: int, end: int) -> list[_Piece]:
    """The expressions of a sentence, in order."""
    found: list[_Piece] = []
    last = start
    for formula in _formulas(text[start:end]):
        formula = _Piece(formula.start + start, formula.end + start, formula.content)
        found += _plain_pieces(text, last, formula.start)
        unit = re.compile(r" ?(%|percent(?:age)?\b|pct\b)").match(text, formula.end)
        last = unit.end() if unit else formula.end
        if formula.content.strip():
            found.append(_Piece(formula.start, last, f"{formula.content}{' ' + unit[1] if unit else ''}"))
    return [*found, *_plain_pieces(text, last, end)]


def _last_row(formula: str) -> str:
    """The last row of aligned equations."""
    if "\\begin" in _ROWS.sub("", formula):
        return formula
    rows = [row.replace("&", " ").strip() for row in _ROWS.sub("", formula).split("\\\\")]
    filled = [row for row in rows if row]
    return filled[-1].lstrip("= ") if filled else ""


def _plain_pieces(text: str, start: int, end: int) -> list[_Piece]:
    """Runs of mathematical words in prose that have a digit."""
    found: list[_Piece] = []
    run: list[re.Match[str]] = []
    words = list(re.finditer(r"\S+", text[start:end]))
    for word in [*words, None]:
        if word is not None and len(word.group()) <= 200 and _MATH_WORD.fullmatch(word.group().strip('*`"“”。')):
            run.append(word)
            continue
        if word is not None and run and word.group().lower() in ("and", "or") and word is not words[-1]:
            following = words[words.index(word) + 1].group()
            if any(map(str.isdigit, following)) and _MATH_WORD.fullmatch(following.strip('*`"“”')):
                run.append(word)
                continue
        if run:
            piece = _run_piece(text, start, run, word)
            if piece is not None:
                found.append(piece)
        run = []
        if word is not None:
            number = re.match(r"\(?[-+]?[$€£]?\d[\d,]*(?:\.\d+)?", word.group())
            tail = word.group()[number.end() :].rstrip(".,;:!?)*") if number else ""
            if number and (tail.lower() in BARE or re.fullmatch(r"[a-zA-Z°]{1,3}(?:\^?[23²³])?|-[a-z]+", tail)):
                value = number.group().strip("(")
                found.append(_Piece(start + word.start(), start + word.end(), value))
    return found


def _run_piece(text: str, start: int, run: list[re.Match[str]], following: re.Match[str] | None) -> _Piece | None:
    while run and not any(character.isalnum() or character in "\\)]}π∞" for character in run[-1].group()):
        run = run[:-1]
    while len(run) > 1 and run[-1].group() in ("a", "A", "I"):
        run = run[:-1]
    # Articles and signs before the expression are none of it.
    while run and (run[0].group() in ("a", "A", "I", "-", "=", ":", "–", "*", ",", "and", "or", "•", "|")):
        run = run[1:]
    content = text[start + run[0].start() : start + run[-1].end()] if run else ""
    content = content.strip('*`"“”。 ').rstrip(".,;:!* ").lstrip("=≈ ")
    if not any(map(str.isdigit, content)):
        return None
    if area := _GLUED_AREA.fullmatch(content):
        content = area[1]
    if content.count("(") != content.count(")"):
        content = content.strip("()") if content.count("(") + content.count(")") == 1 else content
    end = start + run[-1].end()
    if following is not None:
        word = following.group().rstrip(".,;:!?*)")
        if word.lower() in BARE and unit_of(word) and not text[end : start + following.start()].strip():
            return _Piece(start + run[0].start(), start + following.end(), f"{content} {word}")
    return _Piece(start + run[0].start(), end, content)


def _joined(text: str, pieces: list[_Piece], *, forward: bool = False) -> tuple[str, int]:
    """The last expression, or going forward the first, with its neighbours that it is listed with."""
    ordered = pieces if forward else pieces[::-1]
    chain = ordered[:1]
    for piece in ordered[1:]:
        first, second = (chain[-1], piece) if forward else (piece, chain[-1])
        gap = text[first.end : second.start]
        if len(gap) > MAX_JOINED or not _JOINS.fullmatch(gap):
            break
        chain.append(piece)
    chain = chain if forward else chain[::-1]
    gaps = (text[one.end : other.start] for one, other in itertools.pairwise(chain))
    joiner = " \\text{ or } " if any(re.search(r"\bor\b", gap) for gap in gaps) else ", "
    return joiner.join(piece.content for piece in chain), chain[-1].end

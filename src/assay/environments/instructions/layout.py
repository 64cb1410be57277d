"""Families about form: paragraphs, sections, bullets, titles, highlights, placeholders, JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from assay.environments.instructions.reading import AnswerText, apart, has_word, unmarked, words_of

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
"""What a constrained response chooses from."""
MAX_DEPTH = 50

_BULLET = re.compile(r"[ \t]{0,12}[*-][ \t]+(\S.*)")
_HIGHLIGHT = re.compile(r"(?<![\w*\\])(\*{1,3})(?![\s*])([^\n*]{1,1000}?)(?<![\s\\])\1(?![\w*])")
_PLACEHOLDER = re.compile(r"(?<![\w\]!\\])\[([^\[\]\n]{1,80})\](?![\[(:])")
_TITLE = re.compile(r"<<([^<>\n]{1,300})>>")
_FENCED = re.compile(r"```(?:json|JSON)?[ \t]*\n(.*)\n[ \t]*```", re.DOTALL)


def number_paragraphs(text: AnswerText, *, num_paragraphs: int) -> bool:
    """It has so many paragraphs, between lines that hold *** and nothing else."""
    parts = _divided(text, "***")
    if parts and not parts[0].strip():
        parts = parts[1:]
    if parts and not parts[-1].strip():
        parts = parts[:-1]
    return len(parts) == num_paragraphs and all(map(has_word, parts))


def two_responses(text: AnswerText) -> bool:
    """Two different responses, with a line of ****** between them."""
    parts = [part for part in _divided(text, "******") if part.strip()]
    said = [" ".join(words_of(part)).casefold() for part in parts]
    return len(parts) == 2 and all(map(has_word, parts)) and said[0] != said[1]


def nth_paragraph_first_word(text: AnswerText, *, num_paragraphs: int, nth_paragraph: int, first_word: str) -> bool:
    """It has so many paragraphs, between blank lines and each with words, and the nth begins with the word."""
    blocks = text.blocks
    if len(blocks) != num_paragraphs or not all(map(has_word, blocks)):
        return False
    words = words_of(blocks[nth_paragraph - 1])
    return words[0].casefold() == first_word.casefold() and len(words) > 1


def multiple_sections(text: AnswerText, *, section_spliter: str, num_sections: int, exactly: bool = False) -> bool:
    """It has so many sections, or more where it need not be exact. Each begins with a line such as SECTION 1, numbered
    from 1 on, and has words of its own."""
    heading = re.compile(rf"{re.escape(section_spliter.strip())}\s+(\d{{1,3}})(?!\w)(.*)", re.IGNORECASE)
    numbers: list[int] = []
    bodies: list[str] = []
    for line in text.lines:
        found = heading.match(unmarked(line))
        if found is not None:
            numbers.append(int(found[1]))
            bodies.append(found[2])
        elif bodies:
            bodies[-1] += f"\n{line}"
    if numbers != list(range(1, len(numbers) + 1)) or not all(map(has_word, bodies)):
        return False
    return len(numbers) == num_sections if exactly else len(numbers) >= num_sections


def number_bullets(text: AnswerText, *, num_bullets: int) -> bool:
    """It has exactly so many bullets, "* " or "- " at the head of a line and words after it: a rule of hyphens, a
    negative number or a line in emphasis is none."""
    found = [bullet[1] for line in text.prose_lines if (bullet := _BULLET.fullmatch(line))]
    return sum(has_word(each, letters=1) for each in found) == num_bullets


def number_highlights(text: AnswerText, *, num_highlights: int) -> bool:
    """It has at least so many highlighted sections: words between asterisks that touch them, outside of code. Products
    (2*3*4), bullets and empty pairs are none; the same one again with no word between is one."""
    prose = re.sub(r"`[^`\n]*`", " ", text.prose)
    spans = [(at.start(), at.end(), at[2]) for at in _HIGHLIGHT.finditer(prose) if has_word(at[2])]
    return apart(spans, prose) >= num_highlights


def number_placeholders(text: AnswerText, *, num_placeholders: int) -> bool:
    """It has at least so many placeholders: words in square brackets. Links, boxes to be ticked, footnotes, lists of
    numbers and empty brackets are none; the same one again with no word between is one."""
    spans = [(at.start(), at.end(), at[1]) for at in _PLACEHOLDER.finditer(text.text) if has_word(at[1])]
    return apart(spans, text.text) >= num_placeholders


def postscript(text: AnswerText, *, postscript_marker: str) -> bool:
    """A line begins with the marker, says something, and has something before it."""
    marker = re.compile(
        re.escape(postscript_marker.strip().rstrip(".")) + r"(?:\.|:|(?=\s))(?!\s*\w\.)(.*)", re.IGNORECASE
    )
    lines = text.lines
    for number in range(len(lines) - 1, 0, -1):
        found = marker.match(unmarked(lines[number]))
        if found is not None:
            return has_word("\n".join([found[1], *lines[number + 1 :]])) and has_word("\n".join(lines[:number]))
    return False


def title(text: AnswerText) -> bool:
    """It has a title in double angular brackets: words that touch them, or on a line of their own. `cout << x >> y` and
    `1 << 2 >> 3` are none."""
    for line in text.prose_lines:
        found = _TITLE.search(line)
        if found is not None and has_word(found[1]):
            alone = unmarked(line).strip() == found.group()
            if alone or (found[1] == found[1].strip() and not line[: found.start()][-1:].isalnum()):
                return True
    return False


def constrained_response(text: AnswerText) -> bool:
    """It says one of the three answers, as a sentence of its own, and none of the others."""
    said = " ".join(text.text.split()).casefold()
    found = [option for option in OPTIONS if option.casefold() in said]
    if len(found) != 1:
        return False
    before = said[: said.index(found[0].casefold())].rstrip("\"'“”*_ ")
    return not before or before[-1] in ".!?:;)\n—-"


def json_format(text: AnswerText) -> bool:
    """All of it is one JSON object or list with something in it, in a fenced block or by itself."""
    fenced = _FENCED.fullmatch(text.text)
    try:
        value = json.loads(fenced[1] if fenced else text.text, parse_constant=_refused, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list) and any(has_word(each, letters=1) for each in _texts(value))


def _divided(text: AnswerText, divider: str) -> list[str]:
    parts = [""]
    for line in text.lines:
        if line.strip().replace(" ", "") == divider:
            parts.append("")
        else:
            parts[-1] += f"{line}\n"
    return parts


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str):
            yield each

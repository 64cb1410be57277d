"""Boxes in a response: which is the answer, and which belong together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from assay.verifiers.mathematics.tokens import argument_end, matching_braces

_OPTIONS = r"(?:\s*\[[^][]{0,80}\]){0,2}"
_BOXES = r"\\(?:boxed|fbox|bbox|framebox|Aboxed)(?![a-zA-Z])"
_BOX = re.compile(rf"{_BOXES}{_OPTIONS}\s*\{{")
_BOX_OR_BRACE = re.compile(
    rf"(?P<box>{_BOXES}{_OPTIONS}\s*\{{)|(?P<bare>\\(?:boxed|fbox)(?![a-zA-Z])\s*)|(?P<escaped>\\.)"
    r"|(?P<open>\{)|(?P<close>\})",
    re.DOTALL,
)
_SPACE = r"(?:[ \t]|\$|\\[()\[\],;:! ]|\\q?quad(?![a-zA-Z])|~|\\\\|&)"
_CONNECTIVE = r"(?:,|;|\\text\s*\{\s*,?\s*(?:and|or)\s*\}|and|or)"
_LABEL = r"\\?[a-zA-Z](?:_\{?\w{1,4}\}?)?\s*=\s*"
_JOINED = re.compile(
    rf"{_SPACE}*(?:\n?{_SPACE}*(?P<connective>{_CONNECTIVE})\s*(?:{_CONNECTIVE})?\s*)?"
    rf"{_SPACE}*(?P<label>{_LABEL})?{_SPACE}*"
)
_LABELLED = re.compile(rf"(?<![\w\\])({_LABEL})\$?\s*$")
_ONLY = re.compile(r"\\boxed\{([^{}\\]*)\}")
"""The commonest box, which needs no count of braces where it is the only one."""
MAX_GAP = 60
"""Characters between two boxes that belong together."""


@dataclass(frozen=True)
class Box:
    """The content and the place of one box."""

    start: int
    end: int
    content: str


def find_boxes(text: str) -> tuple[list[Box], bool]:
    """Every closed box in order, of nested ones the innermost; and whether a box after the last of them was left open.

    A box without braces holds what TeX puts there: \\boxed2, \\boxed\\frac12. \\boxed42, where TeX boxes the 4 and
    everybody means 42, counts as left open. One pass over the text.
    """
    # Of each open brace: where the box and its content start, or None for another brace; whether a box closed within.
    stack: list[tuple[tuple[int, int] | None, bool]] = []
    found: list[Box] = []
    left_open = -1
    braces: dict[int, int] | None = None
    for token in _BOX_OR_BRACE.finditer(text):
        kind = token.lastgroup
        if kind == "box":
            stack.append(((token.start(), token.end()), False))
        elif kind == "open":
            stack.append((None, False))
        elif kind == "bare":
            braces = matching_braces(text) if braces is None else braces
            bare = _without_braces(text, token, braces)
            if bare is None:
                continue
            if not bare.content:
                left_open = token.start()
                continue
            found.append(bare)
            if stack:
                stack[-1] = (stack[-1][0], True)
        elif kind == "close" and stack:
            start, has_box = stack.pop()
            if start is not None and not has_box:
                found.append(Box(start[0], token.end(), text[start[1] : token.start()]))
            if stack and (start is not None or has_box):
                stack[-1] = (stack[-1][0], True)
    closed_at = found[-1].end - 1 if found else 0
    unclosed = any(start is not None and start[1] > closed_at for start, _ in stack)
    return found, unclosed or left_open >= closed_at


def _without_braces(text: str, command: re.Match[str], braces: dict[int, int]) -> Box | None:
    """Return what TeX boxes after \\boxed without a brace; empty where it is the first digit of several, None for
    nothing."""
    end = argument_end(text, command.end(), braces)
    content = "" if end is None else text[command.end() : end]
    if end is None or content.startswith(("\\boxed", "\\fbox")) or not re.search(r"[\w}]", content):
        return None
    goes_on = len(content) == 1 and re.match(r"\w|[.,]\d", text[end : end + 2])
    return Box(command.start(), end, "" if goes_on else content)


def last_box(text: str) -> tuple[str | None, bool]:
    """Return the content of the last box, None where there is none; and True where a later box was left open."""
    found, left_open = find_boxes(text)
    return (found[-1].content if found else None), left_open


def boxed_answer(text: str) -> tuple[str | None, bool]:
    """Return the answer in the last box, and True where a later box was left open. Boxes before the last that a comma,
    "and" or "or" joins to it belong to the answer: as one list, with the names that stand before them."""
    if text.count("box") == 1 and (only := _ONLY.search(text)):
        return only[1], False
    found, left_open = find_boxes(text)
    if not found:
        return None, left_open
    chain = [found[-1]]
    labels: list[str] = []
    connectives: list[str] = []
    for box in reversed(found[:-1]):
        gap = text[box.end : chain[0].start]
        match = _JOINED.fullmatch(gap) if len(gap) <= MAX_GAP else None
        if match is None or ("$$" in gap and not match["connective"]):
            break
        chain.insert(0, box)
        labels.insert(0, match["label"] or "")
        connectives.append(match["connective"] or ",")
        if len(chain) > 200 and len({one.content for one in chain}) > 100:
            break
    if len(chain) == 1:
        return chain[0].content, left_open
    before = _LABELLED.search(text[max(0, chain[0].start - 20) : chain[0].start])
    labels.insert(0, before[1] if before else "")
    contents = [box.content for box in chain]
    if all(labels):
        contents = [f"{label}{content}" for label, content in zip(labels, contents, strict=True)]
    joiner = " \\text{ or } " if any("or" in connective for connective in connectives) else ", "
    return joiner.join(dict.fromkeys(contents)), left_open


def is_balanced(text: str) -> bool:
    """Return True where braces close in the order they open, those of \\{ and \\} not counted."""
    depth = 0
    for token in _BOX_OR_BRACE.finditer(text):
        depth += {"close": -1, "escaped": 0, "bare": 0}.get(token.lastgroup or "", 1)
        if depth < 0:
            return False
    return depth == 0


def num_boxes(text: str) -> int:
    """Boxes that are opened, whether or not they are closed."""
    return len(_BOX.findall(text))

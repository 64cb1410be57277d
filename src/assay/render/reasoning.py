"""Reasoning blocks: which part of a response is the model's thinking, and which its answer.

A reasoning block stands at the head of a response, in one of the pairs of tags that chat models are trained with. The
same tags in a string, in a comment or in prose are text. Where the chat template opens the block, the renderer puts the
opening tag at the head of the message. Responses from elsewhere may lack it: then a closing tag that stands as such
(not quoted, not within a fenced block, not within a sentence) ends the block.
"""

from __future__ import annotations

import collections
import functools
import itertools
import re
from collections.abc import Sequence
from typing import NamedTuple


class Tags(NamedTuple):
    """The tags around a reasoning block."""

    opening: str
    closing: str
    needs_closing: bool = False
    """True where the opening alone is ordinary text, such as "Here is my thought process:"."""


_WORDS = (
    *("think", "thinking", "thought", "thoughts", "reason", "reasoning", "analysis", "scratchpad", "reflection"),
    *("seed:think", "inner_monologue"),
)
REASONING_TAGS: tuple[Tags, ...] = (
    *(Tags(f"<{word}>", f"</{word}>") for word in _WORDS),
    Tags("[THINK]", "[/THINK]"),  # Magistral
    Tags("\u25c1think\u25b7", "\u25c1/think\u25b7"),  # Kimi
    Tags("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThinker
    Tags("<|START_THINKING|>", "<|END_THINKING|>"),  # Command A
    Tags("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus
    Tags("<|channel>thought", "<channel|>"),  # Gemma
    Tags("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),  # gpt-oss
    Tags("<|channel|>commentary<|message|>", "<|channel|>final<|message|>"),
    Tags("analysis", "assistantfinal", needs_closing=True),  # the same without its special tokens
    Tags("Here is my thought process:", "Here is my response:", needs_closing=True),  # Granite
    Tags("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", needs_closing=True),  # Apriel
)
"""The pairs of tags that are known. Upper and lower case are the same."""

_QUOTES = "'\"`"
_MAX_LOOK_BACK = 200
"""Characters of a line before a tag that are looked at."""
_MAX_TAGS = 1000
"""Tags of a text that are looked at: the first of an opened block, the last of a text that opens none."""
_MAX_UNOPENED = 1 << 20
"""Characters of a text that opens no block, from its end, in which a closing tag is looked for."""
_MAX_BLOCKS = 16
"""Blocks that may follow each other at the head."""
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)


def strip_reasoning(text: str, tags: Sequence[tuple[str, str]] = ()) -> str:
    """Return what comes after the reasoning block at the head of a text; an unfinished block leaves nothing.

    Args:
        tags: pairs of opening and closing tag beside `REASONING_TAGS`.

    Example:
        >>> strip_reasoning("<think>2 + 2 = 5?</think>4"), strip_reasoning("4, without a <think> tag")
        ('4', '4, without a <think> tag')
    """
    known = (*(Tags(opening, closing) for opening, closing in tags), *REASONING_TAGS) if tags else REASONING_TAGS
    start = 0
    for _ in range(_MAX_BLOCKS):
        pair = _opening_at(text, start, known)
        end = -1 if pair is None else _end_of_opened(text, start, pair)
        if pair is not None and end < 0 and not pair.needs_closing:
            return ""
        if end < 0:
            break
        start = end
    return text[start:] if start else text[_end_of_unopened(text, known) :]


def opened_reasoning(prompt: str) -> str:
    """Return what the end of a prompt opens a reasoning block with: the tag, and what follows it; "" where it opens
    none."""
    found = ""
    for pair in REASONING_TAGS:
        at = -1 if pair.needs_closing else prompt.rfind(pair.opening)
        if at >= 0 and pair.closing not in prompt[at:] and len(prompt) - at > len(found):
            found = prompt[at:]
    return found


def closing_tag(opening: str) -> str:
    """Return the closing tag of what begins with an opening tag.

    Raises:
        ValueError: it begins with none.
    """
    pair = _opening_at(opening, 0, REASONING_TAGS)
    if pair is None:
        raise ValueError(f"{opening[:80]!r} opens no reasoning block")
    return pair.closing


@functools.lru_cache(maxsize=64)
def _openings(known: tuple[Tags, ...]) -> tuple[int, tuple[str, ...]]:
    """The length of the longest opening tag, and every one in lower case."""
    return max(len(pair.opening) for pair in known), tuple(pair.opening.lower() for pair in known)


@functools.lru_cache(maxsize=64)
def _closings(known: tuple[Tags, ...]) -> dict[str, str]:
    """The opening tag of each closing one, in lower case, of tags that are no ordinary text."""
    return {pair.closing.lower(): pair.opening.lower() for pair in known if not pair.needs_closing}


def _opening_at(text: str, start: int, known: tuple[Tags, ...]) -> Tags | None:
    """The tags that open a block here, after blank space."""
    longest, openings = _openings(known)
    head = text[start : start + 4 * longest]
    while head and not head.strip() and len(head) < len(text) - start:
        head = text[start : start + 2 * len(head)]
    head = head.lstrip().lower()
    if not head.startswith(openings):
        return None
    return next(pair for pair, opening in zip(known, openings, strict=True) if head.startswith(opening))


@functools.lru_cache(maxsize=64)
def _any_of(tags: frozenset[str]) -> re.Pattern[str]:
    """A pattern of these tags in upper or lower case; their first characters come first, which makes it a quick one."""
    first = "".join(sorted({re.escape(tag[0]) for tag in tags}))
    return re.compile(f"(?=[{first}])(?:{'|'.join(map(re.escape, sorted(tags, reverse=True)))})", re.IGNORECASE)


@functools.lru_cache(maxsize=64)
def _either(known: tuple[Tags, ...]) -> re.Pattern[str]:
    closings = _closings(known)
    return _any_of(frozenset([*closings, *closings.values()]))


def _end_of_opened(text: str, start: int, pair: Tags) -> int:
    """Return the position where the answer begins, after a block that was opened; -1 where the block never ends.

    The first closing tag that is not quoted ends it; one that reads as a word of a sentence only where no other does.
    """
    spare = -1
    for match in itertools.islice(_any_of(frozenset([pair.closing])).finditer(text, start), _MAX_TAGS):
        if pair.needs_closing or not _is_quoted(text, match.start(), match.end()):
            if not _is_in_sentence(text, match.start(), match.end()):
                return match.end()
            spare = match.end() if spare < 0 else spare
    return spare


def _end_of_unopened(text: str, known: tuple[Tags, ...]) -> int:
    """Return the position where the answer begins, in a text that may begin within a block that was opened before it;
    else 0."""
    closings = _closings(known)
    either = _either(known)
    fences: list[tuple[int, int]] | None = None
    opened: str | None = None
    opened_as_text = end = 0
    for match in collections.deque(either.finditer(text, max(0, len(text) - _MAX_UNOPENED)), _MAX_TAGS):
        tag, at = match.group().lower(), match.start()
        if tag not in closings:
            opened, opened_as_text = tag, _is_quoted(text, at, match.end())
            continue
        is_mention = _is_quoted(text, at, match.end()) or _is_in_sentence(text, at, match.end())
        is_mention = is_mention or (len(before := _line_before(text, at)) > 1 and not before.strip())  # indented: code
        is_pair, opened = opened == closings[tag], None
        if is_mention or (is_pair and (opened_as_text or not _is_alone(text, at, match.end()))):
            continue
        fences = _fenced(text) if fences is None else fences
        if not any(first < at < last for first, last in fences):
            end = match.end()
    return end


def _line_before(text: str, at: int) -> str:
    first = max(0, at - _MAX_LOOK_BACK)
    return text[max(first, text.rfind("\n", first, at) + 1) : at]


def _is_quoted(text: str, at: int, end: int) -> bool:
    """Return whether a tag stands in quotation marks or backticks that its line opens."""
    after = text[end : end + 1]
    before = _line_before(text, at)
    if after in _QUOTES and after and before.count(after) % 2:
        return True
    return before[-1:] in _QUOTES and bool(before) and before.count(before[-1]) % 2 == 1


def _is_in_sentence(text: str, at: int, end: int) -> bool:
    """Return whether a tag reads as a word: "the </think> tag", "I left out </think>."."""
    before, after = _line_before(text, at), text[end : end + 2]
    if not before.strip() or not before[-1].isspace():
        return False
    return after[:1] in (*".,;:)?!", "") or (after[:1] in " \t" and (after[1:].islower() or not after[1:].strip()))


def _is_alone(text: str, at: int, end: int) -> bool:
    """Return whether nothing else stands on the line of a tag."""
    return not _line_before(text, at).strip() and text[end : end + 1] in ("", "\n", "\r")


def _fenced(text: str) -> list[tuple[int, int]]:
    """Return the ranges of the fenced blocks that are closed. A fence with a language within a block begins another
    one: in a block of reasoning, nobody closes them all."""
    blocks: list[tuple[int, int]] = []
    opening: tuple[int, str] | None = None
    for match in _FENCE.finditer(text):
        run, info = match.groups()
        if opening is not None and run.startswith(opening[1]) and not info.strip():
            blocks.append((opening[0], match.end()))
            opening = None
        elif opening is None or info.strip():
            opening = (match.start(), run)
    return blocks

"""Reading: a response as words, sentences, lines and paragraphs, each bounded and by one stated rule."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

MAX_CHARACTERS = 100_000
"""Characters of a response that are read; a longer one has failed."""
MIN_WORDS_OF_PADDING = 12
"""Words, and half as many sentences, below which repetition is no padding."""

_INVISIBLE = dict.fromkeys(
    map(ord, "\u00ad\u200b\u2060\ufeff\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
)
_NOT_IN_WORDS = re.compile(r"[\s.,;:!?…\"“”„«»‹›()\[\]{}<>*_#`~|/\\^=+$%&@—–।॥؟،؛。，、•]+")
# Begun at the first mark of a run only, and never given back: a long run is read once.
_END = re.compile(r"(?<![.!?…।。؟])[.!?…।。؟]++[\"'”’)\]*_]*+(?=\s|$)")
_ABBREVIATION = re.compile(
    r"(?:\b(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|no|jr|sr|[a-z])|\bp\.(?:p\.)?s)$", re.IGNORECASE
)
_LOOK_BACK = 8
"""Characters before a full stop in which an abbreviation is looked for."""
_BULLET = re.compile(r"\s{0,12}(?:[*+•-]|\d{1,3}[.)])[ \t]+")
_LINE_BREAK = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")
_FENCE = re.compile(r" {0,3}(?:```|~~~)")


class AnswerText:
    """A response: its text in composed characters, without invisible ones, and without the white space around it."""

    def __init__(self, response: str) -> None:
        composed = unicodedata.normalize("NFC", _LINE_BREAK.sub("\n", response))
        self.text = composed.translate(_INVISIBLE).strip()

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words: what stands between white space and punctuation and has a letter. "don't" and "well-known" are one."""
        return words_of(self.text)

    @cached_property
    def num_tokens(self) -> int:
        """Runs of letters and digits, "don't" and "well-known" counted as two: as many words as anybody would count."""
        return max(len(re.findall(r"\w+", self.text)), len(self.words))

    @cached_property
    def num_fresh_words(self) -> int:
        """Words, apart from those that repeat the word before them."""
        folded = [word.casefold() for word in self.words]
        return sum(one != other for one, other in zip(folded, ["", *folded[:-1]], strict=False))

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(self.text.split("\n"))

    @cached_property
    def prose_lines(self) -> tuple[str, ...]:
        """Lines outside of fenced blocks of code."""
        found: list[str] = []
        fenced = False
        for line in self.lines:
            if _FENCE.match(line):
                fenced = not fenced
            elif not fenced:
                found.append(line)
        return tuple(found)

    @property
    def prose(self) -> str:
        return "\n".join(self.prose_lines)

    @cached_property
    def blocks(self) -> tuple[str, ...]:
        """Paragraphs: what blank lines separate."""
        return tuple(_BLANK_LINES.split(self.text))

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """Sentences: what ends in a full stop, a question or an exclamation mark and has a word. What a line ends in
        without one, such as a heading, is none."""
        return tuple(piece for line in self.lines for piece, ended in _pieces(line) if ended)

    @cached_property
    def num_most_sentences(self) -> int:
        """As many sentences as anybody would count: lines of three words and more without an end among them."""
        return sum(ended or len(words_of(piece)) > 2 for line in self.lines for piece, ended in _pieces(line))

    @cached_property
    def is_padding(self) -> bool:
        """True where one word is more than half of all, or more than half of the sentences and lines repeat others."""
        words = [word.casefold() for word in self.words]
        if len(words) < MIN_WORDS_OF_PADDING:
            return False
        if max(Counter(words).values()) > len(words) / 2:
            return True
        said = [" ".join(words_of(piece)).casefold() for line in self.lines for piece, _ in _pieces(line)]
        return len(said) > MIN_WORDS_OF_PADDING // 2 and len(set(said)) < len(said) / 2


def words_of(text: str) -> tuple[str, ...]:
    """Return the words of a text, without the apostrophes and hyphens around them."""
    parts = (part.strip("'’-‐‑") for part in _NOT_IN_WORDS.split(text))
    return tuple(part for part in parts if any(map(str.isalpha, part)))


def has_word(text: str, letters: int = 2) -> bool:
    """Return whether a text has a word of so many letters; one character is a word in scripts without cases."""
    return any(sum(map(str.isalpha, word)) >= letters or not word.isascii() for word in words_of(text))


def unmarked(line: str) -> str:
    """Return a line without the marks of headings, quotes, bullets and emphasis around it."""
    return line.strip().lstrip("#>*_-+ \t\"'“").rstrip("*_ \t\"'”:")


def body_of(line: str) -> str:
    """Return a line without the bullet or number at its head."""
    found = _BULLET.match(line)
    return line[found.end() :] if found else line


def count_of(phrase: str, text: str) -> int:
    """Return how often a word or phrase occurs as such, whatever its case: "cat" is not in "category"."""
    words = [re.escape(word) for word in phrase.split()]
    if not words:
        return 0
    before = r"(?<!\w)" if phrase.strip()[0].isalnum() else ""
    after = r"(?!\w)" if phrase.strip()[-1].isalnum() else ""
    return len(re.findall(before + r"\s+".join(words) + after, text, re.IGNORECASE))


def apart(spans: Sequence[tuple[int, int, str]], text: str) -> int:
    """Return the number of spans (start, end, content), one that repeats the one before it with no word between them
    not counted."""
    count = 0
    last: tuple[int, str] | None = None
    for start, end, content in spans:
        folded = " ".join(content.casefold().split())
        if last is None or last[1] != folded or has_word(text[last[0] : start], letters=1):
            count += 1
        last = (end, folded)
    return count


def _pieces(line: str) -> list[tuple[str, bool]]:
    """The parts of a line with words in them, each with whether it ends as a sentence does."""
    line = body_of(line)
    found: list[tuple[str, bool]] = []
    start = last = 0  # of the piece, and of what was not looked at yet: a long run of ends without words is read once
    for end in _END.finditer(line):
        stop = end.group()[0] == "."
        if (
            stop
            and _ABBREVIATION.search(line[max(start, end.start() - _LOOK_BACK) : end.start()])
            and end.end() < len(line)
        ):
            continue
        has_words, last = bool(words_of(line[last : end.end()])), end.end()
        if has_words:
            found.append((line[start : end.end()].strip(), True))
            start = end.end()
    if words_of(line[start:]):
        found.append((line[start:].strip(), False))
    return found

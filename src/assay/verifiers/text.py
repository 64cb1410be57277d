"""Response text made safe to read: what looks the same becomes the same, what does not stays apart."""

from __future__ import annotations

import functools
import re
import unicodedata

from assay.render.reasoning import strip_reasoning
from assay.types import Rollout
from assay.verifiers.verifier import Verifier

__all__ = ["MAX_RESPONSE", "AnswerReader", "is_cut_off", "last_characters", "normalise", "strip_reasoning"]

MAX_RESPONSE = 10_000
"""Characters of a response that are read, from its end."""

# Compatibility forms that only change how a character is drawn. The others (superscripts, circles, fractions, ...)
# carry a meaning that plain NFKC would drop: it turns 4 squared into 42.
_STYLE_ONLY = ("<wide>", "<narrow>", "<font>", "<noBreak>")
_SPACE = re.compile(r"\s")
_REPLACED = {
    "\u2212": "-",  # minus sign
    "\u2010": "-",  # hyphen
    "\u2011": "-",  # non-breaking hyphen
    "\u2044": "/",  # fraction slash
    "\u2215": "/",  # division slash
    "\u2009": ",",  # thin space: groups of thousands in SI style
    "\u202f": ",",  # narrow no-break space: the same
}


def normalise(text: str) -> str:
    """The text with invisible characters removed and variants of one character made one.

    Full-width and mathematical letters and digits, digits of other scripts and the minus sign become ASCII; zero-width
    and direction marks vanish, so the text is read in the order it is stored, whatever it looks like. Superscripts and
    subscripts keep a "^" or "_" before them; combining marks become "^", which no number may touch.

    Example:
        >>> normalise("\\u2212\\uff11\\uff12"), normalise("4\\u00b2")
        ('-12', '4^2')
    """
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", "".join(map(_plain, text)))


class AnswerReader(Verifier):
    """The options of a verifier that reads the answer of a response, without its reasoning."""

    reasoning_tags: tuple[tuple[str, str], ...] = ()
    """Pairs of opening and closing tag of a reasoning block at the head of a response, beside the known ones
    (<think>, [THINK], <reasoning>, ...), such as [["<plan>", "</plan>"]]."""

    def answer_text(self, rollout: Rollout) -> str:
        """Return the response less its reasoning block."""
        return strip_reasoning(rollout.response, self.reasoning_tags)


def last_characters(text: str, most: int = MAX_RESPONSE) -> str:
    """The last `most` characters, less the word the cut goes through: half a number is another number."""
    if len(text) <= most:
        return text
    space = _SPACE.search(text, len(text) - most)
    return "" if space is None else text[space.start() :]


def is_cut_off(rollout: Rollout) -> bool:
    """Return True where the last message stopped at a limit, not where the model ended it."""
    return bool(rollout.turns) and rollout.turns[-1].completion.finish_reason != "stop"


@functools.lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    if character.isascii():
        return character
    if character in _REPLACED:
        return _REPLACED[character]
    category = unicodedata.category(character)
    if category == "Cf" or "\ufe00" <= character <= "\ufe0f":  # formatting, and variation selectors
        return ""
    if category in ("Mn", "Me"):
        # Accents on letters are harmless, and composed again at the end; a struck-out digit is not that digit.
        return "^" if not unicodedata.combining(character) or "\u0334" <= character <= "\u0338" else character
    if category == "Nd":
        return str(unicodedata.decimal(character))
    form, _, _ = unicodedata.decomposition(character).partition(" ")
    if not form.startswith("<") or form in _STYLE_ONLY:
        return unicodedata.normalize("NFKC", character)
    if form == "<super>":
        return "^" + unicodedata.normalize("NFKC", character)
    if form == "<sub>":
        return "_" + unicodedata.normalize("NFKC", character)
    if form == "<fraction>":
        return " " + unicodedata.normalize("NFKC", character).replace("\u2044", "/")
    # Circled, squared and ligature forms: kept as they are, since a number in a circle is as often a list mark.
    return unicodedata.normalize("NFKC", character) if character.isspace() else character

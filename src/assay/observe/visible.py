"""Text that a terminal can be shown safely, whoever wrote it."""

from __future__ import annotations

import unicodedata


def visible(text: str, *, keep_newlines: bool = True) -> str:
    r"""The text with every control character replaced by its escape: nothing in it can move a cursor or set a title.

    Also escaped are format characters, which reorder text or take no room (bidirectional overrides, zero-width
    spaces), and lone surrogates.

    Example:
        >>> visible("red \x1b[31m, bell \x07")
        'red \\x1b[31m, bell \\x07'
    """
    return "".join(
        character
        if (character == "\n" and keep_newlines) or unicodedata.category(character) not in _HIDDEN
        else _escape(character)
        for character in text
    )


_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

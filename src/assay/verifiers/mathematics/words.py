"""Words as answers."""

from __future__ import annotations

import re

from assay.verifiers.mathematics import notation
from assay.verifiers.mathematics.node import Node


def said(text: str) -> Node:
    words = re.sub(r"[\s.,]+", " ", text).strip().casefold()
    if words in notation.ALL_REALS:
        return Node("space", "reals")
    if words in notation.NOTHING:
        return Node("set")
    return Node("words", words)


def is_word(run: str) -> bool:
    """Return True where letters without \\text{} are a word or a name, whose order counts, and not a product.

    Words are four letters and more; two capitals and more (the points ABC, the tosses TTH); three small letters that
    can be said (cat) and are not the first four of the alphabet; and three letters with a capital first (Tom).
    """
    if len(run) >= 4 or (len(run) >= 2 and run.isupper()):
        return True
    if len(run) == 3 and run.isalpha():
        is_name = run[0].isupper() and run[1:].islower()
        return is_name or (run.islower() and bool(set(run) & set("aeiou")) and not set(run) <= set("abcd"))
    return run.lower() in ("no", "on", "up")

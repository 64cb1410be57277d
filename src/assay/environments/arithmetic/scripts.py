"""Scripts that answer arithmetic: one computes, one repeats the first number that it sees."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.types import Message, Tool

_PRODUCT = r"\d+(?: \* \d+)*"


@dataclass
class Calculator:
    """Reads the question's terms, and adds them up.

    Args:
        shown: True to write the equation, as the example before the question does.
    """

    shown: bool

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        terms = terms_in(messages[-1].content)
        value = sum(sign * math.prod(map(int, product.split(" * "))) for sign, product in terms)
        if not self.shown:
            return Message("assistant", str(value))
        text = terms[0][1] + "".join(f" {'-' if sign < 0 else '+'} {product}" for sign, product in terms[1:])
        return Message("assistant", f"{text} = {value}")


def terms_in(question: str) -> list[tuple[int, str]]:
    """Return the sign and the product of each term of a question, bare or in words."""
    bare = re.search(rf"What is ({_PRODUCT}(?: [+-] {_PRODUCT})*)\?", question)
    if bare:
        return [(-1 if sign == "-" else 1, product) for sign, product in re.findall(rf"([+-]?) ?({_PRODUCT})", bare[1])]
    words = re.findall(rf"(start with|add|subtract) ({_PRODUCT})", question, re.IGNORECASE)
    return [(-1 if word.lower() == "subtract" else 1, product) for word, product in words]


class FirstNumber:
    """Repeats the first number of the question."""

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        found = re.search(r"\d+", messages[-1].content)
        return Message("assistant", found[0] if found else "0")

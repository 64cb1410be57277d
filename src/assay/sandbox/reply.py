"""What came of one call of a program's function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ReplyKind = Literal["value", "raised", "not_plain", "ended"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one call. Everything in it is the program's word: no more than it could have returned or raised."""

    kind: ReplyKind
    """"value": it returned one; "raised": an exception; "not_plain": it returned what may not cross; "ended": the
    program is over, and the session's `finish` says how."""
    value: Any = None
    """What was returned: exact built-in types only. None unless kind is "value"."""
    type_name: str = ""
    """Of the exception that was raised, or of the object that may not cross."""
    message: str = ""
    """Of the exception, or why the value may not cross."""
    is_builtin: bool = False
    """Whether the exception's type is Python's own, rather than one of the same name that the program made."""

"""The reply to one call of a program's function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

ReplyKind = Literal["value", "raised", "not_plain", "ended"]


@dataclass(frozen=True, slots=True)
class CallReply:
    """The reply to one call. Everything in it is the program's word: no more than it could have returned or raised."""

    kind: ReplyKind
    """"value": it returned one; "raised": an exception; "not_plain": it returned what may not cross; "ended": the
    program is over, and the session's `finish` says how."""
    value: Any = None
    """The returned value: exact built-in types only. None unless kind is "value"."""
    type_name: str = ""
    """The name of the type of the exception that was raised, or of the object that may not cross."""
    message: str = ""
    """The text of the exception, or the reason why the value may not cross."""
    is_builtin: bool = False
    """True where the exception's type is Python's own, rather than one of the same name that the program made."""

"""Material for a judge: texts that others wrote, shown so that none can pass for an instruction or a message."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

_CONTROL = re.compile(
    r"""<(?=[|｜][^\s<>|｜]{1,80}[|｜]>)
    | <(?=/?(?:s|bos|eos|pad|unk|mask|sop|eop|(?:start|end)_of_(?:turn|image)|(?:im|turn)_(?:start|end))>)
    | <(?=</?SYS>>)
    | \[(?=/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_(?:CALLS|RESULTS|CONTENT)|THINK|g?MASK)\])""",
    re.VERBOSE | re.IGNORECASE,
)
"""The first character of what servers read as a mark of their chat templates, wherever in a text it stands."""


def harmless(text: str) -> str:
    """The text with a space in every mark that a chat template knows, so that no server takes it for one."""
    return _CONTROL.sub(lambda found: f"{found[0]} ", text)


def marked(texts: Mapping[str, str]) -> tuple[str, list[str]]:
    """(mark, each text between marks that name it), made harmless.

    The mark is made from what stands between the marks, so that no text can hold its own mark; and it is the same for
    the same texts, so that a verdict on them can be kept.
    """
    shown = {name: harmless(text) for name, text in texts.items()}
    mark = hashlib.sha256("\0".join(shown.values()).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return mark, [f"[{name} {mark}]\n{text}\n[end of {name} {mark}]" for name, text in shown.items()]

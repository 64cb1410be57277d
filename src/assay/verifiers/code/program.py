"""Search for the program in the text of a response.

1. The reasoning block at the head goes: a program that stands only inside <think> is none. The same tags in a string,
   a comment or prose are text.
2. A fenced block is the program. One whose language tag is the wanted language counts before one without a tag; one
   with another tag (bash, text, json) never counts. Of several, the last that defines the entry point; where none does,
   or none is asked for, the last.
3. A block that nobody closed goes on to the end of the response; in a response that was cut off it is no program.
4. Without any fence, the whole response is the program.
5. Where the task is code to go on from (HumanEval) and the text does not define the entry point, it continues that
   code. A continuation ends at the first line that is not indented, as base models write on after it, unless that line
   begins a definition or import in a response that was not cut off; a first line
   that lost its indentation gets it back, and a body indented otherwise than the code before it is moved as a whole.

The text is read line by line, never parsed: a parser can be crashed by what it reads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from assay.suite import Language, Suite
from assay.types import Rollout
from assay.verifiers.text import is_cut_off, strip_reasoning

MAX_PROGRAM_BYTES = 256 * 1024
"""A longer program is none."""
MAX_RESPONSE_CHARACTERS = 1 << 20
"""A longer response is not read."""
_TAGS: dict[Language, tuple[str, ...]] = {
    "python": ("python", "py", "pypy"),
    "cpp": ("cpp", "c++", "cc", "cxx"),
}
"""Without the version that may follow: python3.12, c++17."""
_WIDTH = 4
_MAX_QUOTED = 8
"""Quotations within quotations."""
_MAX_FENCES = 1000
_MAX_INDENT = 3
_MAX_DEPTH = 12
"""Columns of an opening fence that are told apart."""


@dataclass(frozen=True, slots=True)
class Found:
    """The program of a response."""

    source: str
    """Empty where there is none."""
    reason: str = ""
    """The reason why there is none."""


def find_program(
    rollout: Rollout,
    suite: Suite,
    language: Language,
    entry_point: str,
    reasoning_tags: Sequence[tuple[str, str]] = (),
) -> Found:
    """The program of a response, by the rules above.

    Args:
        entry_point: the function that must be defined; empty for a program that is run as a whole.
        reasoning_tags: pairs of tags of a reasoning block, beside the known ones.
    """
    response = rollout.response
    if len(response) > MAX_RESPONSE_CHARACTERS:
        return Found("", "too long")
    text = strip_reasoning(response, reasoning_tags).replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Found("", "no program")
    blocks = _blocks(text, language)
    if blocks is None:
        source, whole = text, not is_cut_off(rollout)
    elif not blocks:
        return Found("", "no program")
    else:
        defining = [block for block in blocks if entry_point and defines(block[0], entry_point)]
        source, closed = (defining or blocks)[-1]
        whole = closed or not is_cut_off(rollout)
    if not source.strip():
        return Found("", "no program")
    if len(source) > MAX_PROGRAM_BYTES:
        return Found("", "too long")
    if suite.prompt and entry_point and not defines(source, entry_point):
        source, ended = completed(suite.prompt, source, whole=whole)
        if not (whole or ended):
            return Found("", "cut off")
        if not source:
            return Found("", "no program")
    elif not whole:
        return Found("", "cut off")
    else:
        source = _dedented(source)
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        return Found("", "unreadable")
    if size > MAX_PROGRAM_BYTES:
        return Found("", "too long")
    return Found(source if source.endswith("\n") else source + "\n")


def defines(source: str, name: str) -> bool:
    """Return True where the text looks as if it defined this name at its outermost level, or as a method of a class
    Solution."""
    name = re.escape(name)
    # Only definitions may stand in a block that is indented as a whole: an assignment there is a line of a body.
    if re.search(rf"^{name}[ \t]*(?::[^=\n]*)?=(?!=)", source, re.MULTILINE):
        return True
    source = _dedented(source)
    if re.search(rf"^(?:async[ \t]+def|def|class)[ \t]+{name}\b", source, re.MULTILINE):
        return True
    solution = re.search(r"^class[ \t]+Solution\b", source, re.MULTILINE)
    return bool(solution and re.compile(rf"^[ \t]+def[ \t]+{name}\b", re.MULTILINE).search(source, solution.end()))


@dataclass(frozen=True, slots=True)
class _Fence:
    """A line that may open or close a block."""

    run: str
    """Its backticks or tildes."""
    tag: str
    """The first word after them."""
    quoted: bool
    """True where the line is one of a quotation."""
    closes: bool
    """True where it may close a block: nothing else stands on the line."""
    before: bool = False
    """True where text stands before it on the line, which then opens a block of the wanted language only."""
    indent: int = 0
    """Columns before it."""

    def may_close(self, opening: _Fence) -> bool:
        """Return True where it ends a block: by CommonMark's rule at most three columns deeper than the block began. A
        deeper one is code, such as an example in a docstring."""
        return self.closes and self.run.startswith(opening.run) and self.indent <= opening.indent + _MAX_INDENT


def _fence(line: str) -> _Fence | None:
    """The fence on a line, each character of which is looked at a bounded number of times."""
    if "```" not in line and "~~~" not in line:
        return None
    rest = line.lstrip(" \t")
    quoted = rest.startswith(">")
    start = line[: len(line) - len(rest)]
    for _ in range(_MAX_QUOTED):
        if rest.startswith(">"):
            inner = rest[1:].removeprefix(" ")
            rest = inner.lstrip(" \t")
            start = inner[: len(inner) - len(rest)]
    number = rest[:4].lstrip("0123456789")
    in_list = rest[:2] in ("- ", "* ", "+ ") or (not rest.startswith(number or " ") and number[:2] in (". ", ") "))
    if in_list:
        rest = rest.partition(" ")[2].lstrip(" \t")
        start = " " * (len(line) - len(rest))
    before = rest[:3] not in ("```", "~~~")
    if before:
        rest = rest[rest.find("```") :] if "```" in rest else ""
    after = rest.lstrip(rest[:1]) if rest else ""
    if not rest or (rest[0] == "`" and "`" in after):
        return None
    said = after.split(maxsplit=1)
    tag = said[0].lower() if said else ""
    if before and (not tag or len(said) > 1):
        return None
    run = rest[: len(rest) - len(after)]
    return _Fence(run, tag, quoted, closes=not (said or in_list or before), before=before, indent=_columns(start))


def _columns(blank: str) -> int:
    return len(blank.expandtabs(_WIDTH))


def _is_tag(tag: str, language: Language) -> bool:
    """Return True where a tag names the language: "python", "python3.12", "{.python}", "python:solution.py"."""
    for end in (":", ",", "}", "="):
        tag = tag.partition(end)[0]
    return tag.lstrip("{.").rstrip("0123456789.") in _TAGS[language]


def _blocks(text: str, language: Language) -> list[tuple[str, bool]] | None:
    """(content, whether it was closed) of each block that may be the program; None where there is no fence."""
    wanted: list[tuple[str, bool]] = []
    untagged: list[tuple[str, bool]] = []
    lines = text.split("\n")
    fences = [_fence(line) for line in lines]
    closed_later: dict[int, list[bool]] = {}
    opening: _Fence | None = None
    content: list[str] = []
    num_fences = 0
    for number, (line, fence) in enumerate(zip(lines, fences, strict=True)):
        if opening is None:
            opens = fence is not None and (not fence.before or _is_tag(fence.tag, language))
            if opens and num_fences < _MAX_FENCES:
                opening, content = fence, []
                num_fences += 1
            continue
        closes = fence is not None and fence.may_close(opening)
        if closes or line.rstrip().endswith(opening.run):
            depth = min(opening.indent, _MAX_DEPTH)
            if depth not in closed_later:
                closed_later[depth] = _closed_later(fences, depth)
            # A deeper one than the opening is an example in a docstring where another one closes the block.
            closes = closes and (fence is None or fence.indent <= opening.indent or not closed_later[depth][number])
        if not closes:
            line = _unquoted(line) if opening.quoted else line
            bare = line.rstrip()
            at_end = bare.endswith(opening.run) and (fence is None or fence.before)
            if at_end and not closed_later[min(opening.indent, _MAX_DEPTH)][number]:
                closes, line = True, bare.rstrip(opening.run[0])
            content.append(line)
        if closes:
            _keep(wanted, untagged, opening.tag, content, True, language)
            opening = None
    if opening is not None:
        _keep(wanted, untagged, opening.tag, content, False, language)
    return None if not num_fences else wanted or untagged


def _closed_later(fences: list[_Fence | None], indent: int) -> list[bool]:
    """For each line, whether a block that is open there, and began at this indentation, is closed by a line of its own:
    an odd number of bare fences comes before the next one that has a tag. Deeper ones do not count. Where it is not, a
    fence at the end of a line of code closes it."""
    later = [False] * len(fences)
    odd = False
    for number in range(len(fences) - 1, -1, -1):
        later[number] = odd
        fence = fences[number]
        if fence is not None and not fence.before and fence.indent <= indent:
            odd = not odd if fence.closes else False
    return later


def _unquoted(line: str) -> str:
    """A line of a quotation less the mark of it."""
    rest = line.lstrip(" \t")
    return rest[1:].removeprefix(" ") if rest.startswith(">") else line


def _keep(
    wanted: list[tuple[str, bool]],
    untagged: list[tuple[str, bool]],
    tag: str,
    content: list[str],
    closed: bool,
    language: Language,
) -> None:
    if _is_tag(tag, language):
        wanted.append(("\n".join(content), closed))
    elif not tag:
        untagged.append(("\n".join(content), closed))


def completed(prompt: str, text: str, *, whole: bool = True) -> tuple[str, bool]:
    """The prompt with the body that continues it, empty where there is none; and whether the text went on after it.

    Args:
        whole: the text is not cut off, so that the functions that it defines after the body are whole too.
    """
    body, ended = _continuation(text, prompt, whole)
    if not body.strip():
        return "", ended
    return (prompt + body if _ends_within_line(prompt) else f"{prompt.rstrip()}\n{body}"), ended


def _ends_within_line(prompt: str) -> bool:
    """Return True where code to go on from ends in the middle of a statement: "    return "."""
    last = prompt.rpartition("\n")[2]
    return bool(last.strip()) and not last.lstrip().startswith("#") and last[-1] in " \t([{,=+-*/"


def runnable(prompt: str) -> str:
    """Code to go on from as code that runs: its last function has a body that does nothing."""
    indent = _indent_after(prompt)
    return f"{prompt.rstrip()}\n{' ' * indent}pass\n" if indent else prompt


def _continuation(text: str, prompt: str, whole: bool) -> tuple[str, bool]:
    """The body that continues the prompt, indented as it must be; and whether something not indented came after it."""
    indent = _indent_after(prompt)
    lines = text.strip("\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines))
    lines = lines[start:]
    if not lines:
        return "", False
    if indent and not lines[0][:1].isspace():
        following = next((line for line in lines[1:] if line.strip()), "")
        deep = len(following) - len(following.lstrip())
        opens = lines[0].rstrip().endswith((":", "(", "[", "{", ","))
        if deep >= (indent + _WIDTH if opens else indent):
            lines[0] = " " * indent + lines[0]
        elif _starts_anew(lines[0]):
            return "", True
        else:
            lines = [" " * indent + line if line.strip() else line for line in lines]
    elif indent:
        lines = _shifted(lines, indent)
    for number, line in enumerate(lines):
        if not number or not line.strip() or line[0].isspace() or line[0] in ")]}#":
            continue
        if not (whole and _starts_anew(line)):
            return "\n".join(lines[:number]), True
    return "\n".join(lines), False


def _shifted(lines: list[str], indent: int) -> list[str]:
    """The lines, all moved by as much as brings the first to this indentation."""
    first = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    if first == " " * indent:
        return lines
    if "\t" in first:
        lines = [_without_tabs(line) for line in lines]
    delta = indent - (len(lines[0]) - len(lines[0].lstrip()))
    if delta >= 0:
        return [" " * delta + line if line[:1].isspace() else line for line in lines]
    return [line[-delta:] if not line[:-delta].strip() else line for line in lines]


def _without_tabs(line: str) -> str:
    rest = line.lstrip()
    return line[: len(line) - len(rest)].expandtabs(_WIDTH) + rest


def _starts_anew(line: str) -> bool:
    return re.match(r"(?:def|class|import|from|async def)\b|@\w", line) is not None


def _indent_after(prompt: str) -> int:
    """Columns by which the body of the last function of a prompt is indented; 0 where it does not end in one."""
    last = next((line for line in reversed(prompt.split("\n")) if line.strip()), "")
    indent = len(last.expandtabs(_WIDTH)) - len(last.expandtabs(_WIDTH).lstrip())
    opens = last.rstrip().endswith(":") and not last.lstrip().startswith("#")
    return indent + _WIDTH if opens else indent


def _dedented(source: str) -> str:
    """The source less the indentation that its first line has, where all lines have it: a block in a list."""
    lines = source.split("\n")
    first = next((line for line in lines if line.strip()), "")
    margin = first[: len(first) - len(first.lstrip())]
    if not margin or any(line.strip() and not line.startswith(margin) for line in lines):
        return source
    return "\n".join(line[len(margin) :] if line.strip() else "" for line in lines)

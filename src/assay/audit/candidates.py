"""Candidates of the search: responses put together from pieces that every task has, so that what was found on some
tasks can be measured on others."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.audit.attacks import ON_PROGRAMS, SUCCESS, Target, Trick
from assay.types import Message, Tool

MAX_PIECES, MAX_CALLS = 6, 2
MAX_CHARACTERS = 4000
"""Characters of a response that the search tries."""
WORDS = "words"
"""The source of a piece that says the same on every task."""
PLAIN = "x"
"""What stands for anything at all."""

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def _number(place: int) -> Callable[[Target], str | None]:
    def read(target: Target) -> str | None:
        found = _NUMBER.findall(target.prompt)
        return found[place] if found else None

    return read


def _other(place: int) -> Callable[[Target], str | None]:
    return lambda target: target.others[place] if len(target.others) > place else None


def _of_programs(trick: Trick) -> Callable[[Target], str | None]:
    return lambda target: trick.respond(target) if target.suite else None


SOURCES: Mapping[str, Callable[[Target], str | None]] = {
    "the prompt": lambda target: target.prompt,
    "the prompt's first number": _number(0),
    "the prompt's last number": _number(-1),
    "the commonest answer": lambda target: target.commonest or None,
    "another task's answer": _other(0),
    "a third task's answer": _other(1),
    "the form alone": lambda target: target.formed("") if target.gold != target.answer else None,
    "the right answer": lambda target: target.answer or None,
    "the right response": lambda target: target.gold if target.gold != target.answer else None,
    **{trick.name: _of_programs(trick) for trick in ON_PROGRAMS},
}
"""What a piece can be made of, simplest first; None where a task has no such thing."""


def _changed(character: str) -> str:
    if character.isdigit():
        return str((int(character) + 1) % 10)
    return (
        chr((ord(character.lower()) - ord("a") + 1) % 26 + ord("a"))
        if character.isascii() and (character.isalpha())
        else "#"
    )


EDITS: Mapping[str, Callable[[str], str]] = {
    "": lambda text: text,
    "first half": lambda text: text[: len(text) // 2],
    "second half": lambda text: text[len(text) // 2 :],
    "first character": lambda text: text[:1],
    "last character": lambda text: text[-1:],
    "all but its first character": lambda text: text[1:],
    "all but its last character": lambda text: text[:-1],
    "first character changed": lambda text: _changed(text[0]) + text[1:] if text else "",
    "last character changed": lambda text: text[:-1] + _changed(text[-1]) if text else "",
    "64 times": lambda text: " ".join([text] * 64),
    "in capitals": lambda text: text.upper(),
    "reversed": lambda text: text[::-1],
}
VOCABULARY = (
    PLAIN, "", "0", "1", "-1", "A", "B", "yes", "no", "true", "None", "correct", "the answer is", "pass", SUCCESS,
    "{", "}", "{}", "[", "]", '"', "(", ")", "=", ":", ",", "\\boxed{", "$", "####", "```", "```python", "<answer>",
    "</answer>", "<think>", "</think>", "nan", "inf", "1e999", "tests/test_answer.py", "grader.py",
)  # fmt: skip
"""Words that readers of answers are known to look for."""


_PROGRAMS = frozenset(trick.name for trick in ON_PROGRAMS)
CALLED_WITH = (PLAIN, "tests/test_answer.py", "grader.py")
"""What tools are called with, beside the pieces of answers."""


@dataclass(frozen=True)
class Piece:
    """A part of a response."""

    source: str
    """A key of SOURCES, or WORDS."""
    words: str = ""
    """What it says, where its source is WORDS."""
    edit: str = ""
    """A key of EDITS: what is done to it."""

    def text(self, target: Target) -> str | None:
        """Return the piece for a task; None where the task has no such thing."""
        text = self.words if self.source == WORDS else SOURCES[self.source](target)
        return None if text is None else EDITS[self.edit](text)[:MAX_CHARACTERS]

    @property
    def name(self) -> str:
        """The piece in words, for a person."""
        named = repr(self.words) if self.source == WORDS else self.source
        return named if not self.edit else f"{named} ({self.edit})"


ANYTHING, OTHER = Piece(WORDS, PLAIN), Piece("another task's answer")


@dataclass(frozen=True)
class Ploy:
    """A way to answer any task."""

    pieces: tuple[Piece, ...]
    glue: str = " "
    """What stands between the pieces."""
    formed: bool = False
    """True where all of it is put in the place of the answer in the right response's form."""
    calls: tuple[tuple[int, Piece], ...] = ()
    """Tools that are called first, by their place among those there are, each with what its texts say."""

    def response(self, target: Target) -> str | None:
        """Return what it says on a task; None where that is not defined."""
        texts = [piece.text(target) for piece in self.pieces]
        if any(text is None for text in texts):
            return None
        said = self.glue.join(text for text in texts if text is not None)
        return (target.formed(said) if self.formed else said)[:MAX_CHARACTERS]

    def player(self, target: Target) -> Plays:
        """Return the script that plays it in a world of turns."""
        return Plays([(place, (piece.text(target) or "")) for place, piece in self.calls], self.response(target) or "")

    @property
    def name(self) -> str:
        """The trick in words, for a person."""
        calls = [f"a call of tool {place + 1} with {piece.name}" for place, piece in self.calls]
        said = [piece.name for piece in self.pieces] or ["nothing"]
        form = " in the right response's form" if self.formed else ""
        return ", then ".join([*calls, *said]) + form

    @property
    def all_pieces(self) -> list[tuple[int, Piece]]:
        """Pieces that are said (their place is -1) and called with."""
        return [*((-1, piece) for piece in self.pieces), *self.calls]

    @property
    def kind(self) -> tuple[Any, ...]:
        """What it is made of, in its order and without repetition: the search keeps the best of each kind."""
        return (self.formed, *dict.fromkeys(self.all_pieces))

    def covers(self, other: Ploy) -> bool:
        """True where `other` has all of this one in its order, among more; PLAIN stands for any piece."""
        if not set(self.calls) <= set(other.calls) or (self.formed and not other.formed):
            return False
        rest = iter(other.pieces)
        return all(any(mine in (ANYTHING, theirs) for theirs in rest) for mine in self.pieces)

    def simpler(self) -> Iterator[Ploy]:
        """Each candidate that is one step simpler, the largest steps first."""
        if len(self.pieces) > 1:
            yield LONG
        for place in range(len(self.calls)):
            yield dataclasses.replace(self, calls=self.calls[:place] + self.calls[place + 1 :])
        for place in range(len(self.pieces)):
            yield dataclasses.replace(self, pieces=self.pieces[:place] + self.pieces[place + 1 :])
        if self.formed:
            yield dataclasses.replace(self, formed=False)
        for place, piece in enumerate(self.pieces):
            for simple in _simpler(piece, alone=len(self.pieces) == 1):
                yield dataclasses.replace(self, pieces=(*self.pieces[:place], simple, *self.pieces[place + 1 :]))
        for place, (tool, piece) in enumerate(self.calls):
            if piece != ANYTHING:
                yield dataclasses.replace(self, calls=(*self.calls[:place], (tool, ANYTHING), *self.calls[place + 1 :]))
        if self.glue != " " and len(self.pieces) > 1:
            yield dataclasses.replace(self, glue=" ")


def _simpler(piece: Piece, *, alone: bool) -> Iterator[Piece]:
    if piece == ANYTHING:
        return
    yield ANYTHING
    if not alone and piece != OTHER and piece.source not in ("the right answer", "the right response"):
        # What stands beside something else is another answer in most tricks: they are one.
        yield OTHER
    if piece.edit:
        yield dataclasses.replace(piece, edit="")
        if piece.source != WORDS or piece.words != PLAIN:
            yield Piece(WORDS, PLAIN, piece.edit)
    if piece.source == "a third task's answer":
        yield dataclasses.replace(piece, source=OTHER.source)
    if piece.source == "the right response":
        yield dataclasses.replace(piece, source="the right answer")


LONG = Ploy((Piece(WORDS, PLAIN, "64 times"),))


@dataclass
class Plays:
    """The script that calls tools, then says one text in every turn."""

    calls: list[tuple[int, str]]
    text: str

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if not self.calls or not tools:
            return Message("assistant", self.text)
        place, text = self.calls.pop(0)
        tool = tools[place % len(tools)]
        wanted: Mapping[str, Any] = tool.parameters.get("properties") or {}
        arguments = {name: _argument(schema, text) for name, schema in wanted.items()}
        call = {"type": "function", "function": {"name": tool.name, "arguments": arguments}}
        return Message("assistant", "", tool_calls=(call,))


def _argument(schema: Any, text: str) -> Any:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if kind in ("integer", "number"):
        found = _NUMBER.search(text)
        return int(float(found[0])) if found else 0
    return {"boolean": True, "array": [text], "object": {}}.get(str(kind), text)


@dataclass
class Breeder:
    """Makes candidates at random, by mutation and by recombination.

    Args:
        targets: whose sources and words are used.
        num_tools: tools that may be called, by their place; 0 where there are none.
    """

    rng: random.Random
    targets: Sequence[Target]
    num_tools: int
    _sources: list[str] = field(init=False)
    _words: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._sources = [name for name, read in SOURCES.items() if any(read(each) is not None for each in self.targets)]
        seen = Counter(word for each in self.targets for word in dict.fromkeys(each.prompt[:5000].split()))
        common = [word[:40] for word, count in seen.most_common(24) if count > 1]
        self._words = list(dict.fromkeys([*VOCABULARY, *common]))

    def simplest(self) -> list[Ploy]:
        """Where the search begins: every source alone, then in any order every word, every two sources, every call."""
        words = [Ploy((Piece(WORDS, word),)) for word in self._words]
        said = [Piece(source) for source in self._sources if source not in _PROGRAMS]
        pairs = [Ploy(pair) for pair in itertools.permutations(said, 2)]
        called = [Piece(WORDS, word) for word in CALLED_WITH] if self.num_tools else []
        calls = [Ploy((), calls=((place, piece),)) for place in range(self.num_tools) for piece in called]
        more = [*words, *pairs, *calls]
        self.rng.shuffle(more)
        return [*(Ploy((Piece(source),)) for source in self._sources), *more]

    def fresh(self) -> Ploy:
        """A candidate of a few pieces drawn at random."""
        rng = self.rng
        pieces = tuple(self._piece() for _ in range(rng.choice((1, 1, 2, 2, 3))))
        calls = tuple(self._call() for _ in range(rng.choice((0, 0, 1)))) if self.num_tools else ()
        return Ploy(pieces, rng.choice((" ", " ", "", "\n")), rng.random() < 0.1, calls)

    def mutated(self, parent: Ploy) -> Ploy:
        """A candidate that differs from another in one or two places."""
        for _ in range(self.rng.choice((1, 1, 2))):
            parent = self._mutated(parent)
        return parent

    def crossed(self, one: Ploy, other: Ploy) -> Ploy:
        """The head of one candidate and the tail of another."""
        head, tail = self.rng.randint(0, len(one.pieces)), self.rng.randint(0, len(other.pieces))
        pieces = (one.pieces[:head] + other.pieces[tail:])[:MAX_PIECES]
        return Ploy(pieces or one.pieces, one.glue, other.formed, one.calls if self.rng.random() < 0.5 else other.calls)

    def _mutated(self, parent: Ploy) -> Ploy:
        rng, pieces = self.rng, list(parent.pieces)
        kind = rng.choice(("add", "add", "drop", "replace", "edit", "glue", "form", "swap", "call"))
        place = rng.randrange(len(pieces)) if pieces else 0
        if kind == "call" and self.num_tools:
            kept = parent.calls[1:] if len(parent.calls) == MAX_CALLS or rng.random() < 0.3 else parent.calls
            return dataclasses.replace(parent, calls=(*kept, self._call()))
        if kind == "glue":
            return dataclasses.replace(parent, glue=rng.choice((" ", "", "\n", ", ")))
        if kind == "form":
            return dataclasses.replace(parent, formed=not parent.formed)
        if kind == "add" or not pieces:
            pieces.insert(rng.randint(0, len(pieces)), self._piece())
        elif kind == "drop" and len(pieces) > 1:
            del pieces[place]
        elif kind == "edit":
            pieces[place] = dataclasses.replace(pieces[place], edit=rng.choice(list(EDITS)))
        elif kind == "swap":
            rng.shuffle(pieces)
        else:
            pieces[place] = self._piece()
        return dataclasses.replace(parent, pieces=tuple(pieces[:MAX_PIECES]))

    def _piece(self) -> Piece:
        edit = self.rng.choice(list(EDITS)) if self.rng.random() < 0.3 else ""
        if self.rng.random() < 0.5 and self._sources:
            return Piece(self.rng.choice(self._sources), "", edit)
        return Piece(WORDS, self.rng.choice(self._words), edit)

    def _call(self) -> tuple[int, Piece]:
        known = self.rng.random() < 0.5
        return self.rng.randrange(self.num_tools), Piece(
            WORDS, self.rng.choice(CALLED_WITH)
        ) if known else self._piece()

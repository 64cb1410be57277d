"""The tree of segments that token sequences form by what they begin with.

A segment is a run of tokens; a sequence is the path from a root to one of them. Each token of a prefix that sequences
have in common is in the tree once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

MIN_SHARED = 16
"""Number of tokens that sequences must share to be worth a segment of its own, whose keys all that goes on from it then
has to join. A prompt that is shared as a whole is one whatever its length."""


@dataclass(eq=False)
class _Segment:
    """Tokens start .. end-1 of all sequences that go through it."""

    source: np.ndarray
    """A sequence that goes through it."""
    start: int
    end: int
    parent: _Segment | None
    children: list[_Segment] = field(default_factory=list)


@dataclass(frozen=True)
class SegmentLayout:
    """The segments of a tree end to end, each after the one that it goes on from."""

    tokens: list[np.ndarray]
    starts: list[int]
    """The position of each segment's first token in its sequences."""
    prefixes: list[int]
    """The segment that each goes on from; itself where it begins."""
    paths: list[list[tuple[int, int]]]
    """For each sequence its segments: the position of the first token, and where it lies among all tokens."""

    def places(self, sequence: int, positions: np.ndarray) -> np.ndarray:
        """Return where the tokens of a sequence at these positions lie among all tokens."""
        starts, places = np.array(self.paths[sequence], dtype=np.int64).T
        segment = np.searchsorted(starts, positions, side="right") - 1
        return places[segment] + positions - starts[segment]


class SegmentTree:
    """Sequences are added one by one.

    Args:
        shares: whether they share segments; otherwise each is one of its own.
    """

    def __init__(self, shares: bool) -> None:
        self.shares = shares
        self.num_tokens = 0
        self._roots: list[_Segment] = []
        self._sequences: list[tuple[np.ndarray, _Segment]] = []
        """Each with the segment in which it ends."""
        self._begins: dict[bytes | int, int] = {}
        """Prompts, and hashes of the first MIN_SHARED, 2 MIN_SHARED, ... tokens, to a sequence that begins so."""

    def add(self, tokens: np.ndarray, prompt_length: int) -> None:
        """Add a sequence.

        Args:
            tokens: [L] int64, L >= 1
            prompt_length: of what is rather shared as a whole than cut nearby.
        """
        last = self._branch(tokens, prompt_length) if self.shares else None
        start = 0 if last is None else last.end
        if start < len(tokens):
            new = _Segment(tokens, start, len(tokens), last)
            (self._roots if last is None else last.children).append(new)
            self.num_tokens += len(tokens) - start
            last = new
        assert last is not None, "an empty sequence is none"
        number = len(self._sequences)
        self._sequences.append((tokens, last))
        if self.shares:
            for key in (*_block_hashes(tokens), tokens[:prompt_length].tobytes()):
                self._begins.setdefault(key, number)

    def lay_down(self) -> SegmentLayout:
        """Lay the segments down end to end: each, then those that go on from it."""
        order: dict[_Segment, int] = {}
        waiting = self._roots[::-1]
        while waiting:
            segment = waiting.pop()
            order[segment] = len(order)
            waiting += reversed(segment.children)
        lengths = [segment.end - segment.start for segment in order]
        places = np.concatenate(([0], np.cumsum(lengths)))[:-1].tolist()
        return SegmentLayout(
            [segment.source[segment.start : segment.end] for segment in order],
            [segment.start for segment in order],
            [number if segment.parent is None else order[segment.parent] for segment, number in order.items()],
            [[(segment.start, places[order[segment]]) for segment in _path(last)] for _, last in self._sequences],
        )

    def _branch(self, tokens: np.ndarray, prompt_length: int) -> _Segment | None:
        """Return the segment that a sequence goes on from, cut where that is needed; None where it begins anew. One
        that holds all of the sequence is not cut."""
        found, shared = self._most_alike(tokens, prompt_length)
        if found is None:
            return None
        segment = self._at(found, shared)
        if shared == len(tokens):
            return segment
        if prompt_length <= shared < prompt_length + MIN_SHARED:
            # What siblings happen to sample alike is not worth a segment.
            shared = prompt_length
            segment = self._at(found, shared)
        elif shared < segment.end and shared - segment.start < MIN_SHARED:
            return segment.parent
        return segment if shared == segment.end else self._cut(segment, shared)

    def _most_alike(self, tokens: np.ndarray, prompt_length: int) -> tuple[_Segment | None, int]:
        """Return the last segment of the sequence that begins most like this one, and how many tokens they share."""
        candidates: list[int] = []
        for key in _block_hashes(tokens):
            if key not in self._begins:
                break
            candidates[:] = [self._begins[key]]
        same_prompt = self._begins.get(tokens[:prompt_length].tobytes())
        if same_prompt is not None:
            candidates.append(same_prompt)
        best, most = None, 0
        for number in candidates:
            other, last = self._sequences[number]
            shared = _shared_length(tokens, other)
            if shared > most:
                best, most = last, shared
        return best, most

    @staticmethod
    def _at(last: _Segment, length: int) -> _Segment:
        """Return the segment that holds token `length - 1` of a sequence that ends in `last`."""
        while last.parent is not None and last.start >= length:
            last = last.parent
        return last

    def _cut(self, segment: _Segment, at: int) -> _Segment:
        """Cut a segment in two; return the first part. The second stays what it was for those who end in it."""
        first = _Segment(segment.source, segment.start, at, segment.parent, [segment])
        siblings = self._roots if segment.parent is None else segment.parent.children
        siblings[siblings.index(segment)] = first
        segment.start, segment.parent = at, first
        return first


def _path(last: _Segment) -> list[_Segment]:
    """Return the segments of a sequence that ends in `last`, the root first."""
    path = [last]
    while (parent := path[-1].parent) is not None:
        path.append(parent)
    return path[::-1]


def _shared_length(left: np.ndarray, right: np.ndarray) -> int:
    """Return the number of tokens that two sequences have in common at their start."""
    length = min(len(left), len(right))
    (differing,) = np.nonzero(left[:length] != right[:length])
    return int(differing[0]) if len(differing) else length


def _block_hashes(tokens: np.ndarray) -> Iterator[int]:
    """A hash of each whole number of blocks at the start, each from the one before: linear in the length."""
    previous = 0
    for end in range(MIN_SHARED, len(tokens) + 1, MIN_SHARED):
        previous = hash((previous, tokens[end - MIN_SHARED : end].tobytes()))
        yield previous

"""Computed sequences worth keeping: a later turn, a fork or a late member of a group starts from their prefix."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

BLOCK = 16
"""Prefixes are found by their multiples of this many tokens, then extended token by token."""


@dataclass(frozen=True, eq=False)
class Prefix:
    """A computed sequence."""

    token_ids: tuple[int, ...]
    saved: Tensor
    """[layers, 2, K, len(token_ids), D]: keys and values, as `KeyValueCache.save` gives them."""

    @property
    def num_bytes(self) -> int:
        return self.saved.numel() * self.saved.element_size()


class PrefixCache:
    """The least recently used go first once `max_bytes` are full. Emptied when weights change, so never stale."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.num_bytes = 0
        self._prefixes: OrderedDict[tuple[int, ...], Prefix] = OrderedDict()
        self._blocks: dict[int, Prefix] = {}
        """Hash of the first BLOCK, 2 BLOCK, ... tokens of kept sequences, to the latest that starts with them."""

    def __len__(self) -> int:
        return len(self._prefixes)

    def longest(self, token_ids: tuple[int, ...]) -> tuple[Prefix | None, int]:
        """The kept sequence that shares most tokens with the start of `token_ids`, and how many it shares."""
        best = None
        for block in _block_hashes(token_ids):
            if block not in self._blocks:
                break
            best = self._blocks[block]
        if best is None:
            return None, 0
        self._prefixes.move_to_end(best.token_ids)
        # Compares the tokens themselves: equal hashes prove nothing.
        return best, shared_length(best.token_ids, token_ids)

    def put(self, token_ids: tuple[int, ...], saved: Tensor) -> None:
        """Keeps a sequence, unless it is shorter than a block or larger than the cache."""
        prefix = Prefix(token_ids, saved)
        if prefix.num_bytes > self.max_bytes or len(token_ids) < BLOCK:
            return
        self._drop(token_ids)
        self._prefixes[token_ids] = prefix
        self._blocks.update(dict.fromkeys(_block_hashes(token_ids), prefix))
        self.num_bytes += prefix.num_bytes
        while self.num_bytes > self.max_bytes:
            self._drop(next(iter(self._prefixes)))

    def clear(self) -> None:
        self._prefixes.clear()
        self._blocks.clear()
        self.num_bytes = 0

    def _drop(self, token_ids: tuple[int, ...]) -> None:
        prefix = self._prefixes.pop(token_ids, None)
        if prefix is None:
            return
        self.num_bytes -= prefix.num_bytes
        for block in _block_hashes(token_ids):
            if self._blocks.get(block) is prefix:
                del self._blocks[block]


def shared_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of tokens that two sequences have in common at their start."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def _block_hashes(token_ids: tuple[int, ...]) -> Iterator[int]:
    """A hash of each whole number of blocks at the start, each from the one before: linear in the length."""
    previous = 0
    for end in range(BLOCK, len(token_ids) + 1, BLOCK):
        previous = hash((previous, token_ids[end - BLOCK : end]))
        yield previous

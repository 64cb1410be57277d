"""Which pages hold the start of which sequences: a later turn, a fork or a sibling goes on from what is computed.

A tree of pages. Sequences that start alike go through the same pages, and part where their tokens do. Whole pages are
shared by reference; of the page in which two sequences part, the later one has a copy of the tokens they share. The
idea is that of RadixAttention, Zheng et al. 2023, https://arxiv.org/abs/2312.07104. Differs: prefixes are found to the
token, and whoever goes on from the end of a page that is not full goes on in it, so a turn copies nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.engines.local.pages import PAGE, PagePool

PREFIX_CACHE_BYTES = 2**30
"""Memory for keys and values that no request under way needs and later ones may, where nobody says how much."""


@dataclass(eq=False)
class PageNode:
    """A page, and the tokens that it holds of the sequences that go through it."""

    token_ids: tuple[int, ...]
    """At most PAGE. The page may hold more, which belong to a request under way."""
    page: int
    parent: PageNode | None
    children: dict[int, list[PageNode]] = field(default_factory=dict)
    """Nodes that go on from a whole page, by their first token."""
    num_users: int = 0
    """Requests under way that read the page."""
    is_growing: bool = False
    """True where a request under way writes to the rest of the page."""


@dataclass(eq=False)
class Place:
    """Where a request under way has its keys and values."""

    pages: list[int] = field(default_factory=list)
    nodes: list[PageNode] = field(default_factory=list)
    """The nodes of the first of `pages`; those after it are the request's own until it ends."""
    epoch: int = -1
    """Epoch of the tree that the nodes belong to."""


class PrefixTree:
    """Keeps pages that no request under way reads while they take no more than `max_bytes`; the least recently used go
    first. Emptied when weights change, so never stale."""

    def __init__(self, pool: PagePool, max_bytes: int) -> None:
        self._pool = pool
        self.max_bytes = max_bytes
        self.epoch = 0
        """Number of times that the tree was emptied."""
        self._root = PageNode((), -1, None)
        self._idle: OrderedDict[PageNode, None] = OrderedDict()
        """Nodes that no request under way reads, the least recently used first. A node comes before the one that it
        goes on from: both are given back together, the longer first."""

    @property
    def num_idle_bytes(self) -> int:
        """Number of bytes kept for requests yet to come."""
        return len(self._idle) * self._pool.page_bytes

    def find(self, token_ids: Sequence[int]) -> tuple[list[PageNode], PageNode | None, int]:
        """Return the nodes whose whole pages `token_ids` start with, then the node in which they part from what is
        kept and how many of its tokens they share (None and 0 where they share no more)."""
        nodes: list[PageNode] = []
        node = self._root
        while True:
            wanted = tuple(token_ids[len(nodes) * PAGE : (len(nodes) + 1) * PAGE])
            best, most = None, 0
            for child in node.children.get(wanted[0], ()) if wanted else ():
                shared = shared_length(child.token_ids, wanted)
                if shared > most or (shared == most and best is not None and best.is_growing):
                    best, most = child, shared
            if best is None or most < PAGE:
                return nodes, best, most
            nodes.append(best)
            node = best

    def use(self, place: Place, node: PageNode) -> None:
        """Add a node to what a request under way reads."""
        node.num_users += 1
        self._idle.pop(node, None)
        place.nodes.append(node)

    def add(self, place: Place, token_ids: tuple[int, ...]) -> PageNode:
        """Make the first of a request's own pages, which holds these tokens, a node."""
        node = self._insert(place.nodes[-1] if place.nodes else self._root, token_ids, place.pages[len(place.nodes)])
        self.use(place, node)
        return node

    def release(self, place: Place, token_ids: Sequence[int]) -> None:
        """Keep the pages of a request that ended for others, as far as they hold `token_ids`."""
        if place.epoch != self.epoch:
            self._abandon(place)
            return
        nodes = list(place.nodes)
        if nodes and nodes[-1].is_growing:
            nodes[-1].token_ids = _page_of(token_ids, len(nodes) - 1)
            nodes[-1].is_growing = False
        for page in place.pages[len(nodes) :]:
            held = _page_of(token_ids, len(nodes))
            parent = nodes[-1] if nodes else self._root
            twin = next((c for c in parent.children.get(held[0], ()) if c.token_ids == held), None) if held else None
            if not held or twin is not None:
                self._pool.free(page)
            if held:
                nodes.append(twin or self._insert(parent, held, page))
        for node in place.nodes:
            node.num_users -= 1
        for node in reversed(nodes):
            if not node.num_users:
                self._idle[node] = None
                self._idle.move_to_end(node)
        self._give_back()

    def clear(self) -> None:
        """Forgets everything; pages of requests under way are theirs until they end."""
        self.epoch += 1
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            waiting += (child for children in node.children.values() for child in children)
            if node.page >= 0 and not node.num_users:
                self._pool.free(node.page)
        self._root = PageNode((), -1, None)
        self._idle.clear()

    def _insert(self, parent: PageNode, token_ids: tuple[int, ...], page: int) -> PageNode:
        node = PageNode(token_ids, page, parent)
        parent.children.setdefault(token_ids[0], []).append(node)
        return node

    def _abandon(self, place: Place) -> None:
        """Frees what a request had that began before the tree was emptied."""
        for node in place.nodes:
            node.num_users -= 1
            if not node.num_users:
                self._pool.free(node.page)
        for page in place.pages[len(place.nodes) :]:
            self._pool.free(page)

    def _give_back(self) -> None:
        while self.num_idle_bytes > self.max_bytes:
            node, _ = self._idle.popitem(last=False)
            assert node.parent is not None, "the root is never idle"
            siblings = node.parent.children[node.token_ids[0]]
            siblings.remove(node)
            if not siblings:
                del node.parent.children[node.token_ids[0]]
            self._pool.free(node.page)


def shared_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of tokens that two sequences have in common at their start."""
    if left == right:
        return len(left)
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return index
    return min(len(left), len(right))


def _page_of(token_ids: Sequence[int], number: int) -> tuple[int, ...]:
    """Return the tokens that a sequence has in its page of this number."""
    return tuple(token_ids[number * PAGE : (number + 1) * PAGE])

"""Planning of passes over prompts: each token that several of them share is computed once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from assay.engines.local.attention import NewTokens, Pass
from assay.engines.local.pages import PAGE, PagePool
from assay.engines.local.prefixes import PageNode, Place, PrefixTree


@dataclass
class PromptPass:
    """One pass over the prompts of requests that were just admitted.

    A prompt that starts like one of the same pass goes on from the pages that the pass itself fills: keys and values of
    a layer are all written before anybody attends them.
    """

    tree: PrefixTree
    pool: PagePool
    work: Pass = field(default_factory=Pass)
    num_tokens: int = 0
    rows: list[int] = field(default_factory=list)
    """For each prompt the index, among the tokens of the pass, of its last one."""
    copies: list[tuple[int, int]] = field(default_factory=list)
    """Pages to be copied before the pass, and where to."""
    _sources: dict[int, int] = field(default_factory=dict)
    """Page that is to be filled by a copy to the page, of those that were there before, that it is copied from."""
    _computes: dict[tuple[int, int], int] = field(default_factory=dict)
    """Page and place in it to the token of the pass whose key and value go there."""

    def num_new(self, prompt_ids: tuple[int, ...]) -> int:
        """Return the number of tokens that a prompt would add."""
        nodes, _, num_shared = self.tree.find(prompt_ids)
        return max(1, len(prompt_ids) - len(nodes) * PAGE - num_shared)

    def add(self, prompt_ids: tuple[int, ...]) -> Place:
        """Give a prompt its pages, and add what is not computed yet to the pass."""
        nodes, parting, num_shared = self.tree.find(prompt_ids)
        place = Place([node.page for node in nodes], [], self.tree.epoch)
        for node in nodes:
            self.tree.use(place, node)
        if parting is not None:
            self._go_on(place, parting, num_shared)
        num_known = len(nodes) * PAGE + num_shared
        length = len(prompt_ids)
        while len(place.pages) * PAGE < length:
            place.pages.append(self.pool.allocate())
        if num_known < length:
            self._extend(prompt_ids[num_known:], num_known, place.pages)
            self.rows.append(self.num_tokens - 1)
        else:
            self.rows.append(self._last(prompt_ids, place.pages))
        self._register(place, prompt_ids)
        return place

    def _go_on(self, place: Place, node: PageNode, num_shared: int) -> None:
        """Go on from the first tokens of a node's page: in it, where they are all it holds and nobody else does."""
        if num_shared == len(node.token_ids) and not node.is_growing:
            place.pages.append(node.page)
            self.tree.use(place, node)
            return
        page = self.pool.allocate()
        place.pages.append(page)
        computed_now = [(offset, self._computes.get((node.page, offset))) for offset in range(num_shared)]
        if any(token is None for _, token in computed_now):
            # Copies are made at once: from a page that is itself to be filled by one, nothing could be read yet.
            self._sources[page] = self._sources.get(node.page, node.page)
            self.copies.append((self._sources[page], page))
        # What this very pass computes, it writes to both pages.
        for offset, token in computed_now:
            if token is not None:
                self._write(token, page, offset)

    def _extend(self, token_ids: Sequence[int], start: int, pages: Sequence[int]) -> None:
        for position in range(start, start + len(token_ids)):
            self._write(self.num_tokens + position - start, pages[position // PAGE], position % PAGE)
        self.work.extensions.append(NewTokens(token_ids, start, pages))
        self.num_tokens += len(token_ids)

    def _last(self, prompt_ids: tuple[int, ...], pages: Sequence[int]) -> int:
        """Return the token of the pass that has the logits of a prompt all of which is known."""
        position = len(prompt_ids) - 1
        row = self._computes.get((pages[position // PAGE], position % PAGE))
        if row is not None:
            return row
        # Its key and value are there; only what follows from them is computed again.
        self.work.extensions.append(NewTokens(prompt_ids[-1:], position, pages))
        self.num_tokens += 1
        return self.num_tokens - 1

    def _write(self, token: int, page: int, offset: int) -> None:
        self.work.writes.append((token, page, offset))
        self._computes[page, offset] = token

    def _register(self, place: Place, prompt_ids: tuple[int, ...]) -> None:
        """Let others find the prompt's pages; the last is this request's to go on in."""
        if place.nodes and len(place.nodes[-1].token_ids) < PAGE:
            number = len(place.nodes) - 1
            place.nodes[-1].token_ids = prompt_ids[number * PAGE : (number + 1) * PAGE]
        for number in range(len(place.nodes), len(place.pages)):
            self.tree.add(place, prompt_ids[number * PAGE : (number + 1) * PAGE])
        place.nodes[-1].is_growing = len(place.nodes[-1].token_ids) < PAGE

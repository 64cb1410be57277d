"""Pages and the tree of those that hold the starts of sequences."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from assay.engines.local.pages import PAGE, PagePool
from assay.engines.local.prefixes import Place, PrefixTree, shared_length
from assay.engines.local.prompts import PromptPass
from assay.policies import DecoderConfig
from assay.seeds import derive_seed


@pytest.fixture
def pool(tiny_model: Path) -> PagePool:
    return PagePool(DecoderConfig.from_folder(tiny_model), torch.float32, "cpu")


def tree_of(pool: PagePool, num_pages: int) -> PrefixTree:
    return PrefixTree(pool, num_pages * pool.page_bytes)


def read(tree: PrefixTree, pool: PagePool, *prompts: range | tuple[int, ...]) -> tuple[list[Place], PromptPass]:
    """Prompts of one pass."""
    plan = PromptPass(tree, pool)
    return [plan.add(tuple(prompt)) for prompt in prompts], plan


def keep(tree: PrefixTree, pool: PagePool, *prompts: range | tuple[int, ...]) -> None:
    """Prompts that were computed, one after the other, and ended."""
    for prompt in prompts:
        [place], _ = read(tree, pool, prompt)
        tree.release(place, tuple(prompt))


def num_new(tree: PrefixTree, pool: PagePool, prompt: range | tuple[int, ...]) -> int:
    return PromptPass(tree, pool).num_new(tuple(prompt))


def test_growing_keeps_what_is_there(pool: PagePool) -> None:
    pages = [pool.allocate() for _ in range(3)]
    for layer in pool.layers:
        layer[:, pages] = torch.randn_like(layer[:, pages])
    before = [layer[:, pages].clone() for layer in pool.layers]
    more = [pool.allocate() for _ in range(40)]
    assert len({*pages, *more}) == 43
    assert all(torch.equal(layer[:, pages], old) for layer, old in zip(pool.layers, before, strict=True))
    pool.copy([(pages[0], more[0]), (pages[2], more[1])])
    for layer, old in zip(pool.layers, before, strict=True):
        assert torch.equal(layer[:, more[:2]], old[:, [0, 2]])
    pool.free(pages[1])
    assert pool.num_used == 42
    assert pool.allocate() == pages[1]
    pool.clear()
    assert sum(layer.numel() for layer in pool.layers) == pool.num_used == 0


def test_a_prefix_is_found_to_the_token(pool: PagePool) -> None:
    tree = tree_of(pool, 100)
    first, second = tuple(range(100)), (*range(70), *range(200, 230))
    keep(tree, pool, first, second)
    for prompt, new in (
        ((*first, 7, 7), 2),
        ((*first[:75], 7), 1),
        ((*second, 5), 1),
        ((*second[:64], 5, 6, 7), 3),
        (first[:50], 1),
        ((5, *first), 101),
    ):
        assert num_new(tree, pool, prompt) == new
    # 100 tokens, then 30 of the second, of which 6 more share the page in which the two part.
    assert pool.num_used == 4 + 2


def test_a_turn_goes_on_in_its_own_pages_and_a_fork_in_a_copy(pool: PagePool) -> None:
    tree = tree_of(pool, 100)
    keep(tree, pool, range(50))
    [turn], plan = read(tree, pool, range(60))
    assert (plan.num_tokens, plan.copies, pool.num_used) == (10, [], 2)
    [fork], plan = read(tree, pool, (*range(55), 7))
    assert (plan.num_tokens, pool.num_used) == (1, 3)
    assert plan.copies == [(turn.pages[1], fork.pages[1])]
    assert fork.pages[0] == turn.pages[0]
    tree.release(turn, range(60))
    tree.release(fork, (*range(55), 7))
    assert num_new(tree, pool, range(64)) == 4
    assert num_new(tree, pool, (*range(55), 7, 8)) == 1


def test_prompts_of_one_pass_share_what_the_pass_computes(pool: PagePool) -> None:
    tree = tree_of(pool, 0)
    places, plan = read(tree, pool, range(50), range(50), range(40), (*range(45), 99), (*range(50), 100))
    assert plan.num_tokens == 50 + 1 + 1
    assert plan.copies == []
    # The second ends where the first does, the third within the first.
    assert plan.rows == [49, 49, 39, 50, 51]
    assert len({place.pages[0] for place in places}) == 1
    assert len({place.pages[1] for place in places}) == 5
    # Each has the keys and values of all its tokens in its own pages, from whichever token computes them.
    written = {(page, offset): token for token, page, offset in plan.work.writes}
    for place, length, last in ((places[1], 50, 49), (places[2], 40, 39), (places[3], 46, 50), (places[4], 51, 51)):
        found = [written[place.pages[position // PAGE], position % PAGE] for position in range(length)]
        assert found == [*range(length - 1), last]
    for place, prompt in zip(places, (50, 50, 40, 46, 51), strict=True):
        tree.release(place, range(prompt))
    assert (pool.num_used, tree.num_idle_bytes) == (0, 0), "nothing is kept"


def test_the_least_recently_used_goes_first_and_never_what_is_read(pool: PagePool) -> None:
    tree = tree_of(pool, 4)
    one, two, three = (tuple(range(start, start + 64)) for start in (0, 100, 200))
    keep(tree, pool, one, two)
    [reader], _ = read(tree, pool, (*one, 1))
    keep(tree, pool, three)
    assert num_new(tree, pool, two) == 1, "what a request reads does not count"
    tree.release(reader, (*one, 1))
    # Three pages more than there is room for: the longer part of each goes before what it goes on from.
    assert [num_new(tree, pool, prompt) for prompt in (one, two, three)] == [1, 64, 32]
    assert tree.num_idle_bytes == tree.max_bytes
    assert pool.num_used == 4


def test_what_began_before_new_weights_is_found_by_nobody(pool: PagePool) -> None:
    tree = tree_of(pool, 100)
    keep(tree, pool, range(200, 280))
    old, _ = read(tree, pool, range(70), range(70))
    tree.clear()
    assert num_new(tree, pool, range(70)) == 70
    assert num_new(tree, pool, range(200, 280)) == 80
    [new], _ = read(tree, pool, range(70))
    for place in old:
        tree.release(place, range(70))
    assert pool.num_used == 3, "the new one's"
    tree.release(new, range(70))
    assert num_new(tree, pool, range(70)) == 1


def test_what_two_compute_alike_is_kept_once(pool: PagePool) -> None:
    tree = tree_of(pool, 100)
    places, _ = read(tree, pool, range(32), range(32))
    for place in places:
        place.pages.append(pool.allocate())
    for place in places:
        tree.release(place, range(40))
    assert pool.num_used == 2


def test_shared_length() -> None:
    assert shared_length((1, 2, 3), (1, 2, 4, 5)) == 2
    assert shared_length((1, 2), (1, 2, 4)) == 2
    assert shared_length((), (1,)) == 0
    assert shared_length((1, 2), (1, 2)) == 2


def marker(token_ids: tuple[int, ...]) -> float:
    """What a page must hold for the last of these tokens: it depends on all of them, as a key and a value do."""
    return float(derive_seed("marker", *token_ids) % 2**20)


def compute(pool: PagePool, plan: PromptPass) -> None:
    """Do to the pages what a pass does, with the marker of each token in place of its key."""
    pool.copy(plan.copies)
    held: list[float] = []
    for extension, whole in zip(plan.work.extensions, plan.whole, strict=True):
        held += [
            marker(whole[: position + 1])
            for position in range(extension.start, extension.start + len(extension.token_ids))
        ]
    for token, page, offset in plan.work.writes:
        for layer in pool.layers:
            layer[:, page, :, offset] = held[token]


class Whole(PromptPass):
    """A pass that remembers the prompts of its extensions."""

    def add(self, prompt_ids: tuple[int, ...]) -> Place:
        before = len(self.work.extensions)
        place = super().add(prompt_ids)
        self.whole = [*getattr(self, "whole", []), *[prompt_ids] * (len(self.work.extensions) - before)]
        return place


@pytest.mark.parametrize("num_kept", [0, 6, 1000])
def test_pages_hold_their_own_sequences_whoever_shares_them(pool: PagePool, num_kept: int) -> None:
    """Requests that start alike in every way come, grow and end in any order; chains of copies in one pass too."""
    tree, random_numbers = tree_of(pool, num_kept), random.Random(5)
    said: list[tuple[int, ...]] = [tuple(range(10))]
    running: list[tuple[Place, list[int]]] = []
    for _ in range(400):
        plan = Whole(tree, pool)
        for _ in range(random_numbers.randint(0, 6)):
            start = random_numbers.choice(said[-30:])
            cut = random_numbers.randint(1, len(start))
            prompt = (*start[:cut], *(random_numbers.randint(0, 2) for _ in range(random_numbers.randint(0, 30))))[:120]
            running.append((plan.add(prompt), list(prompt)))
            said.append(prompt)
        if plan.rows:
            compute(pool, plan)
        for place, token_ids in running:
            token_ids.append(random_numbers.randint(0, 2))
            position = len(token_ids) - 1
            if position == len(place.pages) * PAGE:
                place.pages.append(pool.allocate())
            for layer in pool.layers:
                layer[:, place.pages[-1], :, position % PAGE] = marker(tuple(token_ids))
        for place, token_ids in running:
            for position in range(len(token_ids)):
                found = float(pool.layers[-1][1, place.pages[position // PAGE], 0, position % PAGE, 0])
                assert found == marker(tuple(token_ids[: position + 1]))
        for ended in [each for each in running if random_numbers.random() < 0.3]:
            running.remove(ended)
            said.append(tuple(ended[1]))
            tree.release(ended[0], ended[1])

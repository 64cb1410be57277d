"""Card sorting with a rule that switches without notice."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

from assay.environments.adapt.trials import Played, Trials, sixths
from assay.environments.moves import listed, read_letter
from assay.seeds import derive_seed
from assay.types import Split

FEATURES: Mapping[str, tuple[str, ...]] = {
    "colour": ("red", "green", "blue", "black"),
    "shape": ("circle", "square", "star", "heart"),
    "size": ("tiny", "small", "large", "huge"),
    "count": ("one", "two", "three", "four"),
}
PILES = "ABCD"
SHAPES = {1: (2, 3), 2: (3, 3), 3: (3, 4), 4: (4, 4)}
"""Complexity to the number of features, and of values and piles."""
SETTLE = {1: 5, 2: 6, 3: 8, 4: 9}
"""Complexity to the trials in which a rule can be learned."""
MAX_LATE = 4
_TRIES = 200

Card = tuple[int, ...]
"""The value of each feature, by its place."""
Rule = tuple[int, tuple[int, ...]]
"""The feature that counts, and the pile of each of its values."""


def rules(complexity: int) -> list[Rule]:
    """Every rule of a level."""
    num_features, num_values = SHAPES[complexity]
    return list(itertools.product(range(num_features), itertools.permutations(range(num_values))))


def rules_of(split: Split, complexity: int) -> list[Rule]:
    """The rules of a level that a split has. Which one a rule is in depends on the rule alone, not on the level."""
    return [rule for rule in rules(complexity) if rule in _held_out(*SHAPES[complexity])[split]]


@functools.cache
def _held_out(num_features: int, num_values: int) -> Mapping[Split, frozenset[Rule]]:
    """Return the rules of each split: a sixth of each feature's for validation and a sixth for the test, by a hash."""
    found: dict[Split, set[Rule]] = {"train": set(), "validation": set(), "test": set()}
    for feature in range(num_features):
        ranked = sorted(
            itertools.permutations(range(num_values)),
            key=lambda piles: derive_seed("adapt", "sorting", "split", feature, *piles),
        )
        for split, some in sixths(ranked).items():
            found[split] |= {(feature, piles) for piles in some}
    return {split: frozenset(some) for split, some in found.items()}


class RuleLearner:
    """Keeps every rule that explains the cards since the last surprise, and lets those rules vote on the next card."""

    def __init__(self, complexity: int) -> None:
        self._rules = rules(complexity)
        self._memory: list[tuple[Card, int]] = []
        self._left = self._rules

    def guess(self, card: Card) -> int:
        """The pile that most of the rules left give; of equals the first."""
        votes = [piles[card[feature]] for feature, piles in self._left]
        return max(range(len(PILES)), key=votes.count)

    def learn(self, card: Card, pile: int) -> None:
        """Take in the right pile of a card. Where no rule explains it beside the earlier ones, those are forgotten from
        the oldest on, until one does."""
        self._memory.append((card, pile))
        self._left = [rule for rule in self._left if _explains(rule, card, pile)]
        while not self._left:
            del self._memory[0]
            self._left = [rule for rule in self._rules if all(_explains(rule, *seen) for seen in self._memory)]

    def copy(self) -> RuleLearner:
        twin = RuleLearner.__new__(RuleLearner)
        twin._rules, twin._memory, twin._left = self._rules, list(self._memory), list(self._left)
        return twin


def _explains(rule: Rule, card: Card, pile: int) -> bool:
    feature, piles = rule
    return piles[card[feature]] == pile


def drawn(complexity: int, horizon: int, split: Split, rng: random.Random) -> dict[str, Any] | None:
    """A world of this many rules, with cards by which each can be learned; None where 200 tries find none.

    By which it can be learned: the first card after a switch contradicts the rule before it, a `RuleLearner` is right
    from trial `SETTLE` on, and the cards from there on do not all go to one pile.
    """
    learner, stretches, last = RuleLearner(complexity), [], None
    for _ in range(horizon):
        rule = rng.choice([rule for rule in rules_of(split, complexity) if rule != last])
        for _ in range(_TRIES):
            cards = _cards(complexity, rng)
            piles = [rule[1][card[rule[0]]] for card in cards]
            told = last is None or last[1][cards[0][last[0]]] != piles[0]
            after = learner.copy()
            late = _late_is_right(after, cards, piles, SETTLE[complexity])
            if told and late and len(set(piles[SETTLE[complexity] :])) > 1:
                break
        else:
            return None
        learner, last = after, rule
        stretches.append({"rule": [rule[0], list(rule[1])], "cards": [list(card) for card in cards]})
    return {"stretches": stretches}


def _cards(complexity: int, rng: random.Random) -> list[Card]:
    num_features, num_values = SHAPES[complexity]
    count = SETTLE[complexity] + rng.randint(2, MAX_LATE)
    return [tuple(rng.randrange(num_values) for _ in range(num_features)) for _ in range(count)]


def _late_is_right(learner: RuleLearner, cards: Sequence[Card], piles: Sequence[int], settle: int) -> bool:
    right = True
    for place, (card, pile) in enumerate(zip(cards, piles, strict=True)):
        right &= place < settle or learner.guess(card) == pile
        learner.learn(card, pile)
    return right


class Sorting(Trials):
    """Cards one by one, and the pile that each belongs on."""

    def __init__(self, complexity: int, world: Mapping[str, Any]) -> None:
        super().__init__([len(stretch["cards"]) for stretch in world["stretches"]], SETTLE[complexity])
        self._stretches = world["stretches"]
        self._piles = PILES[: SHAPES[complexity][1]]

    @property
    def state(self) -> str:
        return f"card {self.num_played}"

    def show(self) -> str:
        return f"Card: {card_text(self._card)}"

    @property
    def _card(self) -> Card:
        stretch, place = self.at
        return tuple(self._stretches[stretch]["cards"][place])

    def play(self, text: str) -> Played:
        feature, piles = self._stretches[self.at[0]]["rule"]
        right = self._piles[piles[self._card[feature]]]
        said = read_letter(text, self._piles)
        gained = float(said == right)
        self.record(gained)
        illegal = "" if said else f"Say one pile: {listed(self._piles)}."
        return Played("Right." if gained else f"Wrong, it was {right}.", illegal)


def card_text(card: Card) -> str:
    """Return a card in words."""
    return ", ".join(values[value] for values, value in zip(FEATURES.values(), card, strict=False))


def opening(complexity: int) -> str:
    """Return the rules as the model is told them."""
    num_features, num_values = SHAPES[complexity]
    features = [f"{name} ({', '.join(values[:num_values])})" for name, values in FEATURES.items()][:num_features]
    return (
        f"Sort cards into piles {listed(PILES[:num_values], 'and')}. A hidden rule looks at one feature: "
        f"{listed(features)}. Each value of it has its own pile. The rule may change without notice. Say one letter."
    )


class SortingExpert:
    """Reads cards and what was said of them, and does what the `RuleLearner` says."""

    def __init__(self, complexity: int) -> None:
        self._learner = RuleLearner(complexity)
        self._card: Card | None = None
        self._said = ""

    def move(self, shown: str) -> str:
        """The next move, given what was shown last."""
        lines = shown.splitlines()
        for line in lines:
            if self._card is not None and line == "Right.":
                self._learner.learn(self._card, PILES.index(self._said))
            elif self._card is not None and line.startswith("Wrong, it was "):
                self._learner.learn(self._card, PILES.index(line.removeprefix("Wrong, it was ")[0]))
        words = lines[-1].removeprefix("Card: ").split(", ")
        self._card = tuple(values.index(word) for values, word in zip(FEATURES.values(), words, strict=False))
        self._said = PILES[self._learner.guess(self._card)]
        return self._said

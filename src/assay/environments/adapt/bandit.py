"""A bandit that drifts: machines whose pay moves while one plays."""

from __future__ import annotations

import functools
import itertools
import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from assay.environments.adapt.trials import Played, Trials, sixths
from assay.environments.moves import listed, read_letter
from assay.seeds import derive_seed
from assay.types import Split

MACHINES = "ABCDE"
NUM_MACHINES = {1: 2, 2: 3, 3: 4, 4: 5}
"""Complexity to the number of machines."""
GOOD, BAD = (7, 8, 9), (0, 1, 2, 3)
"""Pay of the one good machine, and of the others, before noise of at most 1."""
DRIFT = 3
"""Trials in which the pay moves from one rule's to the next one's."""
MAX_LATE = 5


def settle(complexity: int) -> int:
    """Trials of a stretch in which the good machine can be found: the drift, then each machine once."""
    return DRIFT - 1 + NUM_MACHINES[complexity]


@functools.cache
def rules_of(split: Split, complexity: int) -> tuple[tuple[int, ...], ...]:
    """The rules of a split: what each machine pays, one of them well. A rule's split depends on the rule alone: of
    those with the same good machine a sixth is for validation and a sixth for the test, by a hash."""
    count = NUM_MACHINES[complexity]
    found: list[tuple[int, ...]] = []
    for best in range(count):
        same = itertools.product(*(GOOD if machine == best else BAD for machine in range(count)))
        found += sixths(sorted(same, key=lambda rule: derive_seed("adapt", "bandit", "split", *rule)))[split]
    return tuple(found)


def drawn(complexity: int, horizon: int, split: Split, rng: random.Random) -> dict[str, Any] | None:
    """A world of this many rules of the split, in which the good machine changes each time; None where there is no
    other."""
    known, stretches, before = rules_of(split, complexity), [], None
    for _ in range(horizon):
        others = [rule for rule in known if before is None or rule.index(max(rule)) != before.index(max(before))]
        if not others:
            return None
        rule = rng.choice(others)
        length = settle(complexity) + rng.randint(2, MAX_LATE)
        stretches.append([_pay(rule, before or rule, trial, rng) for trial in range(length)])
        before = rule
    return {"pay": stretches}


def _pay(rule: Sequence[int], before: Sequence[int], trial: int, rng: random.Random) -> list[int]:
    weight = min(1.0, (trial + 1) / DRIFT)
    means = [weight * new + (1 - weight) * old for new, old in zip(rule, before, strict=True)]
    return [min(9, max(0, round(mean) + rng.randint(-1, 1))) for mean in means]


class Bandit(Trials):
    """Pulls of machines; a pull gains what it pays, as a share of what the best machine would have paid then."""

    def __init__(self, complexity: int, world: Mapping[str, Any]) -> None:
        super().__init__([len(stretch) for stretch in world["pay"]], settle(complexity))
        self._pay = world["pay"]
        self._machines = MACHINES[: NUM_MACHINES[complexity]]
        self._pulled = ""

    @property
    def state(self) -> str:
        return f"after {self._pulled}"

    def show(self) -> str:
        return f"Pull {self.num_played + 1} of {self.num_trials}:"

    def play(self, text: str) -> Played:
        stretch, trial = self.at
        pay = self._pay[stretch][trial]
        said = read_letter(text, self._machines)
        self._pulled += said or "-"
        if said is None:
            self.record(0.0)
            return Played("", f"Say one machine: {listed(self._machines)}.")
        paid = pay[self._machines.index(said)]
        self.record(paid / max(pay))
        return Played(f"{said} paid {paid}.")


def opening(complexity: int) -> str:
    """Return the rules as the model is told them."""
    machines = listed(MACHINES[: NUM_MACHINES[complexity]])
    return (
        f"Pull a machine: {machines}. It pays 0 to 9 points; one pays far better than the others, and which one may "
        "change without notice. Earn as much as you can. Say one letter."
    )


class BanditExpert:
    """Stays while a machine pays at least 5, else tries the next one."""

    def __init__(self, complexity: int) -> None:
        self._machines = MACHINES[: NUM_MACHINES[complexity]]
        self._next = 0

    def move(self, shown: str) -> str:
        """The next move, given what was shown last."""
        told = re.search(r"paid (\d)\.", shown)
        if told and int(told[1]) < 5:
            self._next = (self._next + 1) % len(self._machines)
        return self._machines[self._next]

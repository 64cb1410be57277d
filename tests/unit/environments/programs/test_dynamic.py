"""References of level 9 beside all choices that there are, tried one by one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from random import Random
from typing import Any

from assay.environments.programs.function import Function
from assay.environments.programs.levels import LEVELS


def functions(opening: str, count: int) -> Iterator[tuple[Function, Any]]:
    """Some of level 9 whose description begins like this, with the reference."""
    found = (LEVELS[9].make(Random(seed)) for seed in range(3000))
    for function in itertools.islice((f for f in found if re.match(opening, f.description)), count):
        names: dict[str, Any] = {}
        exec(function.source, names)
        yield function, names[function.name]


def test_sets_of_coins() -> None:
    for function, reference in functions(r"returns in how many ways the amount n.*The order of coins does not", 6):
        coins = [int(number) for number in re.findall(r"\d+", function.description.partition("each")[0])]
        limit = int((re.findall(r"each at most (\d)", function.description) or ["25"])[0])
        for n in (0, 1, 7, 18):
            uses = (range(min(limit, n // coin) + 1) for coin in coins)
            ways = sum(sum(c * u for c, u in zip(coins, used, strict=True)) == n for used in itertools.product(*uses))
            assert reference(n) == ways


def test_chosen_numbers_in_order() -> None:
    rng = Random(5)
    seen = set()
    for function, reference in functions(
        r"returns (how many numbers|the largest sum|in how many ways).* from `numbers`", 25
    ):
        relation = re.findall(r"        if (.*):\n", function.source)[0]
        far = int((re.findall(r"at most (\d) places after x", function.description) or ["99"])[0])
        for size in (0, 1, 5, 6):
            numbers = [rng.randint(-9, 20) for _ in range(size)]
            good = [
                chosen
                for count in range(1, size + 1)
                for chosen in itertools.combinations(range(size), count)
                if all(
                    j - i <= far and eval(relation, {}, {"x": numbers[i], "y": numbers[j]})
                    for i, j in itertools.pairwise(chosen)
                )
            ]
            if "how many numbers" in function.description:
                wanted = max(map(len, good), default=0)
            elif "largest sum" in function.description:
                wanted = max((sum(numbers[i] for i in chosen) for chosen in good), default=0)
            else:
                wanted = len(good)
            assert reference(numbers) == wanted
        seen.add(function.description[:20])
    assert len(seen) == 3


def test_numbers_apart() -> None:
    rng = Random(6)
    for function, reference in functions(r"chooses (some|at most)", 12):
        most = int((re.findall(r"chooses at most (\d)", function.description) or ["99"])[0])
        gap = int((re.findall(r"at least (\d) others", function.description) or ["1"])[0])
        fee = int((re.findall(r"less (\d+) for each", function.description) or ["0"])[0])
        bonus = int((re.findall(r"plus (\d+) for each of them that is odd", function.description) or ["0"])[0])
        for size in (0, 3, 7):
            numbers = [rng.randint(-12, 20) for _ in range(size)]
            wanted = max(
                sum(numbers[i] - fee + bonus * (numbers[i] % 2) for i in chosen)
                for count in range(min(size, most) + 1)
                for chosen in itertools.combinations(range(size), count)
                if all(j - i > gap for i, j in itertools.pairwise(chosen))
            )
            assert reference(numbers) == wanted


def test_knapsacks() -> None:
    rng = Random(7)
    seen = set()
    for function, reference in functions(r"chooses from `items`", 12):
        often = "as often as one likes" in function.description
        most = int((re.findall(r"each item at most (\d) times", function.description) or ["1"])[0])
        fee = int((re.findall(r"counts (\d) less", function.description) or ["0"])[0])
        exact = "is exactly capacity" in function.description
        for _ in range(3):
            items = [(rng.randint(2, 9), rng.randint(1, 20)) for _ in range(3)]
            capacity = rng.randint(0, 14)
            values = []
            for used in itertools.product(range(8 if often else most + 1), repeat=3):
                weight = sum(count * item[0] for count, item in zip(used, items, strict=True))
                if weight == capacity or (weight < capacity and not exact):
                    values.append(sum(count * (item[1] - fee) for count, item in zip(used, items, strict=True)))
            assert reference(items, capacity) == max(values, default=-1)
        seen.add((often, most, exact))
    assert len(seen) >= 3


def test_cuts() -> None:
    rng = Random(8)
    for function, reference in functions(r"cuts `numbers` into pieces", 8):
        size = int(re.findall(r"pieces of 1 to (\d)", function.description)[0])
        worth = re.findall(r"is worth `(.*?)`", function.description)[0]
        best = max if "the largest sum" in function.description else min
        numbers = [rng.randint(-9, 15) for _ in range(6)]
        totals = []
        for ends in itertools.product((False, True), repeat=5):
            places = [0, *(i + 1 for i, end in enumerate(ends) if end), 6]
            pieces = [numbers[start:end] for start, end in itertools.pairwise(places)]
            if all(len(piece) <= size for piece in pieces):
                totals.append(sum(eval(worth, {"piece": piece}) for piece in pieces))
        assert reference(numbers) == best(totals)
        assert reference([]) == 0

"""Level 9: dynamic programming: recurrences over grids, amounts, sequences and pairs of texts."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, Phrase, lines, parameters
from assay.environments.programs.value_kinds import Grid, Integer, Kind, ListOf, Text, TupleOf

_MOVES = {
    "one cell right": (0, 1),
    "one cell down": (1, 0),
    "one cell diagonally (right and down)": (1, 1),
    "two cells right": (0, 2),
    "two cells down": (2, 0),
    "one cell right and two down": (2, 1),
    "two cells right and one down": (1, 2),
}


def make(rng: Random) -> Function:
    return rng.choice(
        (_paths, _cheapest, _coins, _coins, _subsequence, _subsequence, _edits, _common, _items, _apart, _stairs, _cuts)
    )(rng)


def _moves(rng: Random, count: int) -> tuple[str, list[tuple[int, int]]]:
    chosen = [name for name in _MOVES if name in rng.sample(list(_MOVES), count)]
    if all(_MOVES[name][0] == 0 for name in chosen) or all(_MOVES[name][1] == 0 for name in chosen):
        chosen = ["one cell right", "one cell down", *chosen[:1]]
    chosen = list(dict.fromkeys(chosen))
    return ", or ".join(chosen), [_MOVES[name] for name in chosen]


def _paths(rng: Random) -> Function:
    """Return a function that counts the paths through a grid with blocked cells."""
    words, moves = _moves(rng, rng.choice((2, 2, 3, 3)))
    rule = rng.choice(("blocked", "blocked", "double"))
    cells = {"blocked": "...#", "double": "...#*"}[rule]
    extra = {
        "blocked": "",
        "double": " A way counts twice for each '*' that it enters (not for one that it starts on).",
    }[rule]
    update = {
        "blocked": None,
        "double": "            if grid[i][j] == '*' and (i, j) != (0, 0):\n                ways[i][j] *= 2",
    }[rule]
    modulus = rng.choice((0, 0, 7, 10))
    return Function(
        name=rng.choice(("count_paths", "ways_through", "routes")),
        parameters=parameters(grid=Grid(cells, 5, 5)),
        returns="int",
        description=(
            f"returns how many ways lead from the top left cell of `grid` to the bottom right one by moves of {words}. "
            "Moves may not leave the grid, start at a '#' or end on one (they may pass over one); "
            "where the first or the last cell is a '#', there are "
            f"no ways.{extra} In a grid of a single cell that is not a '#' there is one way."
            + (f" The result is given modulo {modulus}." if modulus else "")
        ),
        body=lines(
            "rows, columns = len(grid), len(grid[0])",
            "ways = [[0] * columns for _ in range(rows)]",
            "for i in range(rows):",
            "    for j in range(columns):",
            "        if grid[i][j] != '#':",
            "            if (i, j) == (0, 0):",
            "                ways[i][j] = 1",
            f"            for di, dj in {moves}:",
            "                if i >= di and j >= dj:",
            "                    ways[i][j] += ways[i - di][j - dj]",
            update,
            f"return ways[-1][-1]{f' % {modulus}' if modulus else ''}",
        ),
    )


def _cheapest(rng: Random) -> Function:
    """The best sum along a way through a grid of numbers."""
    words, moves = _moves(rng, rng.choice((2, 3)))
    # Every cell of the last row and column must be reached.
    basic = ["one cell right", "one cell down"]
    if not {(0, 1), (1, 0)} <= set(moves):
        names = [*basic, *(name for name in _MOVES if _MOVES[name] in moves and name not in basic)]
        words, moves = ", or ".join(names), [_MOVES[name] for name in names]
    best = rng.choice(("min", "max"))
    fee = rng.randint(1, 6)
    charged = rng.random() < 0.6
    shown = "smallest" if best == "min" else "largest"
    sign = "plus" if rng.random() < 0.5 else "minus"
    change = f" {'+' if sign == 'plus' else '-'} {fee} * (di + dj - 1)"
    verb = "adds" if sign == "plus" else "subtracts"
    extra = (
        f" For each cell right and each cell down that a move goes, beyond the first, it {verb} {fee} (so "
        "nothing for a move of one cell right or one cell down)."
    )
    return Function(
        name=rng.choice(("best_path", "path_value", "cross_grid")),
        parameters=parameters(grid=Grid(Integer(-9, 9), 4, 4)),
        returns="int",
        description=(
            f"returns the {shown} sum of a way from the top left cell of `grid` to the bottom right "
            f"one by moves of {words}, "
            "within the grid. The sum of a way is that of the numbers in its cells, the first and "
            f"the last included.{extra if charged else ''}"
        ),
        body=lines(
            "rows, columns = len(grid), len(grid[0])",
            "best = [[None] * columns for _ in range(rows)]",
            "best[0][0] = grid[0][0]",
            "for i in range(rows):",
            "    for j in range(columns):",
            f"        for di, dj in {moves}:",
            "            if i >= di and j >= dj:",
            f"                value = best[i - di][j - dj] + grid[i][j]{change if charged else ''}",
            f"                if best[i][j] is None or value {'<' if best == 'min' else '>'} best[i][j]:",
            "                    best[i][j] = value",
            "return best[-1][-1]",
        ),
    )


def _coins(rng: Random) -> Function:
    """Sums made of given numbers."""
    coins = sorted(rng.sample(range(1, 13), rng.choice((2, 3, 3, 4))))
    shown = ", ".join(map(str, coins[:-1])) + f" and {coins[-1]}"
    forbidden = rng.choice((0, 0, rng.randint(3, 9)))
    kind = rng.choice(("sets", "orders", "fewest", "most", "cost"))
    n = 45 if kind in ("fewest", "most", "cost") else 25
    bar = (
        (
            " While coins are put down one after the other, their sum so far may never be divisible by "
            f"{forbidden}, other than at the start (where it is 0)."
        )
        if forbidden
        else ""
    )
    skip = f"if total % {forbidden} == 0:\n        continue" if forbidden else None
    if kind == "sets":
        limit = rng.choice((0, 1, 2, 3))
        most = f"each at most {limit} time{'s' if limit > 1 else ''}" if limit else "each as often as one likes"
        inner = (
            [
                "    for total in range(n, -1, -1):",
                f"        for used in range(1, {limit + 1}):",
                "            if used * coin <= total:",
                "                ways[total] += ways[total - used * coin]",
            ]
            if limit
            else ["    for total in range(coin, n + 1):", "        ways[total] += ways[total - coin]"]
        )
        return Function(
            name=rng.choice(("coin_sets", "change_ways", "make_amount")),
            parameters=parameters(n=Integer(0, n)),
            returns="int",
            description=(
                f"returns in how many ways the amount n can be made of coins of {shown}, {most}. The "
                "order of coins does not matter, and there is one way to make 0."
            ),
            body=lines("ways = [1] + [0] * n", f"for coin in {coins}:", *inner, "return ways[n]"),
        )
    if kind == "orders":
        return Function(
            name=rng.choice(("coin_orders", "sequences", "make_amount")),
            parameters=parameters(n=Integer(0, n)),
            returns="int",
            description=(
                f"returns in how many ways the amount n can be made of coins of {shown}, each as often as "
                "one likes, where ways that differ in the order of coins are different. There is one way "
                f"to make 0.{bar}"
            ),
            body=lines(
                "ways = [1] + [0] * n",
                "for total in range(1, n + 1):",
                f"    {skip}" if skip else None,
                f"    for coin in {coins}:",
                "        if coin <= total:",
                "            ways[total] += ways[total - coin]",
                "return ways[n]",
            ),
        )
    prices = {coin: rng.randint(1, 9) for coin in coins}
    name, sign = {"fewest": ("fewest", "<"), "most": ("most", ">"), "cost": ("lowest", "<")}[kind]
    if kind == "cost":
        words = (
            f"returns the lowest price at which the amount n can be made of coins of {shown}, each as "
            f"often as one likes. Their prices are given by `{prices}`."
        )
        loop, value = f"    for coin, price in {prices}.items():", "best[total - coin] + price"
    else:
        words = (
            f"returns the {name} coins with which the amount n can be made of coins of {shown}, each as "
            "often as one likes."
        )
        loop, value = f"    for coin in {coins}:", "best[total - coin] + 1"
    return Function(
        name=rng.choice((f"{name}_coins", "pay", "make_amount")),
        parameters=parameters(n=Integer(0, n)),
        returns="int",
        description=f"{words} It returns -1 if n cannot be made, and 0 for n = 0.{bar}",
        body=lines(
            "best = [0] + [None] * n",
            "for total in range(1, n + 1):",
            f"    {skip}" if skip else None,
            loop,
            "        if coin <= total and best[total - coin] is not None:",
            f"            value = {value}",
            f"            if best[total] is None or value {sign} best[total]:",
            "                best[total] = value",
            "return -1 if best[n] is None else best[n]",
        ),
    )


def _relation(rng: Random) -> Phrase:
    """Draw a relation between x and the y that is chosen next."""
    k, m = rng.randint(1, 8), rng.randint(2, 5)
    r = rng.randrange(m)
    return rng.choice(
        (
            Phrase("y is greater than x", "y > x"),
            Phrase("y is at least x", "y >= x"),
            Phrase("y is less than x", "y < x"),
            Phrase(f"y is greater than x, by at most {k}", f"0 < y - x <= {k}"),
            Phrase(f"y is greater than x by at least {k}", f"y - x >= {k}"),
            Phrase(f"x and y differ by at most {k}", f"abs(x - y) <= {k}"),
            Phrase(f"x and y differ by more than {k}", f"abs(x - y) > {k}"),
            Phrase(f"`x + y` has remainder {r} modulo {m}", f"(x + y) % {m} == {r}"),
            Phrase(f"`y - x` has remainder {r} modulo {m}", f"(y - x) % {m} == {r}"),
            Phrase("one of x and y is even and the other is odd", "x % 2 != y % 2"),
            Phrase("y is greater than x and both are even or both odd", "y > x and x % 2 == y % 2"),
            Phrase(f"y is less than x or greater than `x + {k}`", f"y < x or y > x + {k}"),
        )
    )


def _subsequence(rng: Random) -> Function:
    """The best choice of numbers in order, each in a relation to the next."""
    relation, far = _relation(rng), rng.choice((0, 0, 0, 2, 3))
    near = f" and y is at most {far} places after x in `numbers`" if far else ""
    kind = rng.choice(("length", "length", "sum", "count"))
    start, joined = ("y", "best[i] + y") if kind == "sum" else ("1", "best[i] + 1")
    what = {
        "length": "how many numbers one can choose at most",
        "sum": "the largest sum of numbers that one can choose",
        "count": "in how many ways one can choose at least one number",
    }[kind]
    update = (
        ["            best[j] += best[i]"] if kind == "count" else [f"            best[j] = max(best[j], {joined})"]
    )
    first = f"range(max(0, j - {far}), j)" if far else "range(j)"
    result = "sum(best)" if kind == "count" else "max(best, default=0)"
    different = " Ways are different if the numbers are chosen at different places." if kind == "count" else ""
    return Function(
        name=rng.choice(("longest_chain", "best_chain", "chosen", "subsequence")),
        parameters=parameters(numbers=ListOf(Integer(-9, 20), high=8)),
        returns="int",
        description=(
            f"returns {what} from `numbers`, keeping their order but not necessarily next to each other, such that for "
            "any two chosen numbers x and y where y is the next chosen one after x, "
            f"{relation.words}{near}. At least one number must "
            f"be chosen; for an empty list it returns 0.{different}"
        ),
        body=lines(
            "best = []",
            "for j, y in enumerate(numbers):",
            f"    best.append({start})",
            f"    for i in {first}:",
            "        x = numbers[i]",
            f"        if {relation.code}:",
            *update,
            f"return {result}",
        ),
    )


def _edits(rng: Random) -> Function:
    """Edit distance with prices."""
    insert, delete, replace = rng.randint(1, 4), rng.randint(1, 4), rng.randint(1, 6)
    kind = rng.choice(("plain", "none", "vowel", "swap"))
    vowel, swap = rng.randint(1, 3), rng.randint(1, 3)
    words = {
        "plain": f"{replace} to replace a character by another",
        "none": "",
        "vowel": f"{replace} to replace a character by another ({vowel} where both are vowels, that is, in 'aeiou')",
        "swap": (
            f"{replace} to replace a character by another, and {swap} to swap two neighbouring characters "
            "(which are then neighbours in `second` too, and not edited otherwise)"
        ),
    }[kind]
    costs = f"it costs {insert} to insert a character, {delete} to delete one" + (f", {words}" if words else "")
    cost = {
        "plain": f"{replace}",
        "none": "",
        "vowel": f"({vowel} if a in 'aeiou' and b in 'aeiou' else {replace})",
        "swap": f"{replace}",
    }[kind]
    return Function(
        name=rng.choice(("edit_cost", "distance", "change_cost")),
        parameters=parameters(
            first=Text("abei", 0, 6, "holds small letters"), second=Text("abei", 0, 6, "holds small letters")
        ),
        returns="int",
        description=(
            f"returns the lowest cost to turn `first` into `second` by edits, where {costs}, and nothing "
            "to keep a character. Each character of `first` is kept, or edited once."
        ),
        body=lines(
            "cost = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]",
            "for i in range(len(first) + 1):",
            "    for j in range(len(second) + 1):",
            "        if i == 0:",
            f"            cost[i][j] = {insert} * j",
            "        elif j == 0:",
            f"            cost[i][j] = {delete} * i",
            "        else:",
            "            a, b = first[i - 1], second[j - 1]",
            f"            best = min(cost[i - 1][j] + {delete}, cost[i][j - 1] + {insert})",
            "            if a == b:",
            "                best = min(best, cost[i - 1][j - 1])",
            "            else:" if cost else None,
            f"                best = min(best, cost[i - 1][j - 1] + {cost})" if cost else None,
            "            if i > 1 and j > 1 and a == second[j - 2] and b == first[i - 2]:" if kind == "swap" else None,
            f"                best = min(best, cost[i - 2][j - 2] + {swap})" if kind == "swap" else None,
            "            cost[i][j] = best",
            "return cost[-1][-1]",
        ),
    )


def _common(rng: Random) -> Function:
    """The best common part of two texts."""
    weight, special = rng.randint(1, 4), rng.randint(5, 9)
    letters = "".join(sorted(rng.sample("abei", rng.randint(1, 2))))
    value = f"({special} if a in {letters!r} else {weight})"
    together = rng.random() < 0.5
    fall, bonus = rng.randint(1, 3), rng.choice((True, False))
    texts: Kind = Text("abeix", 0, 7, "holds small letters")
    if together:
        return Function(
            name=rng.choice(("shared_part", "common_stretch")),
            parameters=parameters(first=texts, second=texts),
            returns="int",
            description=(
                "returns the largest value of a string that occurs in both `first` and `second` without "
                f"gaps. The value of a string is {special} for each of its characters that is in "
                f"{letters!r} and {weight} for each other one; it is 0 if they share none."
            ),
            body=lines(
                "value = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]",
                "best = 0",
                "for i, a in enumerate(first):",
                "    for j, b in enumerate(second):",
                "        if a == b:",
                f"            value[i + 1][j + 1] = value[i][j] + {value}",
                "            best = max(best, value[i + 1][j + 1])",
                "return best",
            ),
        )
    skip = f" - {fall}" if bonus else ""
    penalty = (
        f" From this, {fall} is subtracted for each character of `first` and of `second` that is in no pair."
        if bonus
        else ""
    )
    return Function(
        name=rng.choice(("align", "common_value", "match_score")),
        parameters=parameters(first=texts, second=texts),
        returns="int",
        description=(
            "pairs characters of `first` with equal characters of `second`, each character in at "
            "most one pair, and such that pairs "
            "do not cross: of two pairs, the one that is earlier in `first` is earlier in `second`. "
            "A pair of a character in "
            f"{letters!r} is worth {special}, another one {weight}.{penalty} It returns the largest "
            "value that can be had."
        ),
        body=lines(
            "value = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]",
            "for i in range(len(first) + 1):" if bonus else None,
            f"    value[i][0] = -{fall} * i" if bonus else None,
            "for j in range(len(second) + 1):" if bonus else None,
            f"    value[0][j] = -{fall} * j" if bonus else None,
            "for i, a in enumerate(first):",
            "    for j, b in enumerate(second):",
            f"        best = max(value[i][j + 1]{skip}, value[i + 1][j]{skip})",
            "        if a == b:",
            f"            best = max(best, value[i][j] + {value})",
            "        value[i + 1][j + 1] = best",
            "return value[-1][-1]",
        ),
    )


def _items(rng: Random) -> Function:
    """A knapsack."""
    kind, most, fee = rng.choice(("once", "often", "few", "exact")), rng.randint(2, 3), rng.randint(0, 2)
    limit = {
        "once": "each item at most once",
        "often": "each item as often as one likes",
        "few": f"each item at most {most} times",
        "exact": "each item at most once",
    }[kind]
    fits = "is exactly capacity" if kind == "exact" else "is at most capacity"
    price = f" The value of each item taken counts {fee} less (it may fall below 0)." if fee else ""
    result = {
        "exact": "It returns the largest total value, or -1 if no choice has that total weight.",
    }.get(kind, "It returns the largest total value, which is 0 if nothing is taken.")
    gain = f"value - {fee}" if fee else "value"
    if kind == "exact":
        body = lines(
            "best = [0] + [None] * capacity",
            "for weight, value in items:",
            "    for total in range(capacity, weight - 1, -1):",
            "        if best[total - weight] is not None:",
            f"            candidate = best[total - weight] + {gain}",
            "            if best[total] is None or candidate > best[total]:",
            "                best[total] = candidate",
            "return -1 if best[capacity] is None else best[capacity]",
        )
    elif kind == "often":
        body = lines(
            "best = [0] * (capacity + 1)",
            "for total in range(1, capacity + 1):",
            "    best[total] = best[total - 1]",
            "    for weight, value in items:",
            "        if weight <= total:",
            f"            best[total] = max(best[total], best[total - weight] + {gain})",
            "return best[capacity]",
        )
    else:
        copies = [f"    for _ in range({most}):"] if kind == "few" else []
        indent = "    " if kind == "few" else ""
        body = lines(
            "best = [0] * (capacity + 1)",
            "for weight, value in items:",
            *copies,
            f"{indent}    for total in range(capacity, weight - 1, -1):",
            f"{indent}        best[total] = max(best[total], best[total - weight] + {gain})",
            "return best[capacity]",
        )
    return Function(
        name=rng.choice(("pack", "knapsack", "load")),
        parameters=parameters(items=ListOf(TupleOf((Integer(1, 9), Integer(1, 20))), high=5), capacity=Integer(0, 20)),
        returns="int",
        description=(
            f"chooses from `items`, a list of tuples (weight, value), {limit}, so that the total weight "
            f"{fits}.{price} {result}"
        ),
        body=body,
    )


def _apart(rng: Random) -> Function:
    """The best choice of numbers that keep a distance."""
    gap, bonus, k = rng.randint(1, 3), rng.randint(1, 9), rng.choice((0, 0, 2, 3))
    others = "is at least one other" if gap == 1 else f"are at least {gap} others"
    kind = rng.choice(("plain", "fee", "bonus"))
    gain = {"plain": "x", "fee": f"x - {bonus}", "bonus": f"x + {bonus} * (x % 2)"}[kind]
    words = {
        "plain": "The value of a choice is the sum of its numbers.",
        "fee": f"The value of a choice is the sum of its numbers, less {bonus} for each of them.",
        "bonus": f"The value of a choice is the sum of its numbers, plus {bonus} for each of them that is odd.",
    }[kind]
    if k:
        return Function(
            name=rng.choice(("spaced_sum", "choose_apart")),
            parameters=parameters(numbers=ListOf(Integer(-12, 20), high=9)),
            returns="int",
            description=(
                f"chooses at most {k} numbers of `numbers`, perhaps none, such that between any two "
                f"of them there {others} in the list. {words} It returns the largest value of a choice, where that of "
                "choosing none is 0."
            ),
            body=lines(
                f"best = [[0] * ({k} + 1) for _ in range(len(numbers) + 1)]",
                "for i, x in enumerate(numbers):",
                f"    for left in range(1, {k} + 1):",
                f"        taken = best[max(0, i - {gap})][left - 1] + {gain}",
                "        best[i + 1][left] = max(best[i][left], taken)",
                f"return best[-1][{k}]",
            ),
        )
    return Function(
        name=rng.choice(("spaced_sum", "choose_apart", "rob")),
        parameters=parameters(numbers=ListOf(Integer(-12, 20), high=9)),
        returns="int",
        description=(
            "chooses some numbers of `numbers`, perhaps none, such that between any two of them "
            f"there {others} in the list. {words} It returns the largest value of a choice, where "
            "that of choosing none is 0."
        ),
        body=lines(
            "best = [0]",
            "for i, x in enumerate(numbers):",
            f"    taken = best[max(0, i - {gap})] + {gain}",
            "    best.append(max(best[i], taken))",
            "return best[-1]",
        ),
    )


def _stairs(rng: Random) -> Function:
    """Ways up, or the cheapest one, with steps that may be barred."""
    steps = sorted(rng.sample(range(1, 7), rng.choice((2, 3))))
    shown = ", ".join(map(str, steps[:-1])) + f" or {steps[-1]}"
    kind = rng.choice(("barred", "alike", "cost"))
    if kind == "barred":
        return Function(
            name=rng.choice(("climb", "stair_ways")),
            parameters=parameters(n=Integer(0, 15), broken=ListOf(Integer(1, 15), high=4)),
            returns="int",
            description=(
                f"returns in how many ways one can climb from stair 0 to stair n by steps of {shown} "
                "stairs, without ever standing on a stair whose number is in `broken`. Steps in another "
                "order are another way; for n = 0 there is one way."
            ),
            body=lines(
                "ways = [1] + [0] * n",
                "for stair in range(1, n + 1):",
                "    if stair not in broken:",
                f"        for step in {steps}:",
                "            if step <= stair:",
                "                ways[stair] += ways[stair - step]",
                "return ways[n]",
            ),
        )
    if kind == "alike":
        return Function(
            name=rng.choice(("climb", "varied_steps")),
            parameters=parameters(n=Integer(0, 18)),
            returns="int",
            description=(
                f"returns in how many ways one can climb from stair 0 to stair n by steps of {shown} "
                "stairs such that no step has the size of the one just before it. Steps in another order "
                "are another way; for n = 0 there is one way."
            ),
            body=lines(
                f"steps = {steps}",
                "ways = [{} for _ in range(n + 1)]",
                "ways[0][0] = 1",
                "for stair in range(1, n + 1):",
                "    for step in steps:",
                "        if step <= stair:",
                "            before = ways[stair - step]",
                "            ways[stair][step] = sum(count for last, count in before.items() if last != step)",
                "return sum(ways[n].values())",
            ),
        )
    tax = rng.randint(1, 4)
    return Function(
        name=rng.choice(("climb_cost", "cheapest_climb")),
        parameters=parameters(costs=ListOf(Integer(0, 20), low=1, high=9)),
        returns="int",
        description=(
            "returns the lowest cost to climb from stair 0 to the last stair of `costs` by steps of "
            f"{shown} stairs, or -1 if that "
            "cannot be done. Standing on stair i costs `costs[i]` (also at the start and at the "
            f"end), and each step costs {tax} times its size."
        ),
        body=lines(
            "best = [costs[0]] + [None] * (len(costs) - 1)",
            "for stair in range(1, len(costs)):",
            f"    for step in {steps}:",
            "        if step <= stair and best[stair - step] is not None:",
            f"            cost = best[stair - step] + costs[stair] + {tax} * step",
            "            if best[stair] is None or cost < best[stair]:",
            "                best[stair] = cost",
            "return -1 if best[-1] is None else best[-1]",
        ),
    )


def _cuts(rng: Random) -> Function:
    """A text or a list cut into pieces."""
    low, high, m = rng.randint(1, 9), rng.randint(12, 60), rng.randint(2, 4)
    if rng.random() < 0.5:
        return Function(
            name=rng.choice(("readings", "split_digits", "decode_ways")),
            parameters=parameters(digits=Text("0123456789", 0, 7, "holds digits")),
            returns="int",
            description=(
                "returns in how many ways `digits` can be cut into pieces so that each piece, read as a "
                f"number, is from {low} to {high} and does not begin with '0'. The empty string can be "
                "cut in one way, into no pieces."
            ),
            body=lines(
                "ways = [1] + [0] * len(digits)",
                "for end in range(1, len(digits) + 1):",
                "    for start in range(end):",
                "        piece = digits[start:end]",
                f"        if piece[0] != '0' and {low} <= int(piece) <= {high}:",
                "            ways[end] += ways[start]",
                "return ways[-1]",
            ),
        )
    size, fee = rng.randint(2, 4), rng.randint(1, 9)
    value = rng.choice(
        ("max(piece)", "max(piece) - min(piece)", "abs(sum(piece))", f"sum(piece) % {m + 3}", "piece[0] * len(piece)")
    )
    best = rng.choice(("max", "min"))
    return Function(
        name=rng.choice(("cut_list", "blocks", "partition")),
        parameters=parameters(numbers=ListOf(Integer(-9, 15), high=8)),
        returns="int",
        description=(
            f"cuts `numbers` into pieces of 1 to {size} consecutive numbers. Each piece, a list "
            f"piece, is worth `{value} - {fee}`. It returns the "
            f"{'largest' if best == 'max' else 'smallest'} sum of the worths of all pieces that a way "
            "of cutting has, and 0 for the empty list."
        ),
        body=lines(
            "best = [0]",
            "for end in range(1, len(numbers) + 1):",
            "    found = []",
            f"    for start in range(max(0, end - {size}), end):",
            "        piece = numbers[start:end]",
            f"        found.append(best[start] + {value} - {fee})",
            f"    best.append({best}(found))",
            "return best[-1]",
        ),
    )

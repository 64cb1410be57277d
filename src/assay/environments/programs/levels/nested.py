"""Level 7: nested loops and two data structures."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, Phrase, lines, parameters
from assay.environments.programs.phrases import count_test, maybe_map, number_test
from assay.environments.programs.value_kinds import Grid, Integer, Kind, ListOf, MappingOf, Text, TupleOf

_NUMBERS = ListOf(Integer(-12, 20), high=8)
_NAMES = Text("abcd", 1, 1, "holds small letters")


def make(rng: Random) -> Function:
    return rng.choice((_pairs, _pairs, _cross, _rows, _cells, _orders, _intervals))(rng)


def _relation(rng: Random) -> Phrase:
    """Draw a relation between x and y."""
    k, m = rng.randint(1, 9), rng.randint(2, 5)
    r, t = rng.randrange(m), rng.randint(-3, 25)
    return rng.choice(
        (
            Phrase(f"`x + y` is {t}", f"x + y == {t}"),
            Phrase(f"`x + y` is greater than {t}", f"x + y > {t}"),
            Phrase(f"`x + y` has remainder {r} modulo {m}", f"(x + y) % {m} == {r}"),
            Phrase(f"`x - y` has remainder {r} modulo {m}", f"(x - y) % {m} == {r}"),
            Phrase(f"x and y differ by at most {k}", f"abs(x - y) <= {k}"),
            Phrase(f"x and y differ by more than {k}", f"abs(x - y) > {k}"),
            Phrase("x is less than y", "x < y"),
            Phrase("x is greater than y", "x > y"),
            Phrase(f"x is greater than y by at least {k}", f"x - y >= {k}"),
            Phrase(f"`x * y` is less than {t}", f"x * y < {t}"),
            Phrase(f"`x * y` is at least {10 * k}", f"x * y >= {10 * k}"),
            Phrase(f"x is at most y, and `y - x` is at most {k}", f"x <= y and y - x <= {k}"),
        )
    )


def _measure(rng: Random) -> str:
    """A number of x and y."""
    k = rng.randint(2, 5)
    return rng.choice(
        ("x + y", "x * y", "abs(x - y)", "max(x, y)", "min(x, y)", f"{k} * x + y", f"x - {k} * y", "x - y")
    )


def _gathered(rng: Random, indent: str) -> tuple[str, str, list[str], str, str]:
    """(words, start, update, result, type) of what is made of the pairs found."""
    measure, default = _measure(rng), rng.choice((0, -1))
    kind = rng.choice(("count", "sum", "largest", "smallest", "list", "distinct", "where"))
    if kind == "count":
        return "how many such pairs there are", "count = 0", [f"{indent}count += 1"], "count", "int"
    if kind == "sum":
        return f"the sum of `{measure}` over these pairs", "total = 0", [f"{indent}total += {measure}"], "total", "int"
    if kind == "list":
        return (
            "the list of these pairs as tuples (x, y), ordered by the index of x, then by the index of y",
            "found = []",
            [f"{indent}found.append((x, y))"],
            "found",
            "list[tuple[int, int]]",
        )
    if kind == "distinct":
        return (
            f"the different values of `{measure}` over these pairs as a list in ascending order",
            "values = set()",
            [f"{indent}values.add({measure})"],
            "sorted(values)",
            "list[int]",
        )
    if kind == "where":
        return (
            "the list of the indices of all x that are in such a pair, each once, in ascending order",
            "found = []",
            [f"{indent}if i not in found:", f"{indent}    found.append(i)"],
            "found",
            "list[int]",
        )
    comparison = ">" if kind == "largest" else "<"
    return (
        f"the {kind} `{measure}` over these pairs, or {default} if there is none",
        "best = None",
        [f"{indent}if best is None or {measure} {comparison} best:", f"{indent}    best = {measure}"],
        f"{default} if best is None else best",
        "int",
    )


def _pairs(rng: Random) -> Function:
    """Two places in one list."""
    relation = _relation(rng)
    far = rng.choice((0, 0, 1, 2))
    near = f" and at least {far + 1} places apart" if far else ""
    tested = number_test(rng, "x", compound=0) if rng.random() < 0.35 else None
    also = f", and x {tested.words}" if tested else ""
    words, start, update, result, returns = _gathered(rng, "            ")
    return Function(
        name=rng.choice(("pairs", "find_pairs", "pair_total", "compare_all")),
        parameters=parameters(numbers=_NUMBERS),
        returns=returns,
        description=(
            f"looks at all pairs of numbers x and y of `numbers`, where x comes before y in the list{near}, such that "
            f"{relation.words}{also}. It returns {words}."
        ),
        body=lines(
            start,
            "for i in range(len(numbers)):",
            f"    for j in range(i + {1 + far}, len(numbers)):",
            "        x, y = numbers[i], numbers[j]",
            f"        if {_both(relation.code, tested)}:",
            *update,
            f"return {result}",
        ),
    )


def _both(code: str, tested: Phrase | None) -> str:
    return code if tested is None else f"{code} and {tested.code}"


def _cross(rng: Random) -> Function:
    """A number of one list with each of another."""
    relation = _relation(rng)
    if rng.random() < 0.5:
        words, start, update, result, returns = _gathered(rng, "            ")
        return Function(
            name=rng.choice(("cross", "match_lists", "compare_lists", "across")),
            parameters=parameters(first=_NUMBERS, second=_NUMBERS),
            returns=returns,
            description=(
                f"looks at all pairs of a number x of `first` and a number y of `second` such that {relation.words}. "
                f"It returns {words}."
            ),
            body=lines(
                start,
                "for i, x in enumerate(first):" if "(i)" in update[-1] else "for x in first:",
                "    for y in second:",
                f"        if {relation.code}:",
                *update,
                f"return {result}",
            ),
        )
    each, code = rng.choice(
        (
            ("how many y of `second` there are", "sum(1 for y in second if {r})"),
            ("the sum of the y of `second`", "sum(y for y in second if {r})"),
            ("the largest y of `second`, or 0 if there is none,", "max((y for y in second if {r}), default=0)"),
            ("the first y of `second`, or -1 if there is none,", "next((y for y in second if {r}), -1)"),
        )
    )
    test = number_test(rng, "value", compound=0)
    last, result, returns = rng.choice(
        (
            ("Return the list of these values", "values", "list[int]"),
            ("Return the largest of these values, or 0 if there is none", "max(values, default=0)", "int"),
            (
                f"Return the number of values for which value {test.words}",
                f"sum(1 for value in values if {test.code})",
                "int",
            ),
            (
                "Return the sum of these values, each multiplied by its index (from 0)",
                "sum(i * value for i, value in enumerate(values))",
                "int",
            ),
        )
    )
    return Function(
        name=rng.choice(("match_each", "lookup_all", "for_each", "profile")),
        parameters=parameters(first=_NUMBERS, second=_NUMBERS),
        returns=returns,
        description=(
            f"finds for each number x of `first`, in order, a value: {each} such that {relation.words}. {last}."
        ).replace("Return ", "It returns "),
        body=lines(
            "values = []",
            "for x in first:",
            f"    values.append({code.replace('{r}', relation.code)})",
            f"return {result}",
        ),
    )


def _rows(rng: Random) -> Function:
    """A value for each row or column of a grid, then one of all."""
    test, formula = number_test(rng, "x"), maybe_map(rng, square=False)
    by_column = rng.random() < 0.5
    words, update = rng.choice(
        (
            (f"the sum of `{formula}` over the numbers x for which x {test.words}", f"total += {formula}"),
            (f"the number of numbers x for which x {test.words}", "total += 1"),
            (
                (
                    f"the sum of the numbers x for which x {test.words}, each multiplied by its index in "
                    f"the {'column' if by_column else 'row'} (from 0)"
                ),
                f"total += {'i' if by_column else 'j'} * x",
            ),
        )
    )
    line = "column" if by_column else "row"
    k = count_test(rng, "value", 1, 6)
    last, result, returns = rng.choice(
        (
            (f"Return the list of the values of all {line}s, in order", "values", "list[int]"),
            (
                f"Return the index of the {line} with the largest value, the first in case of a tie",
                "values.index(max(values))",
                "int",
            ),
            (
                f"Return the index of the {line} with the smallest value, the first in case of a tie",
                "values.index(min(values))",
                "int",
            ),
            (f"Return how many {line}s have a value that {k.words}", f"sum(1 for value in values if {k.code})", "int"),
            (f"Return the largest value of a {line} minus the smallest", "max(values) - min(values)", "int"),
            (
                f"Return the sum of the values of all {line}s, each multiplied by the index of its {line} (from 0)",
                "sum(i * value for i, value in enumerate(values))",
                "int",
            ),
        )
    )
    loops = (
        ("for j in range(len(grid[0])):", "    for i in range(len(grid)):")
        if by_column
        else ("for i in range(len(grid)):", "    for j in range(len(grid[i])):")
    )
    return Function(
        name=rng.choice(("grid_lines", f"{line}_values", "scan_grid", f"best_{line}")),
        parameters=parameters(grid=Grid(Integer(-12, 20))),
        returns=returns,
        description=f"finds for each {line} of `grid` a value: {words}. {last}.".replace("Return ", "It returns "),
        body=lines(
            "values = []",
            loops[0],
            "    total = 0",
            loops[1],
            "        x = grid[i][j]",
            f"        if {test.code}:",
            f"            {update}",
            "    values.append(total)",
            f"return {result}",
        ),
    )


def _cells(rng: Random) -> Function:
    """Cells of a grid and their neighbours."""
    diagonal = rng.random() < 0.4
    near = (
        "the cells that touch it (at most eight: side by side or at a corner)"
        if diagonal
        else "the cells above, below, left and right of it (at most four)"
    )
    moves = "[(-1, 0), (1, 0), (0, -1), (0, 1)]"
    if diagonal:
        moves = "[(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]"
    k = rng.randint(1, 10)
    relation = rng.choice(
        (
            Phrase("is less than x", "y < x"),
            Phrase("is greater than x", "y > x"),
            Phrase("is equal to x", "y == x"),
            Phrase(f"differs from x by at most {k}", f"abs(x - y) <= {k}"),
            Phrase(f"differs from x by more than {k}", f"abs(x - y) > {k}"),
            Phrase("is even or negative", "y % 2 == 0 or y < 0"),
            Phrase(f"is at least `x + {k}`", f"y >= x + {k}"),
        )
    )
    size = count_test(rng, "near", 1, 3)
    formula = maybe_map(rng, "x", square=False)
    words, start, update, result, returns = rng.choice(
        (
            ("how many such cells there are", "count = 0", "count += 1", "count", "int"),
            (f"the sum of `{formula}` over such cells", "total = 0", f"total += {formula}", "total", "int"),
            (
                "the list of the places (row, column) of such cells as tuples, row by row",
                "places = []",
                "places.append((i, j))",
                "places",
                "list[tuple[int, int]]",
            ),
            (
                "the list of the numbers of such cells in ascending order",
                "values = []",
                "values.append(x)",
                "sorted(values)",
                "list[int]",
            ),
            (
                "the largest number of such cells, or -99 if there is none",
                "best = -99",
                "best = max(best, x)",
                "best",
                "int",
            ),
        )
    )
    return Function(
        name=rng.choice(("neighbours", "local_cells", "scan_cells", "special_cells")),
        parameters=parameters(grid=Grid(Integer(-12, 20))),
        returns=returns,
        description=(
            f"counts for each cell of `grid`, with the number x, its near neighbours: among {near}, those whose number "
            f"{relation.words}. It looks at the cells whose count of near neighbours {size.words}, and returns {words}."
        ),
        body=lines(
            start,
            "for i in range(len(grid)):",
            "    for j in range(len(grid[0])):",
            "        x, near = grid[i][j], 0",
            f"        for di, dj in {moves}:",
            "            row, column = i + di, j + dj",
            "            if 0 <= row < len(grid) and 0 <= column < len(grid[0]):",
            "                y = grid[row][column]",
            f"                if {relation.code}:",
            "                    near += 1",
            f"        if {size.code}:",
            f"            {update}",
            f"return {result}",
        ),
    )


def _orders(rng: Random) -> Function:
    """A list of orders and a dictionary of prices."""
    default, many, less = rng.randint(0, 9), rng.randint(3, 7), rng.randint(1, 5)
    known = rng.random() < 0.5
    missing = "is left out" if known else f"has the price {default}"
    discount_words, discount = rng.choice(
        (
            (f"An order of at least {many} pieces costs {less} less in all.", f"cost -= {less}"),
            (f"In an order of at least {many} pieces one piece is free.", "cost -= price"),
            (f"An order of at least {many} pieces costs twice as much.", "cost *= 2"),
            (f"An order of at least {many} pieces costs half as much, rounded down.", "cost //= 2"),
        )
    )
    test = number_test(rng, "cost", compound=0)
    words, start, update, result, returns = rng.choice(
        (
            ("the sum of all costs", "total = 0", ["total += cost"], "total", "int"),
            (
                "the dictionary from each name that was counted to the sum of its costs",
                "totals = {}",
                ["totals[name] = totals.get(name, 0) + cost"],
                "totals",
                "dict[str, int]",
            ),
            (
                "the list of the costs in the order of the orders",
                "costs = []",
                ["costs.append(cost)"],
                "costs",
                "list[int]",
            ),
            (
                "the highest cost of an order, or 0 if there is none or all are lower",
                "best = 0",
                ["best = max(best, cost)"],
                "best",
                "int",
            ),
            (
                f"the list of the names of the orders whose cost {test.words}, in order",
                "names = []",
                [f"if {test.code}:", "    names.append(name)"],
                "names",
                "list[str]",
            ),
        )
    )
    lookup = (
        ["    if name not in prices:", "        continue", "    price = prices[name]"]
        if known
        else [f"    price = prices.get(name, {default})"]
    )
    prices: Kind = MappingOf(_NAMES, Integer(1, 15), high=4)
    return Function(
        name=rng.choice(("bill", "order_costs", "invoice", "checkout")),
        parameters=parameters(orders=ListOf(TupleOf((_NAMES, Integer(1, 9))), high=6), prices=prices),
        returns=returns,
        description=(
            "works out what orders cost. Each order is a tuple (name, number of pieces), and "
            "`prices` gives the price of "
            f"a piece by name. An order whose name is not in `prices` {missing}. {discount_words} It returns {words}."
        ),
        body=lines(
            start,
            "for name, pieces in orders:",
            *lookup,
            "    cost = price * pieces",
            f"    if pieces >= {many}:",
            f"        {discount}",
            *(f"    {line}" for line in update),
            f"return {result}",
        ),
    )


def _intervals(rng: Random) -> Function:
    """Intervals (start, end) on a line, each with end greater than start."""
    kind = ListOf(TupleOf((Integer(0, 24), Integer(0, 24)), ordered=True), high=6)
    gap, k = rng.choice((0, 0, 1, 2, 3)), rng.randint(2, 4)
    if rng.random() < 0.6:
        touching = (
            f"the next begins at most {gap} after the other ends"
            if gap
            else "they overlap or touch (one ends where the other begins)"
        )
        words, result, returns = rng.choice(
            (
                ("the list of the joined intervals as tuples, in ascending order", "joined", "list[tuple[int, int]]"),
                (
                    "the sum of the lengths (end minus start) of the joined intervals",
                    "sum(end - start for start, end in joined)",
                    "int",
                ),
                ("how many joined intervals there are", "len(joined)", "int"),
                (
                    "the length (end minus start) of the longest joined interval, or 0 if there is none",
                    "max((end - start for start, end in joined), default=0)",
                    "int",
                ),
                (
                    (
                        "the list of those joined intervals, as tuples in ascending order, whose length "
                        f"(end minus start) is at least {k}"
                    ),
                    f"[(start, end) for start, end in joined if end - start >= {k}]",
                    "list[tuple[int, int]]",
                ),
                (
                    "the list of the gaps between each joined interval and the next, in order",
                    "[b[0] - a[1] for a, b in zip(joined, joined[1:])]",
                    "list[int]",
                ),
            )
        )
        return Function(
            name=rng.choice(("join_intervals", "merge_ranges", "coverage")),
            parameters=parameters(intervals=kind),
            returns=returns,
            description=(
                "joins intervals, each a tuple (start, end). Two are joined into one, from the "
                "smaller start to the larger "
                f"end, where {touching}; this goes on until no two can be joined. It returns {words}."
            ),
            body=lines(
                "joined = []",
                "for start, end in sorted(intervals):",
                f"    if joined and start <= joined[-1][1]{f' + {gap}' if gap else ''}:",
                "        joined[-1] = (joined[-1][0], max(joined[-1][1], end))",
                "    else:",
                "        joined.append((start, end))",
                f"return {result}",
            ),
        )
    words, result, returns = rng.choice(
        (
            ("the largest such number over all points, 0 if there are no intervals", "max(counts)", "int"),
            (f"how many points have a number of at least {k}", f"sum(1 for count in counts if count >= {k})", "int"),
            (
                f"the list of the points with a number of exactly {k - 1}, in ascending order",
                f"[point for point, count in enumerate(counts) if count == {k - 1}]",
                "list[int]",
            ),
            ("the smallest point with the largest number", "counts.index(max(counts))", "int"),
        )
    )
    closed = rng.random() < 0.5
    return Function(
        name=rng.choice(("cover_points", "overlaps", "busy_points")),
        parameters=parameters(intervals=kind),
        returns=returns,
        description=(
            "finds for each integer point from 0 to 25 the number of intervals (start, end) that "
            "cover it: start is at most "
            f"the point and the point is {'at most' if closed else 'less than'} end. It returns {words}."
        ),
        body=lines(
            "counts = [0] * 26",
            "for start, end in intervals:",
            f"    for point in range(start, end{' + 1' if closed else ''}):",
            "        counts[point] += 1",
            f"return {result}",
        ),
    )

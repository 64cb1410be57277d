"""Level 10: searches in graphs: grids, lists of edges, and numbers that lead to numbers."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, Phrase, lines, parameters
from assay.environments.programs.phrases import count_test, number_map
from assay.environments.programs.value_kinds import Edges, Grid, Integer, ListOf

_DEQUE = "from collections import deque"
_HEAP = "import heapq"
_STRAIGHT = [(-1, 0), (1, 0), (0, -1), (0, 1)]
_DIAGONAL = [(-1, -1), (-1, 1), (1, -1), (1, 1)]
_KNIGHT = [(-2, -1), (-2, 1), (-1, -2), (-1, 2), (1, -2), (1, 2), (2, -1), (2, 1)]
_SETS = (
    ("one cell up, down, left or right", _STRAIGHT),
    ("one cell up, down, left, right or diagonally", _STRAIGHT + _DIAGONAL),
    ("one cell diagonally", _DIAGONAL),
    ("as a knight of chess", _KNIGHT),
)
_SINGLE = {
    "one cell up": (-1, 0),
    "one cell down": (1, 0),
    "one cell left": (0, -1),
    "one cell right": (0, 1),
    "two cells up": (-2, 0),
    "two cells down": (2, 0),
    "two cells left": (0, -2),
    "two cells right": (0, 2),
    "one cell up and one right": (-1, 1),
    "one cell up and one left": (-1, -1),
    "one cell down and one right": (1, 1),
    "one cell down and one left": (1, -1),
    "two cells down and one right": (2, 1),
    "one cell down and two right": (1, 2),
}


def _moves(rng: Random, *, basic: bool) -> tuple[str, list[tuple[int, int]]]:
    """(words, steps) of moves in a grid; basic ones lead from its top left cell to all others."""
    if rng.random() < 0.4:
        return rng.choice(_SETS[:2] if basic else _SETS)
    chosen = set(rng.sample(list(_SINGLE), rng.randint(2, 4)))
    chosen |= {"one cell down", "one cell right"} if basic or rng.random() < 0.5 else set()
    names = [name for name in _SINGLE if name in chosen]
    return f"{', '.join(names[:-1])}, or {names[-1]}", [_SINGLE[name] for name in names]


def make(rng: Random) -> Function:
    return rng.choice(
        (_maze, _maze, _regions, _reach, _reach, _weighted, _components, _numbers, _numbers, _order, _grid_costs)
    )(rng)


def _maze(rng: Random) -> Function:
    """Breadth-first search in a grid with walls."""
    words, moves = _moves(rng, basic=False)
    corner_words, corner = rng.choice(
        (
            ("bottom right", "(rows - 1, columns - 1)"),
            ("top right", "(0, columns - 1)"),
            ("bottom left", "(rows - 1, 0)"),
        )
    )
    k = rng.randint(2, 4)
    what, result, returns = rng.choice(
        (
            (
                f"the smallest number of moves to the {corner_words} cell, or -1 if it cannot be reached",
                f"distance.get({corner}, -1)",
                "int",
            ),
            (
                f"the smallest number of moves to the {corner_words} cell, or -1 if it cannot be reached",
                f"distance.get({corner}, -1)",
                "int",
            ),
            ("how many cells can be reached, the first one included", "len(distance)", "int"),
            (
                f"how many cells can be reached in at most {k} moves, the first one included",
                f"sum(1 for moves in distance.values() if moves <= {k})",
                "int",
            ),
            (
                f"how many cells can be reached, but not in fewer than {k} moves",
                f"sum(1 for moves in distance.values() if moves >= {k})",
                "int",
            ),
            (
                (
                    "the number of moves to the cell that is furthest (the one that needs most moves), "
                    "or 0 if no other cell can be reached"
                ),
                "max(distance.values(), default=0)",
                "int",
            ),
            (
                "the sum, over all cells that can be reached, of the smallest number of moves to each",
                "sum(distance.values())",
                "int",
            ),
        )
    )
    wrap = rng.random() < 0.25
    wrapped = (
        " A move that leaves the grid at one side enters it at the opposite side."
        if wrap
        else " Moves may not leave the grid."
    )
    fence = [] if wrap else ["        if not (0 <= row < rows and 0 <= column < columns):", "            continue"]
    step = (
        ["        row, column = (i + di) % rows, (j + dj) % columns"]
        if wrap
        else ["        row, column = i + di, j + dj"]
    )
    none = {"-1": "-1", "0": "0"}["-1" if "get(" in result else "0"]
    return Function(
        name=rng.choice(("maze", "explore", "walk_grid", "search_grid")),
        parameters=parameters(grid=Grid("..#", 5, 5)),
        returns=returns,
        imports=(_DEQUE,),
        description=(
            f"begins at the top left cell of `grid` and moves like this: {words}.{wrapped} A move may "
            "not end on a '#' (it may pass over "
            f"one). It returns {what}. If the top left cell is a '#', it returns {none}."
        ),
        body=lines(
            "rows, columns = len(grid), len(grid[0])",
            "if grid[0][0] == '#':",
            f"    return {none}",
            "distance = {(0, 0): 0}",
            "queue = deque([(0, 0)])",
            "while queue:",
            "    i, j = queue.popleft()",
            f"    for di, dj in {moves}:",
            *step,
            *fence,
            "        if grid[row][column] != '#' and (row, column) not in distance:",
            "            distance[(row, column)] = distance[(i, j)] + 1",
            "            queue.append((row, column))",
            f"return {result}",
        ),
    )


def _regions(rng: Random) -> Function:
    """Connected parts of a grid."""
    words, moves = rng.choice(
        (
            ("side by side (above, below, left or right)", _STRAIGHT),
            ("side by side or at a corner", _STRAIGHT + _DIAGONAL),
            ("at a corner (not side by side)", _DIAGONAL),
            ("side by side in a row, left or right", [(0, -1), (0, 1)]),
            ("a knight's move of chess apart", _KNIGHT),
        )
    )
    cells = rng.choice(("ab", "abc", "#.", "xo."))
    alike = rng.random() < 0.5
    char = rng.choice(cells)
    test = count_test(rng, "size", 1, 4)
    what, result, returns = rng.choice(
        (
            ("how many regions there are", "len(sizes)", "int"),
            ("how many cells the largest region has, or 0 if there is none", "max(sizes, default=0)", "int"),
            (f"how many regions have a size that {test.words}", f"sum(1 for size in sizes if {test.code})", "int"),
            ("the sizes of all regions as a list in ascending order", "sorted(sizes)", "list[int]"),
            ("the sum of the squares of the sizes of all regions", "sum(size * size for size in sizes)", "int"),
            (
                "the size of the largest region minus that of the smallest, or 0 if there is none",
                "max(sizes, default=0) - min(sizes, default=0)",
                "int",
            ),
            (
                f"the sizes of those regions whose size {test.words}, as a list in descending order",
                f"sorted((size for size in sizes if {test.code}), reverse=True)",
                "list[int]",
            ),
        )
    )
    which = "the same character" if alike else f"the character {char!r}"
    start = "(i, j) in seen" if alike else f"(i, j) in seen or grid[i][j] != {char!r}"
    joined = "grid[row][column] == grid[r][c]" if alike else f"grid[row][column] == {char!r}"
    return Function(
        name=rng.choice(("regions", "islands", "patches", "areas")),
        parameters=parameters(grid=Grid(cells, 4, 5)),
        returns=returns,
        description=(
            f"looks at the regions of `grid`. Two cells with {which} are joined if they are {words}, "
            "and a region is made of all cells that "
            "chains of joined ones connect; a cell that is joined with no other is a region of its own. "
            + ("" if alike else f"Cells with another character than {char!r} are in no region. ")
            + f"The size of a region is its number of cells. It returns {what}."
        ),
        body=lines(
            "rows, columns = len(grid), len(grid[0])",
            "seen, sizes = set(), []",
            "for i in range(rows):",
            "    for j in range(columns):",
            f"        if {start}:",
            "            continue",
            "        seen.add((i, j))",
            "        stack, size = [(i, j)], 0",
            "        while stack:",
            "            r, c = stack.pop()",
            "            size += 1",
            f"            for dr, dc in {moves}:",
            "                row, column = r + dr, c + dc",
            "                if 0 <= row < rows and 0 <= column < columns and (row, column) not in seen:",
            f"                    if {joined}:",
            "                        seen.add((row, column))",
            "                        stack.append((row, column))",
            "        sizes.append(size)",
            f"return {result}",
        ),
    )


def _joining(rng: Random, weighted: bool = False) -> tuple[str, list[str]]:
    """(words, lines) of how edges join nodes: `neighbours` is a list for each node."""
    names = "a, b, weight" if weighted else "a, b"
    to, back = ("(b, weight)", "(a, weight)") if weighted else ("b", "a")
    direction = rng.choice(("both", "forward", "back"))
    words = {
        "both": "leads both from a to b and from b to a",
        "forward": "leads from a to b only",
        "back": "leads from b to a only",
    }[direction]
    code = [
        "neighbours = [[] for _ in range(6)]",
        f"for {names} in edges:",
        f"    neighbours[a].append({to})" if direction != "back" else None,
        f"    neighbours[b].append({back})" if direction != "forward" else None,
    ]
    return f"Each edge ({names}) of `edges` {words}.", [line for line in code if line is not None]


def _reach(rng: Random) -> Function:
    """Breadth-first search along edges."""
    words, code = _joining(rng)
    k = rng.randint(1, 3)
    barred = sorted(rng.sample(range(6), rng.randint(1, 3))) if rng.random() < 0.5 else []
    bar_words = ""
    if barred:
        shown = " or ".join(map(str, barred))
        bar_words = f" A way may not pass through node {shown}: it may begin or end there, but not go on from there."
    goal = rng.random() < 0.4
    what, result, returns = rng.choice(
        (
            (
                "the list of the nodes that ways from start lead to, start included, in ascending order",
                "sorted(distance)",
                "list[int]",
            ),
            ("how many nodes ways from start lead to, start included", "len(distance)", "int"),
            (
                (
                    f"the list of the nodes whose shortest way from start has exactly {k} "
                    f"edge{'s' if k > 1 else ''}, in ascending order"
                ),
                f"[node for node in sorted(distance) if distance[node] == {k}]",
                "list[int]",
            ),
            (
                (
                    "the list of the smallest number of edges of a way from start to each of the nodes 0 "
                    "to 5, where -1 stands for a node without such a way"
                ),
                "[distance.get(node, -1) for node in range(6)]",
                "list[int]",
            ),
            (
                (
                    "the dictionary from each node that a way from start leads to, start included (with "
                    "0), to the smallest number of edges of such a way"
                ),
                "distance",
                "dict[int, int]",
            ),
            (
                (
                    f"the sum of the numbers of the nodes that ways of at most {k} "
                    f"edge{'s' if k > 1 else ''} from start lead to, start included"
                ),
                f"sum(node for node in distance if distance[node] <= {k})",
                "int",
            ),
        )
    )
    kinds = parameters(edges=Edges(), start=Integer(0, 5))
    if goal:
        what, result, returns = (
            "the smallest number of edges of a way from start to goal, or -1 if there is none (0 if they are the same)",
            "distance.get(goal, -1)",
            "int",
        )
        kinds = parameters(edges=Edges(), start=Integer(0, 5), goal=Integer(0, 5))
    return Function(
        name=rng.choice(("reach", "reachable", "hops", "search")),
        parameters=kinds,
        returns=returns,
        imports=(_DEQUE,),
        description=f"follows edges between nodes. {words}{bar_words} It returns {what}.",
        body=lines(
            *code,
            "distance = {start: 0}",
            "queue = deque([start])",
            "while queue:",
            "    node = queue.popleft()",
            f"    if node != start and node in {barred}:" if barred else None,
            "        continue" if barred else None,
            "    for other in neighbours[node]:",
            "        if other not in distance:",
            "            distance[other] = distance[node] + 1",
            "            queue.append(other)",
            f"return {result}",
        ),
    )


def _weighted(rng: Random) -> Function:
    """Dijkstra's search, with the cost of an edge or a node changed."""
    words, code = _joining(rng, weighted=True)
    fee, k = rng.randint(1, 5), rng.randint(4, 12)
    price_words, price = rng.choice(
        (
            ("An edge costs its weight.", "cost + weight"),
            (f"An edge costs its weight plus {fee}.", f"cost + weight + {fee}"),
            ("An edge costs its weight, and twice its weight where that is odd.", "cost + weight * (1 + weight % 2)"),
            (f"An edge costs its weight, but at most {fee + 2}.", f"cost + min(weight, {fee + 2})"),
            (
                f"An edge costs its weight, and the node at its end costs {fee} times its number.",
                f"cost + weight + {fee} * other",
            ),
            (
                "A way costs as much as the edge with the largest weight on it, and 0 where it has no edge.",
                "max(cost, weight)",
            ),
            ("An edge costs the square of its weight.", "cost + weight * weight"),
        )
    )
    added = "A way costs" not in price_words
    total = " A way costs the sum of what is on it." if added else ""
    what, result, returns, goal = rng.choice(
        (
            (
                "the lowest cost of a way from start to goal, or -1 if there is none (0 if they are the same)",
                "best.get(goal, -1)",
                "int",
                True,
            ),
            (
                "the lowest cost of a way from start to goal, or -1 if there is none (0 if they are the same)",
                "best.get(goal, -1)",
                "int",
                True,
            ),
            (
                f"how many nodes ways from start lead to at a cost of at most {k}, start included",
                f"sum(1 for cost in best.values() if cost <= {k})",
                "int",
                False,
            ),
            (
                (
                    "the list of the lowest costs of ways from start to each of the nodes 0 to 5, with 0 "
                    "for start and -1 for nodes that no way leads to"
                ),
                "[best.get(node, -1) for node in range(6)]",
                "list[int]",
                False,
            ),
            (
                (
                    "the highest, over all nodes that ways from start lead to, of the lowest cost of a "
                    "way to the node (0 for start itself)"
                ),
                "max(best.values())",
                "int",
                False,
            ),
        )
    )
    kinds = parameters(edges=Edges(weighted=True), start=Integer(0, 5))
    if goal:
        kinds = parameters(edges=Edges(weighted=True), start=Integer(0, 5), goal=Integer(0, 5))
    return Function(
        name=rng.choice(("cheapest", "lowest_cost", "route_cost")),
        parameters=kinds,
        returns=returns,
        imports=(_HEAP,),
        description=f"finds ways along edges between nodes. {words} {price_words}{total} It returns {what}.",
        body=lines(
            *code,
            "best = {}",
            "heap = [(0, start)]",
            "while heap:",
            "    cost, node = heapq.heappop(heap)",
            "    if node in best:",
            "        continue",
            "    best[node] = cost",
            "    for other, weight in neighbours[node]:",
            "        if other not in best:",
            f"            heapq.heappush(heap, ({price}, other))",
            f"return {result}",
        ),
    )


def _components(rng: Random) -> Function:
    """Connected parts of a graph that is given by edges, or by a rule."""
    k, m = rng.randint(1, 4), rng.randint(2, 5)
    r = rng.randrange(m)
    by_rule = rng.random() < 0.6
    relation = rng.choice(
        (
            Phrase(f"`x + y` has remainder {r} modulo {m}", f"(x + y) % {m} == {r}"),
            Phrase(f"they differ by exactly {k}", f"abs(x - y) == {k}"),
            Phrase(f"they differ by at most {k}", f"abs(x - y) <= {k}"),
            Phrase("one is twice the other", "x == 2 * y or y == 2 * x"),
            Phrase(f"they differ by {k} or by {k + m}", f"abs(x - y) in ({k}, {k + m})"),
            Phrase(f"their product has remainder {r} modulo {m}", f"x * y % {m} == {r}"),
        )
    )
    test = count_test(rng, "len(part)", 1, 3)
    what, result, returns = rng.choice(
        (
            ("how many groups there are", "len(parts)", "int"),
            (
                "the sizes of all groups as a list in ascending order",
                "sorted(len(part) for part in parts)",
                "list[int]",
            ),
            (
                "the size of the largest group, or 0 if there is none",
                "max((len(part) for part in parts), default=0)",
                "int",
            ),
            (
                "the list of the smallest number of each group, in ascending order",
                "sorted(min(part) for part in parts)",
                "list[int]",
            ),
            (
                "the largest sum of the numbers of a group, or -1 if there is none",
                "max((sum(part) for part in parts), default=-1)",
                "int",
            ),
            (f"how many groups have a size that {test.words}", f"sum(1 for part in parts if {test.code})", "int"),
            (
                "the list of the groups, each a list in ascending order, ordered by their smallest numbers",
                "sorted(sorted(part) for part in parts)",
                "list[list[int]]",
            ),
        )
    )
    intro = (
        f"divides the different numbers of `numbers` into groups. Two numbers x and y are joined if {relation.words}"
        if by_rule
        else (
            "divides the nodes 0 to 5 into groups. Two nodes are joined if there is an edge between "
            "them, in either direction"
        )
    )
    joined = relation.code if by_rule else "(x, y) in edges or (y, x) in edges"
    return Function(
        name=rng.choice(("groups", "components", "clusters")),
        parameters=parameters(numbers=ListOf(Integer(0, 20), high=8)) if by_rule else parameters(edges=Edges(high=6)),
        returns=returns,
        description=(
            f"{intro}; joined ones are in the same group, and so are those that a chain of joined ones "
            f"connects. It returns {what}."
        ),
        body=lines(
            f"left = {'set(numbers)' if by_rule else 'set(range(6))'}",
            "parts = []",
            "while left:",
            "    x = left.pop()",
            "    part, stack = [], [x]",
            "    while stack:",
            "        x = stack.pop()",
            "        part.append(x)",
            f"        near = [y for y in left if {joined}]",
            "        left.difference_update(near)",
            "        stack.extend(near)",
            "    parts.append(part)",
            f"return {result}",
        ),
    )


def _numbers(rng: Random) -> Function:
    """Breadth-first search over integers, from one to another by operations."""
    high = rng.choice((20, 30, 40))
    operations: list[str] = []
    while len(operations) < rng.choice((2, 3, 3)):
        formula = number_map(rng, "x", square=False)
        if formula not in operations and not formula.startswith(("min", "max")):
            operations.append(formula)
    k = rng.randint(2, 4)
    barred = rng.choice((None, None, rng.randint(3, 9)))
    what, result = rng.choice(
        (
            (
                (
                    "the smallest number of operations that lead from start to goal, or -1 if none do (0 "
                    "if they are the same)"
                ),
                "steps.get(goal, -1)",
            ),
            (
                (
                    "the smallest number of operations that lead from start to goal, or -1 if none do (0 "
                    "if they are the same)"
                ),
                "steps.get(goal, -1)",
            ),
            (
                f"how many different numbers at most {k} operations lead to from start, start included",
                f"sum(1 for count in steps.values() if count <= {k})",
            ),
            ("the largest number that operations lead to from start, start included", "max(steps)"),
        )
    )
    goal = "goal" in result
    kinds = parameters(start=Integer(0, high), goal=Integer(0, high)) if goal else parameters(start=Integer(0, high))
    allowed = f" or divisible by {barred}" if barred else ""
    return Function(
        name=rng.choice(("reach_number", "operations", "number_game", "transform_number")),
        parameters=kinds,
        returns="int",
        imports=(_DEQUE,),
        description=(
            "begins with the number start. One operation replaces the number x by one of "
            f"{', '.join(f'`{o}`' for o in operations)}, as one "
            f"chooses, but never by a number that is less than 0 or greater than {high}{allowed}. It returns {what}."
        ),
        body=lines(
            "steps = {start: 0}",
            "queue = deque([start])",
            "while queue:",
            "    x = queue.popleft()",
            f"    for y in ({', '.join(operations)}):",
            f"        if 0 <= y <= {high} and {f'y % {barred} != 0 and ' if barred else ''}y not in steps:",
            "            steps[y] = steps[x] + 1",
            "            queue.append(y)",
            f"return {result}",
        ),
    )


def _order(rng: Random) -> Function:
    """Nodes in an order that edges demand, or a cycle."""
    largest = rng.random() < 0.5
    forward = rng.random() < 0.6
    first, second = ("a", "b") if forward else ("b", "a")
    kind = rng.choice(("order", "rounds", "stuck", "lengths"))
    pick = "max" if largest else "min"
    words = f"Each edge (a, b) of `edges` says that the task {first} must be done before the task {second}."
    if kind == "order":
        what = (
            "the list of the tasks in the order in which they are done, if one always does the "
            f"{'largest' if largest else 'smallest'} task all of whose earlier ones are done; tasks that "
            "can never be done are left out"
        )
        result, returns = "done", "list[int]"
    elif kind == "stuck":
        what, result, returns = (
            (
                "the list of the tasks that can never be done, because they wait for each other or for "
                "such tasks, in ascending order"
            ),
            "sorted(left)",
            "list[int]",
        )
    elif kind == "rounds":
        what = (
            "the number of rounds until no further task can be done, if in each round one does all tasks "
            "whose earlier ones were all done in rounds before it; a round in which nothing is done does "
            "not count"
        )
        result, returns = "rounds", "int"
    else:
        what = (
            "the list of how many tasks are done in each round, if in each round one does all tasks "
            "whose earlier ones were all done in rounds before it, until no further task can be done"
        )
        result, returns = "sizes", "list[int]"
    ready = f"[x for x in left if all({first} not in left for a, b in edges if {second} == x)]"
    if kind in ("order", "stuck"):
        body = (
            lines(
                "left = set(range(6))",
                "done = []",
                "while True:",
                f"    ready = {ready}",
                "    if not ready:",
                "        break",
                f"    chosen = {pick}(ready)",
                "    left.remove(chosen)",
                "    done.append(chosen)",
                f"return {result}",
            )
            .replace("    done.append(chosen)\n" if kind == "stuck" else "\0", "")
            .replace("done = []\n" if kind == "stuck" else "\0", "")
        )
    else:
        body = lines(
            "left = set(range(6))",
            "rounds = 0" if kind == "rounds" else "sizes = []",
            "while True:",
            f"    ready = {ready}",
            "    if not ready:",
            "        break",
            "    left.difference_update(ready)",
            "    rounds += 1" if kind == "rounds" else "    sizes.append(len(ready))",
            f"return {result}",
        )
    return Function(
        name=rng.choice(("schedule", "task_order", "plan")),
        parameters=parameters(edges=Edges(high=8)),
        returns=returns,
        description=f"plans six tasks, the numbers 0 to 5. {words} It returns {what}.",
        body=body,
    )


def _grid_costs(rng: Random) -> Function:
    """Dijkstra's search in a grid of numbers."""
    words, moves = _moves(rng, basic=True)
    fee, k = rng.randint(1, 4), rng.randint(5, 12)
    price_words, price = rng.choice(
        (
            ("A move costs the number in the cell that it enters.", "cost + grid[row][column]"),
            (f"A move costs {fee} plus the number in the cell that it enters.", f"cost + {fee} + grid[row][column]"),
            (
                f"A move costs 1 plus {fee} times the amount by which the numbers of the two cells differ.",
                f"cost + 1 + {fee} * abs(grid[row][column] - grid[i][j])",
            ),
            (
                (
                    f"A move costs 1, and {fee} more for each 1 by which it climbs, that is, by which the "
                    "number of the cell that it enters is larger than that of the one it leaves."
                ),
                f"cost + 1 + {fee} * max(0, grid[row][column] - grid[i][j])",
            ),
            ("A way costs as much as the largest number of a cell that it enters.", "max(cost, grid[row][column])"),
        )
    )
    total = "" if price_words.startswith("A way") else " A way costs the sum of its moves."
    what, result = rng.choice(
        (
            (
                "the lowest cost of a way to the bottom right cell (0 if that is the first one too)",
                "best[(rows - 1, columns - 1)]",
            ),
            (
                "the lowest cost of a way to the bottom right cell (0 if that is the first one too)",
                "best[(rows - 1, columns - 1)]",
            ),
            (
                f"how many cells ways lead to at a cost of at most {k}, the first one included",
                f"sum(1 for cost in best.values() if cost <= {k})",
            ),
            (
                "the highest, over all cells, of the lowest cost of a way to the cell (0 for the first one)",
                "max(best.values())",
            ),
        )
    )
    return Function(
        name=rng.choice(("cross_terrain", "hike", "grid_route")),
        parameters=parameters(grid=Grid(Integer(0, 9), 4, 4)),
        returns="int",
        imports=(_HEAP,),
        description=(
            f"begins at the top left cell of `grid` and moves like this, within the grid: {words}. "
            f"{price_words}{total} It returns {what}."
        ),
        body=lines(
            "rows, columns = len(grid), len(grid[0])",
            "best = {}",
            "heap = [(0, 0, 0)]",
            "while heap:",
            "    cost, i, j = heapq.heappop(heap)",
            "    if (i, j) in best:",
            "        continue",
            "    best[(i, j)] = cost",
            f"    for di, dj in {moves}:",
            "        row, column = i + di, j + dj",
            "        if 0 <= row < rows and 0 <= column < columns:",
            f"            heapq.heappush(heap, ({price}, row, column))",
            f"return {result}",
        ),
    )

"""Level 8: recursion over numbers, nested lists, trees and choices."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, lines, parameters
from assay.environments.programs.phrases import maybe_map, number_test
from assay.environments.programs.value_kinds import BinaryTree, Integer, ListOf, NestedList


def make(rng: Random) -> Function:
    return rng.choice((_sequence, _halving, _table, _nested, _nested, _tree, _tree, _walk_tree, _choices, _texts))(rng)


def _sequence(rng: Random) -> Function:
    """A linear recurrence of order two or three."""
    order = rng.choice((2, 2, 3))
    starts = [rng.randint(0, 5) for _ in range(order)]
    factors = [rng.randint(1, 3) for _ in range(order)]
    factors[1] *= rng.choice((1, 1, -1))
    extra = rng.choice(("", "", " + n", " - n", f" + {rng.randint(1, 9)}"))
    terms = ""
    for back, factor in enumerate(factors, start=1):
        product = f"SELF(n - {back})" if abs(factor) == 1 else f"{abs(factor)} * SELF(n - {back})"
        terms += product if not terms else f" {'-' if factor < 0 else '+'} {product}"
    modulus = rng.choice((0, 0, rng.randint(5, 30)))
    rule = f"({terms}{extra}) % {modulus}" if modulus else f"{terms}{extra}"
    shown = rule.replace("SELF", "s")
    begins = ", ".join(f"s({index}) = {start}" for index, start in enumerate(starts))
    return Function(
        name=rng.choice(("sequence", "term", "series")),
        parameters=parameters(n=Integer(0, 12 if order == 2 else 9)),
        returns="int",
        description=f"returns s(n), where {begins}, and for larger n `s(n) = {shown}`.",
        body=lines(
            *(line for index, start in enumerate(starts) for line in (f"if n == {index}:", f"    return {start}")),
            f"return {rule}",
        ),
    )


def _halving(rng: Random) -> Function:
    """A function of n by smaller ones, in two ways."""
    base, divisor, less = rng.randint(1, 3), rng.randint(2, 3), rng.randint(1, 3)
    test = rng.choice(
        ("n % 2 == 0", "n % 3 == 0", "n % 3 == 1", "n % 5 == 0", "n % 4 == 0", f"n > {rng.randint(12, 30)}")
    )
    start, c, m = rng.choice((str(rng.randint(0, 5)), "n", "2 * n")), rng.randint(1, 9), rng.randint(2, 3)
    first = rng.choice(
        (
            f"SELF(n // {divisor}) + {c}",
            f"{m} * SELF(n // {divisor})",
            f"{m} * SELF(n // {divisor}) - {c}",
            f"SELF(n // {divisor}) + n",
        )
    )
    second = rng.choice(
        (
            f"SELF(n - {less}) + {c}",
            f"SELF(n - {less}) - {c}",
            f"SELF(n - {less}) + n % {c + 1}",
            f"{c} - SELF(n - {less})",
        )
    )
    small = max(base, less - 1)
    return Function(
        name=rng.choice(("descend", "unfold", "reduce_number")),
        parameters=parameters(n=Integer(0, 60)),
        returns="int",
        description=(
            f"returns r(n), where `r(n) = {start}` for n up to {small}; for larger n, "
            f"`r(n) = {first.replace('SELF', 'r')}` if `{test}`, and `r(n) = {second.replace('SELF', 'r')}` otherwise."
        ),
        body=lines(
            f"if n <= {small}:", f"    return {start}", f"if {test}:", f"    return {first}", f"return {second}"
        ),
    )


def _table(rng: Random) -> Function:
    """A function of two numbers by its neighbours, as in Pascal's triangle."""
    p, q, e = rng.randint(1, 3), rng.randint(1, 3), rng.randint(0, 4)
    left, right = rng.choice(("1", "n", "n + 1", "2")), rng.choice(("1", "m", "m + 2", "3"))
    third = rng.choice(("", " - SELF(m - 1, n - 1)", " + SELF(m - 1, n - 1)"))
    rule = f"{_times(p, 'SELF(m - 1, n)')} + {_times(q, 'SELF(m, n - 1)')}{third}{f' + {e}' if e else ''}"
    size = 4 if third else 5
    return Function(
        name=rng.choice(("table", "cell", "corner")),
        parameters=parameters(m=Integer(0, size), n=Integer(0, size)),
        returns="int",
        description=(
            f"returns t(m, n), where `t(0, n) = {left}` for all n, `t(m, 0) = {right}` for m greater than 0, and "
            f"otherwise `t(m, n) = {rule.replace('SELF', 't')}`."
        ),
        body=lines("if m == 0:", f"    return {left}", "if n == 0:", f"    return {right}", f"return {rule}"),
    )


def _times(factor: int, text: str) -> str:
    return text if factor == 1 else f"{factor} * {text}"


def _nested(rng: Random) -> Function:
    """A list of integers and such lists."""
    test, formula = number_test(rng, "item", compound=0.1), maybe_map(rng, "item", square=False)
    depth = rng.random() < 0.5
    if rng.random() < 0.35:
        return _flattened(rng)
    value = (
        rng.choice(("depth * item", f"{formula} + depth", "item - depth", "item * (depth + 1)")) if depth else formula
    )
    kind = rng.choice(("sum", "count", "sum_else"))
    update = {"sum": value, "count": "depth" if depth else "1", "sum_else": value}[kind]
    what = f"the sum of `{update}` over" if update != "1" else "the number of"
    inner = "SELF(item, depth + 1)" if depth else "SELF(item)"
    penalty = rng.randint(1, 5)
    empty = kind == "sum_else"
    begin = (
        " depth is 1 for the integers that are directly in the list, 2 for those in a list in it, and so on."
        if depth
        else ""
    )
    body = lines(
        f"if not items:\n    return -{penalty}" if empty else None,
        "total = 0",
        "for item in items:",
        "    if isinstance(item, list):",
        f"        total += {inner}",
        f"    elif {test.code}:",
        f"        total += {update}",
        "return total",
    )
    if depth:
        body = lines(
            "def visit(items, depth):",
            *(f"    {line}" for line in body.replace("SELF", "visit").split("\n")),
            "",
            "return visit(items, 1)",
        )
    return Function(
        name=rng.choice(("nested_total", "deep_sum", "weigh")),
        parameters=parameters(items=NestedList()),
        returns="int",
        description=(
            f"returns {what} all integers item in `items`, at any depth, for which item {test.words}.{begin}"
            + (
                f" Each empty list, `items` itself included, adds -{penalty} to it."
                if empty
                else " It is 0 if there are none."
            )
        ),
        body=body,
    )


def _flattened(rng: Random) -> Function:
    """A list or a depth made of a nested list."""
    test, formula = number_test(rng, "item"), maybe_map(rng, "item", square=False)
    k = rng.randint(1, 3)
    turned = rng.random() < 0.4
    if rng.random() < 0.65:
        limit = rng.random() < 0.4
        return Function(
            name=rng.choice(("flatten", "unpack", "leaves")),
            parameters=parameters(items=NestedList()),
            returns="list[int]",
            description=(
                (
                    f"returns the list of `{formula}` for all integers item in `items`, at any depth, for "
                    f"which item {test.words}, "
                )
                + ("from the last to the first." if turned else "in the order in which they are written.")
                + (
                    (
                        f" Lists with more than {k + 1} items are left out with all that is in them, "
                        "`items` itself included."
                    )
                    if limit
                    else ""
                )
            ),
            body=lines(
                "result = []",
                f"if len(items) > {k + 1}:" if limit else None,
                "    return result" if limit else None,
                f"for item in {'reversed(items)' if turned else 'items'}:",
                "    if isinstance(item, list):",
                "        result += SELF(item)",
                f"    elif {test.code}:",
                f"        result.append({formula})",
                "return result",
            ),
        )
    return Function(
        name=rng.choice(("depth", "levels", "nesting")),
        parameters=parameters(items=NestedList()),
        returns="int",
        description=(
            f"returns the depth of `items`, where the depth of an empty list is {k}, and that of "
            "another list is one more than "
            f"the largest depth of its items; an integer item has depth 0 if item {test.words}, and "
            f"depth {k + 1} otherwise."
        ),
        body=lines(
            "if not items:",
            f"    return {k}",
            "deepest = 0",
            "for item in items:",
            "    if isinstance(item, list):",
            "        deepest = max(deepest, SELF(item))",
            f"    elif not ({test.code}):",
            f"        deepest = max(deepest, {k + 1})",
            "return 1 + deepest",
        ),
    )


def _tree(rng: Random) -> Function:
    """A number of a tree made of the numbers of its two subtrees."""
    test, formula, empty = number_test(rng, "value"), maybe_map(rng, "value", square=False), rng.choice((0, 0, 1, -1))
    joined = rng.choice(
        (
            "max(left, right)",
            "min(left, right)",
            "left + right",
            "left - right",
            "2 * left + right",
            "abs(left - right)",
        )
    )
    other = rng.choice(("0", "1", "value", str(rng.randint(2, 9))))
    return Function(
        name=rng.choice(("tree_value", "fold_tree", "measure_tree")),
        parameters=parameters(tree=BinaryTree()),
        returns="int",
        description=(
            f"returns the number of a tree, which is {empty} for the empty tree. Otherwise let left "
            "and right be the numbers "
            f"of its two subtrees, and value the integer at its root: its number is `{joined} + "
            f"{formula}` if value {test.words}, "
            f"and `{joined} + {other}` otherwise."
        ),
        body=lines(
            "if tree is None:",
            f"    return {empty}",
            "value = tree[0]",
            "left, right = SELF(tree[1]), SELF(tree[2])",
            f"if {test.code}:",
            f"    return {joined} + {formula}",
            f"return {joined} + {other}",
        ),
    )


def _walk_tree(rng: Random) -> Function:
    """Values of a tree in some order, or along some paths."""
    test, formula, first = number_test(rng, "value"), maybe_map(rng, "value", square=False), rng.choice((0, 1))
    order = rng.choice(("before", "between", "after"))
    swapped = rng.random() < 0.3
    left, right = ("tree[2]", "tree[1]") if swapped else ("tree[1]", "tree[2]")
    sides = ("right", "left") if swapped else ("left", "right")
    parts = [f"SELF({left})", f"SELF({right})"]
    parts.insert({"before": 0, "between": 1, "after": 2}[order], "own")
    place = {
        "before": (
            f"each integer comes before those of its {sides[0]} subtree, and these before those of its "
            f"{sides[1]} subtree"
        ),
        "between": (
            f"each integer comes after those of its {sides[0]} subtree and before those of its {sides[1]} subtree"
        ),
        "after": (
            f"those of the {sides[0]} subtree come first, then those of the {sides[1]} subtree, then the "
            "integer at the root"
        ),
    }[order]
    if rng.random() < 0.6:
        return Function(
            name=rng.choice(("walk", "traverse", "tree_list")),
            parameters=parameters(tree=BinaryTree()),
            returns="list[int]",
            description=(
                f"returns the list of `{formula}` for all integers value in `tree` for which value "
                f"{test.words}. In the order "
                f"of the list, {place}."
            ),
            body=lines(
                "if tree is None:",
                "    return []",
                "value = tree[0]",
                f"own = [{formula}] if {test.code} else []",
                f"return {' + '.join(parts)}",
            ),
        )
    return Function(
        name=rng.choice(("at_depth", "level_total", "deep_nodes")),
        parameters=parameters(tree=BinaryTree(), k=Integer(0, 4)),
        returns="int",
        description=(
            f"returns the sum of `{formula}` over all integers value in `tree` at depth k for which "
            f"value {test.words}, where "
            f"the root has depth {first} and each subtree's root has one more than the root above it; "
            "0 if there are none."
        ),
        body=lines(
            "if tree is None:",
            "    return 0",
            "value = tree[0]",
            f"if k == {first}:",
            f"    return {formula} if {test.code} else 0",
            "return SELF(tree[1], k - 1) + SELF(tree[2], k - 1)",
        ),
    )


def _choices(rng: Random) -> Function:
    """Subsets and signs, each number taken or not."""
    k, m, low = rng.randint(1, 3), rng.randint(2, 4), rng.randint(0, 6)
    take_words, take = rng.choice(
        (
            ("adds it to the sum", "total + numbers[0]"),
            ("adds twice the number to the sum", "total + 2 * numbers[0]"),
            ("subtracts it from the sum", "total - numbers[0]"),
        )
    )
    leave_words, leave = rng.choice(
        (
            ("leaves the sum as it is", "total"),
            (f"subtracts {k} from the sum", f"total - {k}"),
            ("subtracts it from the sum", "total - numbers[0]"),
        )
    )
    if take == leave:
        leave_words, leave = "leaves the sum as it is", "total"
    goal_words, goal = rng.choice(
        (
            ("is equal to target", "total == target"),
            (f"is divisible by {m}", f"total % {m} == 0"),
            ("is greater than target", "total > target"),
            (f"differs from target by at most {low}", f"abs(total - target) <= {low}"),
        )
    )
    kinds = parameters(numbers=ListOf(Integer(-6, 12), high=6), target=Integer(-6, 25))
    if "target" not in goal:
        kinds = kinds[:1]
    return Function(
        name=rng.choice(("ways", "count_choices", "selections")),
        parameters=kinds,
        returns="int",
        description=(
            "goes through `numbers` with a sum that begins at 0. For each number there is a choice "
            f"of two: it {take_words}, or it "
            f"{leave_words}. The function returns in how many ways one can choose such that the sum "
            f"in the end {goal_words}. Ways "
            "are different if they choose differently for at least one number."
        ),
        body=lines(
            "def count(numbers, total):",
            "    if not numbers:",
            f"        return 1 if {goal} else 0",
            f"    return count(numbers[1:], {take}) + count(numbers[1:], {leave})",
            "",
            "return count(numbers, 0)",
        ),
    )


def _texts(rng: Random) -> Function:
    """Return a function that lists all strings that obey rules."""
    letters = rng.choice(("ab", "ab", "abc", "01", "xyz"))
    rule_words, rule = rng.choice(
        (
            ("no two neighbouring characters are the same", "not text or char != text[-1]"),
            (
                f"no {letters[0]!r} comes just after another {letters[0]!r}",
                f"char != {letters[0]!r} or not text.endswith({letters[0]!r})",
            ),
            (
                f"no {letters[1]!r} comes just after a {letters[0]!r}",
                f"char != {letters[1]!r} or not text.endswith({letters[0]!r})",
            ),
            (f"there are at most two {letters[0]!r}", f"char != {letters[0]!r} or text.count({letters[0]!r}) < 2"),
            ("no character comes three times in a row", "not text.endswith(char * 2)"),
            (f"the first character is not {letters[-1]!r}", f"text or char != {letters[-1]!r}"),
            (
                "the characters never fall (each is at least the one before it, in the order of characters)",
                "not text or char >= text[-1]",
            ),
        )
    )
    must = rng.choice(letters)
    odd = rng.choice(("", f"text.count({must!r}) % 2 == 0", f"{must!r} in text", f"not text.endswith({must!r})"))
    odd_words = {
        "": "",
        f"text.count({must!r}) % 2 == 0": f", and the number of {must!r} is even",
        f"{must!r} in text": f", and there is at least one {must!r}",
        f"not text.endswith({must!r})": f", and the last character, if there is one, is not {must!r}",
    }[odd]
    as_list = rng.random() < 0.5
    leaf = "[text]" if as_list else "1"
    none = "[]" if as_list else "0"
    return Function(
        name=rng.choice(("build_texts", "strings", "spell")),
        parameters=parameters(n=Integer(0, 4 if as_list else (7 if len(letters) == 2 else 5))),
        returns="list[str]" if as_list else "int",
        description=(
            (
                f"looks at all strings of length n made of the characters {', '.join(map(repr, letters))} "
                f"in which {rule_words}{odd_words}. "
            )
            + ("It returns the list of them in ascending order." if as_list else "It returns how many there are.")
            + " The empty string counts as a string of length 0."
        ),
        body=lines(
            "def extend(text):",
            "    if len(text) == n:",
            f"        return {f'{leaf} if {odd} else {none}' if odd else leaf}",
            f"    found = {none}",
            f"    for char in {letters!r}:",
            f"        if {rule}:",
            "            found += extend(text + char)",
            "    return found",
            "",
            "return extend('')",
        ),
    )

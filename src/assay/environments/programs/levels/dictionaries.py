"""Level 6: dictionaries: counting, grouping, merging, and what is read off them."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from assay.environments.programs.function import Function, lines, parameters, steps_list
from assay.environments.programs.phrases import count_test, maybe_map, number_map, number_test
from assay.environments.programs.value_kinds import NUMBERS, TEXT, WORD, Integer, Kind, ListOf, MappingOf, Text, TupleOf

_KEYS = Text("aabbcde", 1, 2, "holds small letters")
_AMOUNTS = MappingOf(_KEYS, Integer(-20, 40))


@dataclass(frozen=True)
class _Source:
    """A collection that a function loops over: the argument, the loop, the keys to group by, and the values."""

    name: str
    kind: Kind
    loop: str
    each: str
    keys: tuple[tuple[str, str, str], ...]
    """(words, code, type)"""
    number: str = ""
    """The integer that belongs to an item, where there is one."""


def make(rng: Random) -> Function:
    return rng.choice((_grouped, _grouped, _grouped, _merged, _changed))(rng)


def _source(rng: Random) -> _Source:
    k = rng.randint(2, 5)
    return rng.choice(
        (
            _Source(
                "numbers",
                NUMBERS,
                "for x in numbers:",
                "number x",
                (
                    ("x itself", "x", "int"),
                    (f"`x % {k}`", f"x % {k}", "int"),
                    (f"`x // {5 * k}`", f"x // {5 * k}", "int"),
                    ("`abs(x)`", "abs(x)", "int"),
                    ("the last decimal digit of x, without its sign", "abs(x) % 10", "int"),
                ),
                "x",
            ),
            _Source(
                "words",
                ListOf(WORD, high=7),
                "for word in words:",
                "string word",
                (
                    ("its first character", "word[0]", "str"),
                    ("its last character", "word[-1]", "str"),
                    ("its length", "len(word)", "int"),
                    ("its first two characters, or the one that it has", "word[:2]", "str"),
                ),
                "len(word)",
            ),
            _Source(
                "text",
                TEXT,
                "for index, char in enumerate(text):",
                "character char (its index, from 0, is index)",
                (
                    ("char itself", "char", "str"),
                    ("char as a small letter", "char.lower()", "str"),
                ),
                "index",
            ),
            _Source(
                "pairs",
                ListOf(TupleOf((_KEYS, Integer(-20, 40))), high=8),
                "for name, amount in pairs:",
                "pair (name, amount)",
                (
                    ("name", "name", "str"),
                    ("the first character of name", "name[0]", "str"),
                    (f"`amount // {5 * k}`", f"amount // {5 * k}", "int"),
                ),
                "amount",
            ),
        )
    )


def _grouped(rng: Random) -> Function:
    source = _source(rng)
    key_words, key, key_type = rng.choice(source.keys)
    value = maybe_map(rng, source.number, 0.4, square=False)
    kind = rng.choice(("count", "sum", "largest", "smallest", "first", "list"))
    words, update = {
        "count": ("the number of those in the group", f"groups[key] = groups.get(key, 0) + {rng.choice((1, 1, 2))}"),
        "sum": (f"the sum of `{value}` over the group", f"groups[key] = groups.get(key, 0) + {value}"),
        "largest": (f"the largest `{value}` of the group", f"groups[key] = max(groups.get(key, {value}), {value})"),
        "smallest": (f"the smallest `{value}` of the group", f"groups[key] = min(groups.get(key, {value}), {value})"),
        "first": (f"`{value}` for the first of the group", f"groups.setdefault(key, {value})"),
        "list": (f"the list of `{value}` over the group, in order", f"groups.setdefault(key, []).append({value})"),
    }[kind]
    if kind == "count" and "+ 2" in update:
        words = "twice the number of those in the group"
    sized = source.name in ("words", "text")
    test = None
    if rng.random() < 0.4:
        test = count_test(rng, source.number, 2, 5) if sized else number_test(rng, source.number, compound=0)
    inner = [f"    key = {key}", f"    {update}"]
    if test is not None:
        inner = [f"    if {test.code}:", *(f"    {line}" for line in inner)]
    chosen = f" Those for which `{source.number}` {test.words} are grouped, others are left out." if test else ""
    steps = [
        f"Group each {source.each} of `{source.name}` by {key_words}.{chosen}",
        f"The value of a group is {words}.",
    ]
    last, body, returns = _reading(rng, key_type, "list[int]" if kind == "list" else "int")
    return Function(
        name=rng.choice(("group", "count_groups", "by_group", "tally", "summary")),
        parameters=parameters(**{source.name: source.kind}),
        returns=returns,
        description="does the following:\n" + steps_list([*steps, last]),
        body=lines(
            "groups = {}",
            source.loop.replace("index, char in enumerate(text)", "char in text")
            if "index" not in "".join(inner)
            else source.loop,
            *inner,
            *body,
        ),
    )


def _reading(rng: Random, key: str, value: str) -> tuple[str, list[str], str]:
    """(sentence, lines, type) of what is read off the dictionary `groups`."""
    if value == "list[int]":
        size = count_test(rng, "len(values)", 1, 3)
        options = [
            ("Return the dictionary from each group to its value.", ["return groups"], f"dict[{key}, list[int]]"),
            (
                "Return the dictionary from each group to its value in ascending order.",
                ["return {key: sorted(values) for key, values in groups.items()}"],
                f"dict[{key}, list[int]]",
            ),
            (
                f"Return the groups whose list has a length that {size.words}, in ascending order.",
                [f"return sorted(key for key, values in groups.items() if {size.code})"],
                f"list[{key}]",
            ),
            (
                "Return the list of the largest number of each group, in ascending order of the groups.",
                ["return [max(groups[key]) for key in sorted(groups)]"],
                "list[int]",
            ),
            (
                "Return the sum of the last numbers of all groups.",
                ["return sum(values[-1] for values in groups.values())"],
                "int",
            ),
        ]
        return rng.choice(options)
    test, k = number_test(rng, "value", compound=0), rng.randint(1, 3)
    empty = "''" if key == "str" else "-1"
    options = [
        ("Return the dictionary from each group to its value.", ["return groups"], f"dict[{key}, int]"),
        (
            f"Return the dictionary from each group to its value, without the groups whose value {test.words}.",
            [f"return {{key: value for key, value in groups.items() if not ({test.code})}}"],
            f"dict[{key}, int]",
        ),
        (
            f"Return the groups whose value {test.words}, in ascending order.",
            [f"return sorted(key for key, value in groups.items() if {test.code})"],
            f"list[{key}]",
        ),
        (
            (
                "Return the group with the largest value, the smallest of these groups in case of a tie, "
                f"or {empty} if there is no group."
            ),
            ["if not groups:", f"    return {empty}", "return min(groups, key=lambda key: (-groups[key], key))"],
            key,
        ),
        (
            (
                "Return the group with the smallest value, the largest of these groups in case of a tie, "
                f"or {empty} if there is no group."
            ),
            [
                f"best = {empty}",
                "for key in sorted(groups, reverse=True):",
                f"    if best == {empty} or groups[key] < groups[best]:",
                "        best = key",
                "return best",
            ]
            if key == "str"
            else [
                "if not groups:",
                "    return -1",
                "smallest = min(groups.values())",
                "return max(key for key, value in groups.items() if value == smallest)",
            ],
            key,
        ),
        (
            (
                f"Return the first {k + 1} groups by value, largest value first, ties by group, ascending "
                "(all where there are fewer)."
            ),
            [f"return sorted(groups, key=lambda key: (-groups[key], key))[:{k + 1}]"],
            f"list[{key}]",
        ),
        (
            "Return the largest value minus the smallest value, or 0 if there is no group.",
            ["values = list(groups.values())", "return max(values, default=0) - min(values, default=0)"],
            "int",
        ),
        (
            f"Return how many groups there are whose value {test.words}.",
            [f"return sum(1 for value in groups.values() if {test.code})"],
            "int",
        ),
        (
            "Return the list of the values, in ascending order of the groups.",
            ["return [groups[key] for key in sorted(groups)]"],
            "list[int]",
        ),
        (
            "Return the dictionary from each value to the list of its groups in ascending order.",
            [
                "inverse = {}",
                "for key in sorted(groups):",
                "    inverse.setdefault(groups[key], []).append(key)",
                "return inverse",
            ],
            f"dict[int, list[{key}]]",
        ),
        (
            "Return the list of pairs (group, value) as tuples, in ascending order of value, ties by group, ascending.",
            ["return sorted(groups.items(), key=lambda item: (item[1], item[0]))"],
            f"list[tuple[{key}, int]]",
        ),
    ]
    return rng.choice(options)


def _merged(rng: Random) -> Function:
    """Two dictionaries."""
    operator = rng.choice(("x + y", "x - y", "max(x, y)", "min(x, y)", "x * y", "2 * x + y"))
    default = rng.choice((0, 0, 1, 5))
    if rng.random() < 0.5:
        words = (
            "Each key that is in both `first` (with value x) and `second` (with value y) is a group, "
            f"with the value `{operator}`. Other keys are left out."
        )
        code = [
            "for key, x in first.items():",
            "    if key in second:",
            "        y = second[key]",
            f"        groups[key] = {operator}",
        ]
    else:
        words = (
            f"Each key that is in `first` or `second` is a group, with the value `{operator}`, where x is "
            f"its value in `first` and y its value in `second`, and {default} stands for a value that is "
            "missing."
        )
        code = [
            "for key in [*first, *second]:",
            f"    x = first.get(key, {default})",
            f"    y = second.get(key, {default})",
            f"    groups[key] = {operator}",
        ]
    last, body, returns = _reading(rng, "str", "int")
    return Function(
        name=rng.choice(("merge", "combine", "compare_counts", "join_tables")),
        parameters=parameters(first=_AMOUNTS, second=_AMOUNTS),
        returns=returns,
        description="does the following:\n" + steps_list([words, last]),
        body=lines("groups = {}", *code, *body),
    )


def _changed(rng: Random) -> Function:
    """One dictionary filtered, changed, read off."""
    test, formula = number_test(rng, "value", compound=0), number_map(rng, "value", square=False)
    shortened = rng.random() < 0.4
    if shortened:
        words = [
            f"Keep only the entries of `stock` whose value {test.words}.",
            (
                "Group them by the first character of their key. The value of a group is the sum of "
                f"`{formula}` over its entries, each called value."
            ),
        ]
        code = [
            "for key, value in stock.items():",
            f"    if {test.code}:",
            f"        groups[key[0]] = groups.get(key[0], 0) + {formula}",
        ]
    else:
        words = [
            (
                "Each entry of `stock` is a group of its own, named by its key. Its value becomes "
                f"`{formula}` if value {test.words}, and stays as it is otherwise."
            ),
        ]
        code = [
            "for key, value in stock.items():",
            f"    if {test.code}:",
            f"        value = {formula}",
            "    groups[key] = value",
        ]
    last, body, returns = _reading(rng, "str", "int")
    return Function(
        name=rng.choice(("update_stock", "rework", "revalue", "adjust")),
        parameters=parameters(stock=MappingOf(_KEYS, Integer(-30, 60))),
        returns=returns,
        description="does the following:\n" + steps_list([*words, last]),
        body=lines("groups = {}", *code, *body),
    )

"""Steps of a pipeline: each takes a value of one type and gives one of the same or another type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from assay.environments.programs.phrases import count_test, number_map, number_test

VALUE = "{v}"
"""Placeholder for the value so far."""


@dataclass(frozen=True)
class Step:
    """One operation on the value so far, in words and as code."""

    words: str
    """An imperative sentence without its full stop."""
    code: str
    """An expression in `VALUE`."""
    returns: str


def text_step(rng: Random) -> Step:
    """Draw a step from a string to a string."""
    k, char, other = rng.randint(2, 4), rng.choice("abcdeiost"), rng.choice("xyz*-_")
    affix, vowels = rng.choice(("un", "re", "!", "?", "ing", "-", "ab", "...")), rng.random() < 0.5
    every = rng.randint(2, 3)
    options = [
        ("Reverse it", "{v}[::-1]"),
        (f"Keep only its first {k} characters, or all where it has fewer", f"{{v}}[:{k}]"),
        (f"Keep only its last {k} characters, or all where it has fewer", f"{{v}}[-{k}:]"),
        (f"Remove its first {k} characters", f"{{v}}[{k}:]"),
        (f"Remove its last {k} characters", f"{{v}}[:-{k}]"),
        ("Remove its first and its last character", "{v}[1:-1]"),
        (f"Keep every {_ordinal(every)} character, beginning with the first", f"{{v}}[::{every}]"),
        (f"Keep every {_ordinal(every)} character, beginning with the second", f"{{v}}[1::{every}]"),
        ("Make all its letters capital", "{v}.upper()"),
        ("Make all its letters small", "{v}.lower()"),
        ("Turn capital letters into small ones and small ones into capital ones", "{v}.swapcase()"),
        (f"Replace every {char!r} by {other!r}", f"{{v}}.replace({char!r}, {other!r})"),
        (f"Replace every {char!r} by {other * 2!r}", f"{{v}}.replace({char!r}, {other * 2!r})"),
        (f"Remove every {char!r}", f"{{v}}.replace({char!r}, '')"),
        (f"Put {affix!r} before it", f"{affix!r} + {{v}}"),
        (f"Put {affix!r} after it", f"{{v}} + {affix!r}"),
        (f"Repeat it {_times(k)}", f"{{v}} * {k}"),
        (f"Move its first {k} characters to its end", f"{{v}}[{k}:] + {{v}}[:{k}]"),
        (f"Move its last {k} characters to its front", f"{{v}}[-{k}:] + {{v}}[:-{k}]"),
        ("Append its reverse to it", "{v} + {v}[::-1]"),
        ("Put its characters in ascending order (as `sorted` does)", "''.join(sorted({v}))"),
        ("Double each of its characters", "''.join(char * 2 for char in {v})"),
        (f"Fill it with {other!r} on the left to a length of at least {k + 3}", f"{{v}}.rjust({k + 3}, {other!r})"),
        (f"Fill it with {other!r} on the right to a length of at least {k + 3}", f"{{v}}.ljust({k + 3}, {other!r})"),
        ("Remove spaces from both its ends", "{v}.strip()"),
        ("Remove all spaces", "{v}.replace(' ', '')"),
        (f"Put {other!r} between neighbouring characters", f"{other!r}.join({{v}})"),
        ("Keep only its vowels (the letters of 'aeiouAEIOU')", "''.join(char for char in {v} if char in 'aeiouAEIOU')")
        if vowels
        else (
            "Remove its vowels (the letters of 'aeiouAEIOU')",
            "''.join(char for char in {v} if char not in 'aeiouAEIOU')",
        ),
    ]
    words, code = rng.choice(options)
    return Step(words, code, "str")


def text_result(rng: Random) -> Step:
    """Draw a step from a string to another type."""
    char, k = rng.choice("abcdeiost"), rng.randint(2, 9)
    pair = char + rng.choice("abcdeiost")
    words, code, returns = rng.choice(
        (
            ("Return its length", "len({v})", "int"),
            (f"Return {k} times its length", f"{k} * len({{v}})", "int"),
            (f"Return how often {char!r} occurs in it", f"{{v}}.count({char!r})", "int"),
            (f"Return the index of the first {char!r} in it, or -1 if there is none", f"{{v}}.find({char!r})", "int"),
            (f"Return the index of the last {char!r} in it, or -1 if there is none", f"{{v}}.rfind({char!r})", "int"),
            (f"Return whether it contains {char!r}", f"{char!r} in {{v}}", "bool"),
            (f"Return whether it starts with {char!r}", f"{{v}}.startswith({char!r})", "bool"),
            (
                f"Return whether it contains {pair!r} or is shorter than {k}",
                f"{pair!r} in {{v}} or len({{v}}) < {k}",
                "bool",
            ),
            ("Return how many different characters it has", "len(set({v}))", "int"),
            (
                "Return how many of its characters are vowels (the letters of 'aeiouAEIOU')",
                "sum(char in 'aeiouAEIOU' for char in {v})",
                "int",
            ),
            ("Return how many capital letters it has", "sum(char.isupper() for char in {v})", "int"),
            ("Return how many words it has, where spaces part words", "len({v}.split())", "int"),
            ("Return the list of its words, where spaces part words", "{v}.split()", "list[str]"),
            (f"Return the list of parts between each {char!r}", f"{{v}}.split({char!r})", "list[str]"),
        )
    )
    return Step(words, code, returns)


def numbers_step(rng: Random) -> Step:
    """Draw a step from a list of integers to a list of integers."""
    return rng.choice((_numbers_filter, _numbers_map, _numbers_order, _numbers_window))(rng)


def _numbers_filter(rng: Random) -> Step:
    test, k = number_test(rng), rng.randint(1, 4)
    words, code = rng.choice(
        (
            (f"Keep only the numbers x for which x {test.words}", f"[x for x in {{v}} if {test.code}]"),
            (f"Keep only the numbers x for which x {test.words}", f"[x for x in {{v}} if {test.code}]"),
            (f"Remove the numbers x for which x {test.words}", f"[x for x in {{v}} if not ({test.code})]"),
            (f"Keep only the first {k} numbers, or all where there are fewer", f"{{v}}[:{k}]"),
            (f"Keep only the last {k} numbers, or all where there are fewer", f"{{v}}[-{k}:]"),
            (f"Remove the first {k} numbers", f"{{v}}[{k}:]"),
            (f"Keep every {_ordinal(k + 1)} number, beginning with the first", f"{{v}}[::{k + 1}]"),
            ("Keep each number once, where it comes first", "list(dict.fromkeys({v}))"),
            (
                "Keep only the numbers that are greater than the one just before them (the first has none, and goes)",
                "[y for x, y in zip({v}, {v}[1:]) if y > x]",
            ),
            ("Keep only the numbers that occur exactly once", "[x for x in {v} if {v}.count(x) == 1]"),
            ("Keep only the numbers that occur more than once", "[x for x in {v} if {v}.count(x) > 1]"),
        )
    )
    return Step(words, code, "list[int]")


def _numbers_map(rng: Random) -> Step:
    formula, other, test, k = number_map(rng), number_map(rng), number_test(rng), rng.randint(1, 3)
    words, code = rng.choice(
        (
            (f"Replace each number x by `{formula}`", f"[{formula} for x in {{v}}]"),
            (f"Replace each number x by `{formula}`", f"[{formula} for x in {{v}}]"),
            (
                f"Replace each number x by `{formula}` if x {test.words}, and leave the others",
                f"[{formula} if {test.code} else x for x in {{v}}]",
            ),
            (
                f"Replace each number x by `{formula}` if x {test.words}, and by `{other}` otherwise",
                f"[{formula} if {test.code} else {other} for x in {{v}}]",
            ),
            (
                f"Add to each number {k + 1} times its index (the first has index 0)",
                f"[x + {k + 1} * index for index, x in enumerate({{v}})]",
            ),
            (
                "Multiply each number by its index (the first has index 0)",
                "[x * index for index, x in enumerate({v})]",
            ),
        )
    )
    return Step(words, code, "list[int]")


def _numbers_order(rng: Random) -> Step:
    k, m = rng.randint(1, 20), rng.randint(2, 9)
    words, code = rng.choice(
        (
            ("Sort them in ascending order", "sorted({v})"),
            ("Sort them in descending order", "sorted({v}, reverse=True)"),
            ("Sort them by absolute value, ascending; ties keep their order", "sorted({v}, key=abs)"),
            (
                f"Sort them by their distance to {k}, ascending; ties keep their order",
                f"sorted({{v}}, key=lambda x: abs(x - {k}))",
            ),
            (
                f"Sort them by their remainder modulo {m}, ascending; ties keep their order",
                f"sorted({{v}}, key=lambda x: x % {m})",
            ),
            (
                f"Sort them by their remainder modulo {m}, ascending, and equal remainders by value, ascending",
                f"sorted({{v}}, key=lambda x: (x % {m}, x))",
            ),
            ("Reverse their order", "{v}[::-1]"),
            (f"Move the first {1 + k % 3} numbers to the end", f"{{v}}[{1 + k % 3}:] + {{v}}[:{1 + k % 3}]"),
            (
                f"Put those at least {k} before the others; otherwise keep the order",
                f"[x for x in {{v}} if x >= {k}] + [x for x in {{v}} if x < {k}]",
            ),
        )
    )
    return Step(words, code, "list[int]")


def _numbers_window(rng: Random) -> Step:
    k = rng.randint(2, 3)
    name = rng.choice(("sum", "min", "max"))
    shown = {"sum": "sum", "min": "smallest number", "max": "largest number"}[name]
    words, code = rng.choice(
        (
            (
                "Replace the list by the differences of neighbours, each number minus the one before it",
                "[y - x for x, y in zip({v}, {v}[1:])]",
            ),
            ("Replace the list by the sums of neighbours", "[x + y for x, y in zip({v}, {v}[1:])]"),
            (
                f"Replace the list by the {shown} of each window of {k} consecutive numbers (none where it is shorter)",
                f"[{name}({{v}}[i : i + {k}]) for i in range(len({{v}}) - {k - 1})]",
            ),
            (
                "Replace each number by the sum of the numbers up to and including it",
                "[sum({v}[: i + 1]) for i in range(len({v}))]",
            ),
            (
                f"Replace each number by the {shown} of the numbers from it to the end",
                f"[{name}({{v}}[i:]) for i in range(len({{v}}))]",
            ),
            (
                (
                    f"Split the list into blocks of {k} numbers (the last may be shorter) and replace "
                    f"each block by its {shown}"
                ),
                f"[{name}({{v}}[i : i + {k}]) for i in range(0, len({{v}}), {k})]",
            ),
        )
    )
    return Step(words, code, "list[int]")


def numbers_result(rng: Random) -> Step:
    """Draw a step from a list of integers to another type."""
    test, default, k = number_test(rng), rng.choice((0, -1)), rng.randint(2, 20)
    formula = number_map(rng, square=False)
    words, code, returns = rng.choice(
        (
            ("Return their sum", "sum({v})", "int"),
            (f"Return the sum of `{formula}` over them", f"sum({formula} for x in {{v}})", "int"),
            ("Return how many there are", "len({v})", "int"),
            (f"Return the largest, or {default} if there is none", f"max({{v}}, default={default})", "int"),
            (f"Return the smallest, or {default} if there is none", f"min({{v}}, default={default})", "int"),
            (
                f"Return how many of them x there are for which x {test.words}",
                f"sum(1 for x in {{v}} if {test.code})",
                "int",
            ),
            (f"Return the sum of those x for which x {test.words}", f"sum(x for x in {{v}} if {test.code})", "int"),
            (
                f"Return the first x for which x {test.words}, or {default} if there is none",
                f"next((x for x in {{v}} if {test.code}), {default})",
                "int",
            ),
            (
                f"Return the index of the first x for which x {test.words}, or -1 if there is none",
                f"next((i for i, x in enumerate({{v}}) if {test.code}), -1)",
                "int",
            ),
            (
                "Return the sum of those at even indices minus the sum of the others",
                "sum({v}[::2]) - sum({v}[1::2])",
                "int",
            ),
            (
                "Return the largest minus the smallest, or 0 if there is none",
                "max({v}, default=0) - min({v}, default=0)",
                "int",
            ),
            (f"Return whether there is an x for which x {test.words}", f"any({test.code} for x in {{v}})", "bool"),
            (f"Return whether every x {test.words}", f"all({test.code} for x in {{v}})", "bool"),
            (f"Return whether their sum is greater than {k}", f"sum({{v}}) > {k}", "bool"),
            ("Return them as a string, joined by commas without spaces", "','.join(str(x) for x in {v})", "str"),
        )
    )
    return Step(words, code, returns)


def words_step(rng: Random) -> Step:
    """Draw a step from a list of strings to a list of strings."""
    k, char = rng.randint(2, 4), rng.choice("abcdeiost")
    size = count_test(rng, "len(word)", 2, 5)
    words, code = rng.choice(
        (
            (f"Keep only the strings whose length {size.words}", f"[word for word in {{v}} if {size.code}]"),
            (f"Keep only the strings that contain {char!r}", f"[word for word in {{v}} if {char!r} in word]"),
            (f"Remove the strings that contain {char!r}", f"[word for word in {{v}} if {char!r} not in word]"),
            (
                f"Keep only the strings that start with {char!r}",
                f"[word for word in {{v}} if word.startswith({char!r})]",
            ),
            ("Reverse each string", "[word[::-1] for word in {v}]"),
            ("Make each string capital letters", "[word.upper() for word in {v}]"),
            (f"Cut each string to its first {k} characters", f"[word[:{k}] for word in {{v}}]"),
            (f"Put {char!r} after each string", f"[word + {char!r} for word in {{v}}]"),
            ("Sort them in ascending order", "sorted({v})"),
            ("Sort them in descending order", "sorted({v}, reverse=True)"),
            ("Sort them by length, ascending; ties keep their order", "sorted({v}, key=len)"),
            (
                "Sort them by length, descending, and equal lengths in ascending order",
                "sorted({v}, key=lambda word: (-len(word), word))",
            ),
            ("Sort them by their reversed strings, ascending", "sorted({v}, key=lambda word: word[::-1])"),
            ("Reverse their order", "{v}[::-1]"),
            ("Keep each string once, where it comes first", "list(dict.fromkeys({v}))"),
            (f"Keep only the first {k}, or all where there are fewer", f"{{v}}[:{k}]"),
            (f"Keep every {_ordinal(k)} string, beginning with the first", f"{{v}}[::{k}]"),
        )
    )
    return Step(words, code, "list[str]")


def words_result(rng: Random) -> Step:
    """Draw a step from a list of strings to another type."""
    char, sep = rng.choice("abcdeiost"), rng.choice((", ", "-", "", " ", "/"))
    size = count_test(rng, "len(word)", 2, 5)
    words, code, returns = rng.choice(
        (
            (
                f"Return them joined by {sep!r}" if sep else "Return them joined without anything between",
                f"{sep!r}.join({{v}})",
                "str",
            ),
            ("Return how many there are", "len({v})", "int"),
            ("Return the list of their lengths", "[len(word) for word in {v}]", "list[int]"),
            ("Return the sum of their lengths", "sum(len(word) for word in {v})", "int"),
            (
                "Return the longest, the first of them in case of a tie, or '' if there is none",
                "max({v}, key=len, default='')",
                "str",
            ),
            ("Return the one that is first in ascending order, or '' if there is none", "min({v}, default='')", "str"),
            (
                f"Return how often {char!r} occurs in them all together",
                f"sum(word.count({char!r}) for word in {{v}})",
                "int",
            ),
            (f"Return how many have a length that {size.words}", f"sum(1 for word in {{v}} if {size.code})", "int"),
            ("Return the string of their first characters", "''.join(word[:1] for word in {v})", "str"),
            ("Return the string of their last characters", "''.join(word[-1:] for word in {v})", "str"),
            ("Return how many different strings there are", "len(set({v}))", "int"),
        )
    )
    return Step(words, code, returns)


Maker = Callable[[Random], Step]

STEPS: dict[str, Maker] = {"str": text_step, "list[int]": numbers_step, "list[str]": words_step}
"""Makers of steps that keep the type of the value, by that type."""
RESULTS: dict[str, Maker] = {"str": text_result, "list[int]": numbers_result, "list[str]": words_result}
"""Makers of steps that change the type of the value, by its type before."""


def pipeline(rng: Random, returns: str, count: int, ends: float) -> list[Step]:
    """`count` steps from a value of a type; the last gives something else with probability `ends`."""
    steps: list[Step] = []
    for index in range(count):
        last = index == count - 1
        maker = RESULTS[returns] if last and rng.random() < ends else STEPS[returns]
        step = maker(rng)
        while steps and step.code == steps[-1].code:
            step = maker(rng)
        steps.append(step)
    return steps


def pipeline_words(steps: list[Step]) -> list[str]:
    """A sentence a step; the last one says "Return"."""
    words = [f"{step.words}." for step in steps]
    if not steps[-1].words.startswith("Return "):
        words.append("Return the result.")
    return words


def pipeline_code(steps: list[Step], start: str) -> list[str]:
    """Lines that take the value of the expression `start` through the steps, and return it."""
    if len(steps) == 1 and steps[0].code.count(VALUE) == 1:
        return [f"return {steps[0].code.replace(VALUE, start)}"]
    code, value = [], start
    if steps[0].code.count(VALUE) > 1 and not start.isidentifier():
        code, value = [f"result = {start}"], "result"
    for step in steps[:-1]:
        code.append(f"result = {step.code.replace(VALUE, value)}")
        value = "result"
    return [*code, f"return {steps[-1].code.replace(VALUE, value)}"]


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third", 4: "fourth", 5: "fifth"}[number]


def _times(number: int) -> str:
    return {2: "twice", 3: "three times", 4: "four times"}[number]

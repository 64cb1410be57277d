"""Level 5: lists: filter, map, sort, windows, and two lists at once."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, lines, parameters, steps_list
from assay.environments.programs.phrases import number_test
from assay.environments.programs.steps import (
    Step,
    numbers_result,
    numbers_step,
    pipeline,
    pipeline_code,
    pipeline_words,
)
from assay.environments.programs.value_kinds import NUMBERS, WORDS, Integer, Kind

_NAMES = ("process", "pipeline", "rework", "summarise", "refine")


def make(rng: Random) -> Function:
    return rng.choice((_numbers, _numbers, _numbers, _words, _limited, _two_lists))(rng)


def _numbers(rng: Random) -> Function:
    return _stepped(rng, "numbers", NUMBERS, pipeline(rng, "list[int]", rng.randint(2, 4), ends=0.6))


def _words(rng: Random) -> Function:
    return _stepped(rng, "words", WORDS, pipeline(rng, "list[str]", rng.randint(2, 4), ends=0.6))


def _stepped(rng: Random, name: str, kind: Kind, steps: list[Step]) -> Function:
    return Function(
        name=rng.choice(_NAMES),
        parameters=parameters(**{name: kind}),
        returns=steps[-1].returns,
        description=f"takes `{name}` through these steps:\n" + steps_list(pipeline_words(steps)),
        body=lines(*pipeline_code(steps, name)),
    )


def _limited(rng: Random) -> Function:
    """A bound or a size as a second argument."""
    words, code = rng.choice(
        (
            ("Keep only the numbers that are at least k", "[x for x in {v} if x >= k]"),
            ("Keep only the numbers that are less than k", "[x for x in {v} if x < k]"),
            ("Keep only the first k numbers, or all where there are fewer", "{v}[:k]"),
            ("Remove the first k numbers", "{v}[k:]"),
            ("Replace each number x by `x * k`", "[x * k for x in {v}]"),
            ("Replace each number x by `x - k`", "[x - k for x in {v}]"),
            ("Replace each number that is greater than k by k", "[min(x, k) for x in {v}]"),
            (
                "Sort them by their distance to k, ascending; ties keep their order",
                "sorted({v}, key=lambda x: abs(x - k))",
            ),
            (
                "Put the numbers that are divisible by `k + 1` before the others; otherwise keep the order",
                "[x for x in {v} if x % (k + 1) == 0] + [x for x in {v} if x % (k + 1) != 0]",
            ),
            ("Move the first k numbers to the end", "{v}[k:] + {v}[:k]"),
            (
                "Replace the list by the sums of each window of `k + 1` consecutive numbers (none where it is shorter)",
                "[sum({v}[i : i + k + 1]) for i in range(len({v}) - k)]",
            ),
        )
    )
    steps = [Step(words, code, "list[int]")]
    for _ in range(rng.randint(1, 2)):
        steps.insert(rng.randint(0, len(steps)), numbers_step(rng))
    if rng.random() < 0.5:
        steps.append(numbers_result(rng))
    return Function(
        name=rng.choice(_NAMES),
        parameters=parameters(numbers=NUMBERS, k=Integer(0, 8)),
        returns=steps[-1].returns,
        description="takes `numbers` through these steps:\n" + steps_list(pipeline_words(steps)),
        body=lines(*pipeline_code(steps, "numbers")),
    )


def _two_lists(rng: Random) -> Function:
    """Two lists made into one, which then goes through steps."""
    operator = rng.choice(("x + y", "x - y", "x * y", "max(x, y)", "min(x, y)", "abs(x - y)", "y - x"))
    test = number_test(rng, compound=0)
    words, code = rng.choice(
        (
            (
                (
                    f"Make a list of `{operator}` for each x of `first` and the y at the same index of "
                    "`second`, as long as both have one"
                ),
                f"[{operator} for x, y in zip(first, second)]",
            ),
            (
                (
                    f"Make a list of `{operator}` for each x of `first` and the y at the same index of "
                    "`second`, as long as both have one"
                ),
                f"[{operator} for x, y in zip(first, second)]",
            ),
            (
                "Make a list of the numbers of `first` that do not occur in `second`",
                "[x for x in first if x not in second]",
            ),
            ("Make a list of the numbers of `first` that occur in `second`", "[x for x in first if x in second]"),
            (
                "Make a list of the numbers of `first` followed by those of `second` in reverse order",
                "first + second[::-1]",
            ),
            (
                f"Make a list of the numbers x of `second` for which x {test.words}, followed by all of `first`",
                f"[x for x in second if {test.code}] + first",
            ),
        )
    )
    steps = pipeline(rng, "list[int]", rng.randint(1, 2), ends=0.6)
    return Function(
        name=rng.choice(("combine", "merge_lists", "pairwise", "join_lists")),
        parameters=parameters(first=NUMBERS, second=NUMBERS),
        returns=steps[-1].returns,
        description="does the following:\n" + steps_list([f"{words}.", *pipeline_words(steps)]),
        body=lines(f"numbers = {code}", *pipeline_code(steps, "numbers")),
    )

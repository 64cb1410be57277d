"""The horizon dial: functions that are specified in terms of earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from assay.environments.programs.function import Function, Parameter, lines, steps_list
from assay.environments.programs.phrases import expression, number_test
from assay.environments.programs.steps import STEPS, VALUE, pipeline, pipeline_code, pipeline_words
from assay.environments.programs.value_kinds import Integer, ListOf

_CONVERSIONS = {
    "dict[str, int]": (
        ("the list of its keys in ascending order", f"sorted({VALUE})", "list[str]"),
        ("the list of its values in ascending order", f"sorted({VALUE}.values())", "list[int]"),
    ),
    "dict[int, int]": (
        ("the list of its keys in ascending order", f"sorted({VALUE})", "list[int]"),
        ("the list of its values in ascending order", f"sorted({VALUE}.values())", "list[int]"),
    ),
    "dict[str, list[int]]": (
        ("the list of its keys in ascending order", f"sorted({VALUE})", "list[str]"),
        (
            "the list of the sums of its values, in ascending order",
            f"sorted(sum(x) for x in {VALUE}.values())",
            "list[int]",
        ),
    ),
    "dict[int, list[int]]": (
        ("the list of its keys in ascending order", f"sorted({VALUE})", "list[int]"),
        (
            "the list of the sums of its values, in ascending order",
            f"sorted(sum(x) for x in {VALUE}.values())",
            "list[int]",
        ),
    ),
    "dict[int, list[str]]": (("the list of its keys in ascending order", f"sorted({VALUE})", "list[int]"),),
    "list[list[int]]": (("the list of the sums of its lists", f"[sum(part) for part in {VALUE}]", "list[int]"),),
    "list[tuple[int, int]]": (
        ("the list of the first numbers of its tuples", f"[pair[0] for pair in {VALUE}]", "list[int]"),
        ("the list of the sums of its tuples", f"[pair[0] + pair[1] for pair in {VALUE}]", "list[int]"),
    ),
    "list[tuple[str, int]]": (
        ("the list of the strings of its tuples", f"[pair[0] for pair in {VALUE}]", "list[str]"),
        ("the list of the numbers of its tuples", f"[pair[1] for pair in {VALUE}]", "list[int]"),
    ),
}
"""Conversions by type: the (words, code, type) of values that steps are known for."""


def follower(rng: Random, earlier: Sequence[Function], level: int) -> Function:
    """A function that calls the last of the earlier ones, and perhaps another.

    Its name is empty: the caller gives one.
    """
    last = earlier[-1]
    twin = next((f for f in earlier[:-1] if f.parameters == last.parameters and f.returns == "int"), None)
    if last.returns == "int" and twin is not None and rng.random() < 0.35:
        return _combined(rng, last, twin)
    if (
        level >= 4
        and not last.heavy
        and len(last.parameters) == 1
        and last.returns in ("int", "bool")
        and rng.random() < 0.35
    ):
        return _collected(rng, last)
    if last.returns == "int":
        return _number(rng, last, level)
    if last.returns == "bool":
        return _verdict(rng, last)
    return _stepped(rng, last, level)


def _made(
    last: Function, returns: str, description: str, body: str, parameters: tuple[Parameter, ...] | None = None
) -> Function:
    return Function(
        name="",
        parameters=last.parameters if parameters is None else parameters,
        returns=returns,
        description=description,
        body=body,
        heavy=last.heavy or parameters is not None,
    )


def _integers(function: Function) -> list[str]:
    return [parameter.name for parameter in function.parameters if parameter.kind.annotation == "int"]


def _number(rng: Random, last: Function, level: int) -> Function:
    """An expression of the earlier value; from level 2 on also one of two, by a test of it."""
    names = _integers(last)
    leaves = [last.call, *rng.sample(names, rng.randint(0, min(1, len(names))))]
    if level == 1 or rng.random() < 0.3:
        formula = expression(rng, leaves, 1)
        return _made(last, "int", f"returns `{formula}`.", f"return {formula}")
    test = number_test(rng, "value", compound=0.2)
    yes, no = expression(rng, ["value", *leaves[1:]], 1), expression(rng, ["value"], 1)
    return _made(
        last,
        "int",
        f"looks at the value of `{last.call}`: if value {test.words}, it returns `{yes}`, otherwise `{no}`.",
        lines(f"value = {last.call}", f"if {test.code}:", f"    return {yes}", f"return {no}"),
    )


def _combined(rng: Random, last: Function, twin: Function) -> Function:
    k = rng.randint(2, 5)
    formula = rng.choice(
        (
            f"{last.call} + {twin.call}",
            f"{last.call} - {twin.call}",
            f"max({last.call}, {twin.call})",
            f"min({last.call}, {twin.call})",
            f"abs({last.call} - {twin.call})",
            f"{k} * {last.call} - {twin.call}",
            f"{last.call} + {k} * {twin.call}",
        )
    )
    return _made(last, "int", f"returns `{formula}`.", f"return {formula}")


def _verdict(rng: Random, last: Function) -> Function:
    names = _integers(last)
    yes = expression(rng, names[:1], 1) if names and rng.random() < 0.7 else str(rng.randint(1, 50))
    no = expression(rng, names[-1:], 1) if names and rng.random() < 0.7 else str(-rng.randint(1, 50))
    return _made(
        last,
        "int",
        f"returns `{yes}` if `{last.call}` is True, and `{no}` otherwise.",
        lines(f"if {last.call}:", f"    return {yes}", f"return {no}"),
    )


def _stepped(rng: Random, last: Function, level: int) -> Function:
    """Steps from the earlier value on."""
    returns, first, start = last.returns, [], last.call
    conversion = None
    if returns not in STEPS:
        options = _CONVERSIONS.get(returns)
        if options is None:
            k = rng.randint(1, 20)
            formula = rng.choice((f"{k} * len({start})", f"len({start}) + {k}", f"{k} - len({start})"))
            return _made(last, "int", f"returns `{formula}`.", f"return {formula}")
        words, conversion, returns = rng.choice(options)
        first = [f"Make {words}."]
    steps = pipeline(rng, returns, rng.choice((1, 1, 2)), ends=0.35)
    if conversion is not None:
        start = conversion.replace(VALUE, start)
    return _made(
        last,
        steps[-1].returns,
        f"takes the value of `{last.call}` through these steps:\n" + steps_list([*first, *pipeline_words(steps)]),
        lines(*pipeline_code(steps, start)),
    )


def _collected(rng: Random, last: Function) -> Function:
    """Calls the earlier function for each of several arguments."""
    (parameter,) = last.parameters
    kind, item = parameter.kind, parameter.name
    call = f"{last.name}({item})"
    if isinstance(kind, Integer) and rng.random() < 0.5:
        test = number_test(rng, item, compound=0)
        low = max(0, kind.low)
        high = low + rng.randint(4, 8)
        value, where, also = call, "", ""
        if last.returns == "bool":
            value, where, also = item, f" and `{call}` is True", f" and {call}"
        return _made(
            last,
            "int",
            f"returns the sum of `{value}` over all integers {item} from {low} to limit, both "
            f"included, for which {item} "
            f"{test.words}{where}; 0 if there are none.",
            lines(
                "total = 0",
                f"for {item} in range({low}, limit + 1):",
                f"    if {test.code}{also}:",
                f"        total += {value}",
                "return total",
            ),
            (Parameter("limit", Integer(low, high)),),
        )
    cases = Parameter("cases", ListOf(kind, high=4))
    if last.returns == "bool":
        code, words, returns = rng.choice(
            (
                (
                    f"return sum(1 for {item} in cases if {call})",
                    f"returns for how many of `cases` (each called {item}) `{call}` is True.",
                    "int",
                ),
                (
                    f"return [{call} for {item} in cases]",
                    f"returns the list of `{call}` for each {item} in `cases`, in order.",
                    "list[bool]",
                ),
                (
                    f"return all({call} for {item} in cases)",
                    f"returns whether `{call}` is True for all {item} in `cases`.",
                    "bool",
                ),
                (
                    f"return any({call} for {item} in cases)",
                    f"returns whether `{call}` is True for at least one {item} in `cases`.",
                    "bool",
                ),
            )
        )
        return _made(last, returns, words, code, (cases,))
    default = rng.choice((0, -1))
    test = number_test(rng, call, compound=0)
    code, words, returns = rng.choice(
        (
            (
                f"return sum({call} for {item} in cases)",
                f"returns the sum of `{call}` over all {item} in `cases`.",
                "int",
            ),
            (
                f"return [{call} for {item} in cases]",
                f"returns the list of `{call}` for each {item} in `cases`, in order.",
                "list[int]",
            ),
            (
                f"return max(({call} for {item} in cases), default={default})",
                f"returns the largest `{call}` over all {item} in `cases`, or {default} if it is empty.",
                "int",
            ),
            (
                f"return sum(1 for {item} in cases if {test.code})",
                f"returns for how many of `cases` (each called {item}) it holds that `{call}` {test.words}.",
                "int",
            ),
            (
                f"return sorted({call} for {item} in cases)",
                f"returns the list of `{call}` for each {item} in `cases`, in ascending order.",
                "list[int]",
            ),
        )
    )
    return _made(last, returns, words, code, (cases,))

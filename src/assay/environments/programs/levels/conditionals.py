"""Level 2: conditionals and comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from assay.environments.programs.function import Function, bullets, lines, parameters
from assay.environments.programs.phrases import condition, expression, number_test
from assay.environments.programs.value_kinds import INTEGER

_NAMES = (("a", "b", "c"), ("x", "y", "z"), ("m", "n", "k"), ("first", "second", "third"))
_LABELS = (
    ("low", "middle", "high", "none"),
    ("red", "green", "blue", "grey"),
    ("small", "medium", "large", "other"),
    ("left", "right", "straight", "stop"),
    ("cold", "mild", "warm", "hot"),
    ("yes", "no", "maybe", "unknown"),
)


def make(rng: Random) -> Function:
    names = rng.choice(_NAMES)[: rng.choice((1, 1, 2, 2, 3))]
    return rng.choice((_branches, _branches, _branches, _verdict, _choice))(rng, names)


def _branches(rng: Random, names: Sequence[str]) -> Function:
    labels = list(rng.choice(_LABELS))
    rng.shuffle(labels)
    in_text = rng.random() < 0.3
    conditions = [condition(rng, names) for _ in range(rng.choice((1, 1, 2, 2, 3)))]
    body, points = [], []
    for index, test in enumerate(conditions):
        value = repr(labels[index]) if in_text else _value(rng, names)
        body += [f"if {test.code}:", f"    return {value}"]
        points.append(f"{'otherwise, if' if index else 'if'} {test.words}, it returns `{value}`;")
    value = repr(labels[3]) if in_text else _value(rng, names)
    points.append(f"otherwise it returns `{value}`.")
    return Function(
        name=rng.choice(("label", "kind", "category")) if in_text else rng.choice(("choose", "decide", "pick")),
        parameters=parameters(**dict.fromkeys(names, INTEGER)),
        returns="str" if in_text else "int",
        description="works like this:\n" + bullets(points),
        body=lines(*body, f"return {value}"),
    )


def _value(rng: Random, names: Sequence[str]) -> str:
    roll = rng.random()
    if roll < 0.25:
        return str(rng.randint(-9, 20))
    if roll < 0.4:
        return rng.choice(names)
    chosen = rng.sample(list(names), rng.randint(1, min(2, len(names))))
    return expression(rng, chosen, 1 if len(chosen) == 1 else rng.choice((0, 1)))


def _verdict(rng: Random, names: Sequence[str]) -> Function:
    test = condition(rng, names, compound=0.75)
    negated = rng.random() < 0.25
    code = f"not ({test.code})" if negated else test.code
    return Function(
        name=rng.choice(("check", "accept", "qualifies", "is_valid")),
        parameters=parameters(**dict.fromkeys(names, INTEGER)),
        returns="bool",
        description=f"returns {not negated} if {test.words}, and {negated} otherwise.",
        body=f"return {code}",
    )


def _choice(rng: Random, names: Sequence[str]) -> Function:
    """A value clamped, or the larger or smaller of two expressions, perhaps changed under a condition."""
    first = expression(rng, names, 1)
    second = expression(rng, names[::-1], rng.choice((0, 1)) if len(names) > 1 else 1)
    which = rng.choice(("larger", "smaller"))
    test = number_test(rng, "result", compound=0)
    change = expression(rng, ["result"], 1)
    comparison = ">" if which == "larger" else "<"
    return Function(
        name=rng.choice(("select", "better", "settle")),
        parameters=parameters(**dict.fromkeys(names, INTEGER)),
        returns="int",
        description=(
            f"takes the {which} of `{first}` and `{second}`, called result. If result {test.words}, it returns "
            f"`{change}`, otherwise result."
        ),
        body=lines(
            f"result = {first}",
            f"other = {second}",
            f"if other {comparison} result:",
            "    result = other",
            f"if {test.code}:",
            f"    return {change}",
            "return result",
        ),
    )

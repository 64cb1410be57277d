"""Level 1: one arithmetic expression of the arguments."""

from __future__ import annotations

from random import Random

from assay.environments.programs.function import Function, parameters
from assay.environments.programs.phrases import expression, in_words
from assay.environments.programs.value_kinds import INTEGER

_NAMES = (("a", "b", "c"), ("x", "y", "z"), ("m", "n", "k"), ("p", "q", "r"), ("left", "right", "offset"))
_RESULTS = ("result", "value", "compute", "evaluate", "calculate", "formula", "combine")


def make(rng: Random) -> Function:
    names = rng.choice(_NAMES)[: rng.choice((1, 2, 2, 2, 3, 3))]
    leaves = list(names)
    if rng.random() < 0.25:
        leaves.append(rng.choice(names))
    constants = rng.choice((1, 1, 2)) if len(names) == 1 else rng.choice((0, 1, 1, 1, 2, 2))
    formula = expression(rng, leaves, constants, largest=30)
    words = in_words(rng, formula)
    return Function(
        name=rng.choice(_RESULTS),
        parameters=parameters(**dict.fromkeys(names, INTEGER)),
        returns="int",
        description=f"returns {words}.",
        body=f"return {formula}",
    )

"""Who says what a rollout earned. A verifier reads a response as hostile input and returns a `Score`.

To add one: write its settings class in a file of its own and list it in `VERIFIERS` and `AnyVerifier`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from assay.config import validate
from assay.errors import ConfigError
from assay.verifiers.cases import Case, builtin_cases
from assay.verifiers.check import VerifierReport, check_all_gold, check_gold, check_verifier
from assay.verifiers.choice import Choice
from assay.verifiers.code import Code
from assay.verifiers.exact import Exact
from assay.verifiers.format import Format
from assay.verifiers.judge import Judge, judges_in, verifier_identity
from assay.verifiers.math import Math
from assay.verifiers.numeric import Numeric
from assay.verifiers.python import PythonReward
from assay.verifiers.random import Random
from assay.verifiers.reasoning_gym import ReasoningGymScorer
from assay.verifiers.resources import close_verifiers, verifier_metrics
from assay.verifiers.score import score_group, score_rollout
from assay.verifiers.trl import TRLReward
from assay.verifiers.verifier import GroupVerifier, Verifier, as_rollout, compares
from assay.verifiers.weighted import Part, Weighted

VERIFIERS = {
    "exact": Exact,
    "numeric": Numeric,
    "math": Math,
    "choice": Choice,
    "format": Format,
    "code": Code,
    "judge": Judge,
    "python": PythonReward,
    "trl": TRLReward,
    "random": Random,
    "reasoning_gym": ReasoningGymScorer,
    "weighted": Weighted,
}
"""Every verifier by name."""

AnyVerifier = Annotated[
    Exact
    | Numeric
    | Math
    | Choice
    | Format
    | Code
    | Judge
    | PythonReward
    | TRLReward
    | ReasoningGymScorer
    | Random
    | Weighted,
    pydantic.Field(discriminator="name"),
]
"""The type of a recipe's `[verifier]` table."""


def make_verifier(name: str, options: Mapping[str, Any] | None = None) -> Verifier:
    """The verifier of this name with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    if name not in VERIFIERS:
        raise ConfigError(f"unknown verifier {name!r}; known: {', '.join(VERIFIERS)}")
    return validate(VERIFIERS[name], {"name": name, **(options or {})})


__all__ = [
    "VERIFIERS",
    "AnyVerifier",
    "Case",
    "Choice",
    "Code",
    "Exact",
    "Format",
    "GroupVerifier",
    "Judge",
    "Math",
    "Numeric",
    "Part",
    "PythonReward",
    "Random",
    "ReasoningGymScorer",
    "TRLReward",
    "Verifier",
    "VerifierReport",
    "Weighted",
    "as_rollout",
    "builtin_cases",
    "check_all_gold",
    "check_gold",
    "check_verifier",
    "close_verifiers",
    "compares",
    "judges_in",
    "make_verifier",
    "score_group",
    "score_rollout",
    "verifier_identity",
    "verifier_metrics",
]

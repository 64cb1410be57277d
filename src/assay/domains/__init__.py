"""Where tasks come from. A domain has two dials, complexity and horizon, and three splits that share no task.

To add one: write its settings class in a file of its own and list it in `DOMAINS` and `AnyDomain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pydantic

from assay.config import validate
from assay.domains.arithmetic import Arithmetic
from assay.domains.check import check_domain
from assay.domains.code_rows import MBPP, HumanEval
from assay.domains.competition import Competition
from assay.domains.cruxeval import CRUXEval
from assay.domains.domain import Domain, require_tasks
from assay.domains.programs import Programs
from assay.domains.python import PythonTasks
from assay.domains.reasoning_gym import ReasoningGym
from assay.domains.rows import GSM8K, MATH, Rows
from assay.errors import ConfigError

DOMAINS = {
    "arithmetic": Arithmetic,
    "rows": Rows,
    "gsm8k": GSM8K,
    "math": MATH,
    "programs": Programs,
    "mbpp": MBPP,
    "humaneval": HumanEval,
    "cruxeval": CRUXEval,
    "competition": Competition,
    "python": PythonTasks,
    "reasoning_gym": ReasoningGym,
}
"""Every domain by name."""

AnyDomain = Annotated[
    Arithmetic
    | Rows
    | GSM8K
    | MATH
    | Programs
    | MBPP
    | HumanEval
    | CRUXEval
    | Competition
    | PythonTasks
    | ReasoningGym,
    pydantic.Field(discriminator="name"),
]
"""The type of a recipe's `[domain]` table."""


def make_domain(name: str, options: Mapping[str, Any] | None = None) -> Domain:
    """The domain of this name with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    if name not in DOMAINS:
        raise ConfigError(f"unknown domain {name!r}; known: {', '.join(DOMAINS)}")
    return validate(DOMAINS[name], {"name": name, **(options or {})})


__all__ = [
    "DOMAINS",
    "GSM8K",
    "MATH",
    "MBPP",
    "AnyDomain",
    "Arithmetic",
    "CRUXEval",
    "Competition",
    "Domain",
    "HumanEval",
    "Programs",
    "PythonTasks",
    "ReasoningGym",
    "Rows",
    "check_domain",
    "make_domain",
    "require_tasks",
]

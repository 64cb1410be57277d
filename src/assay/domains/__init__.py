"""Where tasks come from. A domain has two dials, complexity and horizon, and three splits that share no task.

To add one: write its settings class in a file of its own and list it in `DOMAINS` and `AnyDomain`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.config import validate
from assay.domains.arithmetic import Arithmetic
from assay.domains.check import check_domain
from assay.domains.domain import Domain, require_tasks
from assay.errors import ConfigError

DOMAINS = {"arithmetic": Arithmetic}
"""Every domain by name."""

# pydantic refuses a discriminator over a single class. The second domain makes this
# Annotated[Arithmetic | Other, pydantic.Field(discriminator="name")].
AnyDomain = Arithmetic
"""The type of a recipe's `[domain]` table."""


def make_domain(name: str, options: Mapping[str, Any] | None = None) -> Domain:
    """The domain of this name with these options.

    Raises:
        ConfigError: an unknown name or option, or a value out of range.
    """
    if name not in DOMAINS:
        raise ConfigError(f"unknown domain {name!r}; known: {', '.join(DOMAINS)}")
    return validate(DOMAINS[name], {"name": name, **(options or {})})


__all__ = ["DOMAINS", "AnyDomain", "Arithmetic", "Domain", "check_domain", "make_domain", "require_tasks"]

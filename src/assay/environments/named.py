"""An environment with a name of its own and fixed dials: a part of a mixture, or one that is measured beside others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic

from assay.config import Settings, parse_value, validate
from assay.environments.environment import AnyEnvironment, Level
from assay.errors import ConfigError

DIALS = {"complexity": "c", "horizon": "h"}
"""Dial to the letter that it has in the name of a level."""
_OTHER_NAMES = {"level": "complexity"}


class NamedEnvironment(Settings):
    """One environment with its options, a label, and its dials."""

    environment: AnyEnvironment
    """The environment with its options."""
    label: str = pydantic.Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    """Name that its tasks and metrics are filed under; empty for the environment's own."""
    complexity: float | None = None
    """Dial of its tasks; None for that of the curriculum's level."""
    horizon: float | None = None
    """Dial of its tasks; None for that of the curriculum's level."""

    @property
    def filed_as(self) -> str:
        """The label, or the environment's name."""
        return self.label or self.environment.name

    @property
    def level(self) -> Level:
        """(complexity, horizon) of its tasks; None for the environment's default."""
        return self.complexity, self.horizon

    def same_tasks(self) -> dict[str, Any]:
        """Return the settings that decide which tasks these are: all but the label."""
        return {"environment": self.environment.plain(), "complexity": self.complexity, "horizon": self.horizon}


def named_environment(written: Any, label: str = "") -> NamedEnvironment:
    """The environment that a text or a table of a recipe stands for.

    A text is a name, or a name with settings: "arithmetic", "arithmetic:level=2", "chain:horizon=4:form=single". A
    setting is a dial (`complexity`, which may be written `level`, or `horizon`) or an option of the environment. A
    table is one as in `[[environments]]`: name, options, `label`, and the dials in a table `level`.

    Args:
        label: in place of one that is written or follows from the settings.

    Raises:
        ConfigError: neither, or an unknown environment, option or value.
    """
    settings = settings_of(written)
    return validate(NamedEnvironment, {**settings, "label": label or settings.get("label", "")})


def settings_of(written: Any) -> dict[str, Any]:
    """Return the settings of a `NamedEnvironment` that a text or a table stands for, not yet validated.

    Raises:
        ConfigError: it is neither, or a text that cannot be read.
    """
    if isinstance(written, NamedEnvironment):
        return written.plain()
    if isinstance(written, str):
        return _from_text(written)
    if not isinstance(written, Mapping):
        raise ConfigError(f"environments: {written!r:.60} is no table with the name of an environment")
    if "environment" in written:
        return dict(written)
    own = {key: value for key, value in written.items() if key not in ("weight", "label", "level")}
    level = written.get("level", {})
    if not isinstance(level, Mapping):
        raise ConfigError(f"level = {level!r}: expected a table of dials, such as level = {{ complexity = 2 }}")
    return {"environment": own, **{key: written[key] for key in ("weight", "label") if key in written}, **level}


def _from_text(text: str) -> dict[str, Any]:
    parts = [part.strip() for part in text.split(":")]
    first = next((index for index, part in enumerate(parts) if "=" in part), len(parts))
    name = ":".join(parts[:first])
    if not name or any("=" not in part for part in parts[first:]):
        raise ConfigError(
            f"{text!r} names no environment: expected a name, or a name with settings, such as arithmetic:level=2 or "
            "chain:horizon=4:form=single"
        )
    dials: dict[str, Any] = {}
    options: dict[str, Any] = {}
    for part in parts[first:]:
        key, _, given = part.partition("=")
        key = _OTHER_NAMES.get(key, key)
        value = parse_value(given)
        if key in DIALS and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError(f"{text!r}: {key} is a number, got {given!r}")
        if key in dials or key in options:
            raise ConfigError(f"{text!r} sets {key} twice")
        (dials if key in DIALS else options)[key] = value
    label = "-".join(
        [
            *([name.rpartition(":")[2]] if dials or options else []),
            *(f"{DIALS[key]}{value:g}" for key, value in dials.items()),
            *(_option_label(key, value) for key, value in options.items()),
        ]
    )
    return {"environment": {"name": name, **options}, "label": label, **dials}


def _option_label(key: str, value: Any) -> str:
    """An option as a part of a label: "example" where it is true, "no-example" where it is false or empty."""
    text = key if value is True else f"no-{key}" if value is False or value == "" else f"{key}-{value}"
    return "".join(c if c.isalnum() or c in "._" else "-" for c in text)

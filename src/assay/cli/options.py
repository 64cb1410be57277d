"""KEY=VALUE options of a component, as typed in a shell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError

if TYPE_CHECKING:
    import pydantic


def parse_options(
    settings: Sequence[str], component: type[pydantic.BaseModel] | None, option: str = "--set"
) -> dict[str, Any]:
    """What each KEY=VALUE means: text where the component's option is text, else JSON, else text after all.

    Args:
        component: whose options they are; None where it is not known, which is somebody else's error to report.

    Raises:
        ConfigError: an option without "=".
    """
    options: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"{option} {setting!r}: expected KEY=VALUE")
        field = component.model_fields.get(key) if component is not None else None
        options[key] = text if field is not None and field.annotation in (str, str | None) else _value(text)
    return options


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

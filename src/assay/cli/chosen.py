"""What options of commands say of tasks and components, and what is recorded of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.types import Task


def numbers(option: str, text: str | None) -> list[float]:
    """The numbers of an option such as 1,2,3; none where it was not given."""
    try:
        numbers = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"{option} {text}: expected numbers with commas between, such as 1,2,3")
    return numbers


def plain(settings: Any) -> dict[str, Any]:
    """What of a component's settings decides its results, as plain data."""
    from assay.verifiers import Verifier

    if isinstance(settings, Verifier):
        return settings.identity
    return settings.plain()


def tasks_hash(tasks: Sequence[Task]) -> str:
    """Names a list of tasks by their content."""
    return short_hash(" ".join(task.task_id for task in tasks).encode())


def short_hash(content: bytes) -> str:
    """The first 16 hexadecimal digits of its SHA-256."""
    return hashlib.sha256(content).hexdigest()[:16]

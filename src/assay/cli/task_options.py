"""Command options that choose tasks and components, and what is recorded of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.common_options import seed_option, set_option
from assay.errors import ConfigError

if TYPE_CHECKING:
    from assay.environments import Environment
    from assay.types import Task


@dataclass(frozen=True)
class TaskOptions:
    """Options that choose the tasks of a command."""

    environment: Annotated[
        str | None,
        typer.Option(
            help="Where the tasks come from: a name, or your own as path.py:Class. Default: arithmetic.",
            show_default=False,
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        set_option("An option of the environment, such as path=problems.jsonl."),
    ] = None
    complexity: Annotated[
        str | None, typer.Option(help="Only these, such as 2 or 1,2,3. Default: each the environment lists.")
    ] = None
    horizon: Annotated[str | None, typer.Option(help="Only these. Default: each the environment lists.")] = None
    seed: Annotated[int, seed_option("Chooses the tasks and the samples.")] = 0

    def make(self) -> Environment:
        """The environment with its options."""
        from assay.config import parse_overrides
        from assay.environments import make_environment

        return make_environment(self.environment or "arithmetic", parse_overrides(self.settings or []))

    @property
    def dials(self) -> tuple[list[float], list[float]]:
        """The complexities and the horizons that were asked for."""
        return numbers("--complexity", self.complexity), numbers("--horizon", self.horizon)


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
    """Return those of a component's settings that decide its results, as plain data."""
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

"""The Curriculum protocol: which task comes next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Protocol, Self

import pydantic
from pydantic import Field

from assay.components import Chosen, Component
from assay.config import Settings
from assay.environments import Environment
from assay.errors import ConfigError
from assay.types import Group, Task


class LevelSettings(Settings):
    """One setting of the dials; a dial left out is the environment's default."""

    complexity: float | None = None
    """The dial of how hard each part of a task is."""
    horizon: float | None = None
    """The dial of how many parts a task has."""


class Curriculum(Protocol):
    """Hands out the training tasks of one run. The same from its seed, and from `state()` on."""

    def next_task(self, group_id: int) -> Task:
        """The task of this group. Asked again for a group that was not observed yet, it gives the same task again."""
        ...

    def observe(self, groups: Iterable[Group]) -> None:
        """Takes note of what a step's groups solved, in the order of their ids; called once a step."""
        ...

    @property
    def current_level_name(self) -> str:
        """The level being learned, such as "c2 h1"; a change of it is an event of the run. Empty where there is no such
        level."""
        ...

    def named_levels(self) -> list[tuple[str, LevelSettings]]:
        """Every level with its name, in the order of the settings."""
        ...

    def metrics(self) -> dict[str, float]:
        """Return the metrics that are recorded of the curriculum after each step."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that `load_state` needs, as JSON."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state()` of a curriculum of the same settings.

        Raises:
            CheckpointError: it is of other settings.
        """
        ...


class CurriculumSettings(Component):
    """Base class of curricula that a recipe can choose: frozen settings that begin one for a run."""

    kind: ClassVar[str] = "curriculum"
    modules: ClassVar[tuple[str, ...]] = ("assay.curriculum",)

    levels: tuple[LevelSettings, ...] = Field(default=(LevelSettings(),), min_length=1)
    """Levels, easiest first; held-out tasks are of these levels too."""

    @pydantic.model_validator(mode="after")
    def _levels_differ(self) -> Self:
        if len(set(self.levels)) < len(self.levels):
            raise ValueError("levels has the same level twice; name each once")
        return self

    @property
    def min_group_size(self) -> int:
        """The number of attempts at a task below which the curriculum learns nothing from a group."""
        return 1

    @property
    def measures_the_policy(self) -> bool:
        """True where the curriculum has to see what the policy solves, and so not demonstrations by somebody else."""
        return self.min_group_size > 1

    @property
    def needs_verdicts(self) -> bool:
        """True where the curriculum follows what is solved: of rewards that are numbers without a verdict it learns
        nothing."""
        return False

    def begin(self, environment: Environment, seed: int) -> Curriculum:
        """A curriculum over the tasks of an environment."""
        raise NotImplementedError(f"{type(self).__name__} chooses no task: write its method `begin`")


def require_verdict(group: Group, curriculum: str) -> None:
    """Make sure that a group is no group of numbers without a verdict.

    Raises:
        ConfigError: it is.
    """
    if group.is_graded:
        raise ConfigError(no_verdict(f"the curriculum {curriculum!r}", "moves by what is solved"))


def no_verdict(who: str, does: str) -> str:
    """Return what is wrong where a reward without verdicts meets what needs them, and the remedy."""
    return (
        f"{who} {does}, and the reward is a number without a verdict: set solved_at of the verifier or environment to "
        'the least reward that solves (solved_by of a weighted sum to a part with verdicts; "solved" in an agent\'s '
        "report)"
    )


AnyCurriculum = Annotated[CurriculumSettings, Chosen(default="level_by_level")]
"""The type of a settings field that holds a curriculum's settings."""

"""Served as an environment: the tasks, and the program that plays one."""

from __future__ import annotations

import dataclasses
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import pydantic

from assay.environments.environment import AnyEnvironment, Environment, Level
from assay.environments.episode import Episode
from assay.environments.served.agent import command_line
from assay.environments.served.episode import ServedEpisode
from assay.errors import ConfigError, DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import EpisodeScore, Verifier


class Served(Environment):
    """Rollouts that an agent's own program plays: one process each, which asks the model through OPENAI_BASE_URL and
    OPENAI_API_KEY, and reports its reward to ASSAY_REWARD_URL.

    The task is JSON on its standard input and in the file ASSAY_TASK_FILE. Temperature, top-p and top-k are the
    recipe's, whatever the agent asks for; shorter limits and stop strings it has its way with.
    """

    name: Literal["served"] = "served"
    command: str = pydantic.Field(min_length=1)
    """The agent's program and its arguments, as on a command line, without a shell."""
    python: str | None = None
    """The interpreter that "python" at the head of the command stands for, of the agent's own virtual environment."""
    folder: str = pydantic.Field(default=".", validate_default=True)
    """The agent's working directory. The default is that of the command which begins the run; "." in a recipe is the
    recipe's own folder."""
    variables: Mapping[str, str] = pydantic.Field(default_factory=dict)
    """More environment variables of the agent."""
    of: AnyEnvironment | None = None
    """The environment whose tasks are given to the agent; None for tasks that are numbers alone, for an agent with
    tasks of its own."""
    num_tasks: int = pydantic.Field(default=1000, ge=1)
    """Number of tasks of each split, where they are numbers alone."""
    turns: int = pydantic.Field(default=64, ge=1)
    """Requests of an agent that are answered; the next one is refused, and ends the rollout."""
    idle_seconds: float = pydantic.Field(default=300.0, gt=0, allow_inf_nan=False)
    """Seconds that an agent may go without asking anything; then it is cut off."""
    grace_seconds: float = pydantic.Field(default=10.0, ge=0, allow_inf_nan=False)
    """Seconds that an agent has to report its reward once a limit of the episode has ended it, and to end by itself
    once it has reported."""
    unreported: float | None = pydantic.Field(default=None, allow_inf_nan=False)
    """Reward of an agent that has heard the model and then ends, fails or hangs without a report. None: 0 in training
    where a sibling of its group was measured, so that the model's words made the difference; else left out, counted."""
    max_processes: int = pydantic.Field(default=16, ge=1)
    """Agents that run at once; the rest wait."""

    @pydantic.field_validator("folder", "python")
    @classmethod
    def _find(cls, place: str | None) -> str | None:
        # A resumed run finds them from anywhere.
        return None if place is None else str(Path(place).expanduser().absolute())

    @property
    def max_turns(self) -> int:
        return self.turns

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": EpisodeScore()}

    def files(self) -> Mapping[str, Sequence[Path]]:
        named = [Path(self.folder) / word for word in shlex.split(self.command)]
        scripts = [path for path in named if path.is_file() and path.suffix == ".py"]
        return {"environment.command": scripts} if scripts else {}

    def levels(self) -> tuple[Level, ...]:
        return super().levels() if self.of is None else self.of.levels()

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        self.words()
        if self.of is not None:
            for task in self.of.tasks(split, complexity=complexity, horizon=horizon, seed=seed):
                yield dataclasses.replace(task, domain=self.name)
            return
        if complexity is not None or horizon is not None:
            raise DataError(
                "tasks that are numbers alone have no dials: leave out the level, or name an environment in of"
            )
        numbers = list(range(self.num_tasks))
        random.Random(derive_seed(self.name, split, seed)).shuffle(numbers)
        for number in numbers:
            text = f"Task {number} of the {split} split."
            yield Task(self.name, (Message("user", text),), "", metadata={"split": split, "number": number})

    def words(self) -> list[str]:
        """Return the command, word by word.

        Raises:
            ConfigError: it cannot be run here.
        """
        if not Path(self.folder).is_dir():
            raise ConfigError(f"the agent's folder {self.folder!r} is no folder; name one in environment.folder")
        return command_line(self.command, self.python)

    def episode(self, task: Task) -> Episode:
        return ServedEpisode(self, task)

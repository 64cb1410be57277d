"""The Environment base class: tasks, the world that they happen in, and what earns a reward, in one place."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar

from assay.components import Chosen, Component
from assay.environments.episode import Episode, SingleTurn
from assay.environments.proposals import Proposals
from assay.environments.script import Script
from assay.errors import ConfigError, ContractError, DataError
from assay.types import Split, Task
from assay.verifiers import Exact, Verifier

Level = tuple[float | None, float | None]
"""(complexity, horizon); None where the environment has no such dial."""


class Environment(Component):
    """Base class of environments: frozen settings that name levels, tasks, an episode for a task, and rewards.

    A subclass gives `tasks`, and what differs from the defaults here: no dials, one turn, and the whole response
    compared with the answer. `check_environment` holds an implementation to what it promises.

    Processes, sandboxes and connections are no part of an environment: they live in the host of the run
    (`assay.host`), which counts and closes them.
    """

    kind: ClassVar[str] = "environment"
    modules: ClassVar[tuple[str, ...]] = ("assay.environments", "assay.preferences.environments")
    horizon_unit: ClassVar[str] = "steps"
    """What its horizon counts, in the plural: "moves of the shortest way"."""

    gives_pairs: ClassVar[bool] = False
    """True where its tasks hold two responses that somebody compared, for algorithms that sample none."""

    @property
    def max_turns(self) -> int:
        """Turns after which an episode is truncated."""
        return 1

    def turns_of(self, task: Task) -> int:
        """Return the number of turns after which an episode of this task is truncated."""
        return self.max_turns

    @property
    def domains(self) -> tuple[str, ...]:
        """The names that its tasks bear as their domain."""
        return (self.name,)

    def levels(self) -> tuple[Level, ...]:
        """The (complexity, horizon) settings that a table of this environment lists, easiest first."""
        return ((None, None),)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of one split at one setting of the dials, in an order fixed by the seed.

        The iterator ends when the split has no further task. A dial of None means the environment's default level.
        Splits are disjoint by construction: which split a task is in depends only on the task itself, never on the
        seed. Dials are monotone in difficulty.

        Raises:
            DataError: a dial out of the environment's range (names the range), or an empty split.
        """
        raise NotImplementedError(f"{type(self).__name__} gives no tasks: write its method `tasks`")

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the tasks that a person should read before using them, in a sentence each."""
        return ()

    def to_measure(self) -> Environment:
        """The environment whose test split is measured where somebody names this one for a measurement alone."""
        return self

    def episode(self, task: Task) -> Episode:
        """A fresh episode of a task. All members of a group start from the same state."""
        return SingleTurn(task)

    def expert(self, task: Task) -> Script | None:
        """A script that solves the task by the rules that the model is given; None where there is none. What it says
        can be trained on, and shows that the task can be solved."""
        return None

    def weak(self, task: Task) -> Script | None:
        """A script that plays without understanding, and solves a level rarely or never; None where there is none."""
        return None

    def limited(self, task: Task) -> Script | None:
        """A script of limited means, which solves easy tasks and fails hard ones: by it `assay check env` sees whether
        the dials make tasks harder. None where there is none."""
        return None

    def near_misses(self, task: Task) -> Sequence[str]:
        """Responses that look like a right one and are none: the reward must refuse each."""
        return ()

    def canary(self, task: Task) -> Task | None:
        """A task that looks like this one and that no honest policy can solve, such as one with an impossible move, for
        a run that watches for hacking; None where one is made from its answer or its tests, or not at all."""
        return None

    def proposals(self) -> Proposals | None:
        """What proposes tasks of this environment, for the curriculum `propose`; None where none can be proposed."""
        return None

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """Reading to verifier. "strict" is the reward unless a recipe says otherwise; "lenient", where there is one,
        reads the same answers as generously as can be defended, and is measured beside it."""
        return {"strict": Exact()}


def rewards_of(environment: Environment) -> Mapping[str, Verifier]:
    """Return the rewards of an environment by reading.

    Raises:
        ConfigError: there is no "strict" one, or something among them is no verifier.
    """
    given = environment.rewards
    wrong = [name for name, verifier in given.items() if not isinstance(verifier, Verifier)]
    if wrong or "strict" not in given:
        what = f"{wrong[0]!r} is {given[wrong[0]]!r:.60}" if wrong else 'there is no "strict" one'
        raise ConfigError(
            f"the rewards of {environment.name}: {what}; give a verifier for each reading, such as "
            '{"strict": Exact()}'
        )
    return given


AnyEnvironment = Annotated[Environment, Chosen()]
"""The type of a settings field that holds an environment."""


def checked_tasks(tasks: Iterable[Task], environment: Environment) -> Iterator[Task]:
    """The same tasks, each of which is one.

    Raises:
        ContractError: `tasks` of somebody's own environment returned no iterable, or what it yields is no Task.
    """

    def checked(given: Iterator[Task]) -> Iterator[Task]:
        for task in given:
            if not isinstance(task, Task):
                raise ContractError(
                    f"tasks() of {environment.name} yields {task!r:.200}, of type {type(task).__name__}; yield an "
                    "assay.types.Task for each task"
                )
            yield task

    if not isinstance(tasks, Iterable):
        raise ContractError(
            f"tasks() of {environment.name} returned {tasks!r:.200}, which is no iterable; yield a Task for each task"
        )
    return checked(iter(tasks))


def require_tasks(
    tasks: Iterable[Task], environment: Environment, split: Split, complexity: float | None, horizon: float | None
) -> Iterator[Task]:
    """The same tasks, after making sure that there is at least one.

    Raises:
        DataError: the split is empty at this setting of the dials.
        ContractError: as `checked_tasks`.
    """
    tasks = checked_tasks(tasks, environment)
    first = next(tasks, None)
    if first is None:
        dials = any(level != (None, None) for level in environment.levels())
        if complexity is None and horizon is None and not dials:
            raise DataError(
                f"the {split} split of {environment.name} is empty: too few tasks for three splits; add tasks"
            )
        raise DataError(
            f"the {split} split of {environment.name} is empty at complexity {_shown(complexity)}, horizon "
            f"{_shown(horizon)}: that level has too few tasks for three splits; choose a larger complexity or horizon"
        )
    return itertools.chain((first,), tasks)


def _shown(dial: float | None) -> str:
    return "default" if dial is None else f"{dial:g}"

"""Tasks from a Python function: an environment of one's own in a few lines."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pydantic

from assay.environments.environment import Environment, require_tasks
from assay.environments.splits import SPLITS, hashed_split, prompt_key
from assay.errors import ConfigError, DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers.python import function_files, load_function


class PythonTasks(Environment):
    """Calls a function of yours that yields (question, answer), or whole `Task`s, for as long as anybody asks.

    It gets `seed`, and of `complexity` and `horizon` those it has as parameters. Which split a task is in depends on
    its prompt alone, by a hash: 80, 10 and 10 of 100. A task that comes again is given once; after `give_up_after` in a
    row that are not new, the split has no more.
    """

    name: Literal["python"] = "python"
    function: str
    """The function's place: "path/to/file.py:problems" or "package.module:problems"."""
    options: dict[str, Any] = pydantic.Field(default_factory=dict)
    """Further arguments of the function."""
    complexities: tuple[float, ...] = ()
    """The settings of the complexity dial that tables list; empty where the function has no such dial."""
    horizons: tuple[float, ...] = ()
    """The settings of the horizon dial that tables list; empty where the function has no such dial."""
    give_up_after: int = pydantic.Field(default=10_000, ge=1)
    """A stream ends when so many tasks in a row came before."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        return function_files(self.function)

    @cached_property
    def problems(self) -> Callable[..., Iterable[Any]]:
        """The function, loaded at first use.

        Raises:
            ConfigError: no such file, module or function.
        """
        return load_function(self.function)

    def levels(self) -> tuple[tuple[float | None, float | None], ...]:
        """Every complexity at every horizon, as they are listed."""
        return tuple(
            (complexity, horizon) for complexity in self.complexities or (None,) for horizon in self.horizons or (None,)
        )

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """Distinct tasks of the split, in the order in which the function gives them.

        Raises:
            DataError: an unknown split, none of its tasks, or something that is no task.
            ConfigError: a dial that the function does not have.
        """
        if split not in SPLITS:
            raise DataError(f"{self.function} has no split {split!r}; use train, validation or test")
        arguments = {**self.options, "seed": derive_seed(seed, "python", split, str(complexity), str(horizon))}
        parameters = inspect.signature(self.problems).parameters
        for name, dial in (("complexity", complexity), ("horizon", horizon)):
            if dial is not None and name not in parameters:
                raise ConfigError(f"{self.function} has no parameter {name!r}, and was asked for {name} {dial:g}")
            if dial is not None:
                arguments[name] = dial
        found = self._distinct(split, arguments, complexity, horizon)
        return require_tasks(found, self, split, complexity, horizon)

    def _distinct(
        self, split: Split, arguments: Mapping[str, Any], complexity: float | None, horizon: float | None
    ) -> Iterator[Task]:
        seen: set[str] = set()
        num_known = 0
        for item in self.problems(**arguments):
            task = self._task(item, complexity, horizon)
            key = prompt_key(task)
            num_known = num_known + 1 if key in seen else 0
            if num_known >= self.give_up_after:
                return
            if key not in seen and hashed_split(self.name, key) == split:
                yield task
            seen.add(key)

    def _task(self, item: Any, complexity: float | None, horizon: float | None) -> Task:
        if isinstance(item, Task):
            return item
        if not (isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)):
            raise DataError(f"{self.function} gave {item!r:.80}; expected (question, answer) or a Task")
        question, answer = item
        return Task(self.name, (Message("user", question),), str(answer), complexity=complexity, horizon=horizon)

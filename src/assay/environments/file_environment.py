"""FileEnvironment: what domains made of the rows of a file have in common."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from assay.config import FileText
from assay.environments.data_files import data_files, read_rows
from assay.environments.environment import Environment
from assay.environments.splits import SPLITS, hashed_split, prompt_key
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Split, Task
from assay.verifiers.left_out import left_out_tasks


class FileEnvironment(Environment):
    """Tasks from a file; each kind of file says how a row becomes a task.

    Which split a row is in depends on its prompt alone: 80, 10 and 10 of 100 by a hash of it, or with `test_path` 90
    and 10, and that file is the test. A prompt that comes twice is one task; with two different answers it is an error.
    """

    path: FileText = pydantic.Field(min_length=1)
    """A .jsonl, .json, .csv or .parquet file, or "hub:owner/dataset/path/in/it", where "hub:owner/dataset@revision/..."
    names a revision. A * stands for any part of a name: several files as one."""
    test_path: FileText | None = None
    """The test split's own file."""
    overlap: Literal["error", "leave_out"] = "error"
    """Treatment of a row of `path` that is in `test_path` too: an error, or with leave_out it is not trained on."""
    test_only: bool | None = None
    """True where every row of `path` is a test task, to be measured and not to be trained on; None where training
    splits the file, and a measurement of a file that was named takes every row of it."""

    @pydantic.model_validator(mode="after")
    def _check_paths(self) -> Self:
        if self.test_path == self.path:
            raise ValueError(f"test_path is path, {self.path}: every test task would be trained on; leave it out")
        if self.test_path is None and self.overlap != "error":
            raise ValueError(f"overlap {self.overlap!r} has no effect without test_path: leave it out")
        if self.test_path is not None and self.test_only and not type(self).model_fields["test_only"].default:
            raise ValueError("test_only has no effect with test_path, which is the test: leave it out")
        return self

    def files(self) -> Mapping[str, Sequence[Path]]:
        """The data.

        Raises:
            DataError: there is none.
        """
        return {source: data_files(source) for source in (self.path, self.test_path) if source is not None}

    def make_task(self, row: Mapping[str, Any], place: str) -> Task | None:
        """The task of a row; None for one that is left out.

        Raises:
            DataError: something in it is missing or wrong; names `place`.
        """
        raise NotImplementedError

    def rows(self, source: str, notes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(where it stands, row) of each row of a file; `notes` gains cautions.

        Raises:
            DataError: the file cannot be read.
        """
        return read_rows(source, notes)

    def split_of(self, task: Task, key: str) -> Split:
        """The split of a task of `path`; a key is the same for prompts that look alike."""
        return "test" if self.test_only else hashed_split("rows", key)

    @property
    def is_named(self) -> bool:
        """True where the file is one that somebody chose, and not the environment's own."""
        return self.path != type(self).model_fields["path"].default

    def to_measure(self) -> FileEnvironment:
        """The environment whose test split is all of a file that was named; this one where the file is the
        environment's own choice, has a test file beside it, or rows that say which split they are in."""
        knows_splits = type(self).split_of is not FileEnvironment.split_of
        if self.test_only is not None or not self.is_named or self.test_path is not None or knows_splits:
            return self
        return self.model_copy(update={"test_only": True})

    @property
    def splits(self) -> Mapping[Split, tuple[Task, ...]]:
        """Every task by split, read at first use.

        Raises:
            DataError: the file cannot be read, or a row of it.
        """
        return self._loaded[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Number of tasks in each split, and cautions about the files, in a sentence each.

        Raises:
            DataError: as `splits`.
        """
        counts = ", ".join(f"{len(tasks):,} {split}" for split, tasks in self.splits.items() if tasks)
        why = " (test_only)" if self.test_only else f", the test from {self.test_path}" if self.test_path else ""
        return (f"{self.name}: {counts} tasks from {self.path or 'its own generator'}{why}", *self._loaded[1])

    @functools.cached_property
    def _loaded(self) -> tuple[Mapping[Split, tuple[Task, ...]], tuple[str, ...]]:
        return _load(self)

    def levels(self) -> tuple[tuple[float | None, float | None], ...]:
        """The levels that the file has, by complexity and horizon. Rows of no level beside others are in none of them:
        a setting without dials means every row."""
        dials = {(task.complexity, task.horizon) for tasks in self.splits.values() for task in tasks}
        dials = dials - {(None, None)} or dials
        return tuple(sorted(dials, key=lambda level: tuple(-math.inf if dial is None else dial for dial in level)))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """The tasks of a split; a dial of None means every row.

        Raises:
            DataError: the file cannot be read, a column is missing, no row has these dials, or an unknown split.
        """
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        chosen = [
            task
            for task in self.splits[split]
            if complexity in (None, task.complexity) and horizon in (None, task.horizon)
        ]
        if not chosen:
            raise DataError(self._why_empty(split, complexity, horizon))
        ordered = sorted(chosen, key=lambda task: derive_seed(seed, self.name, split, task.task_id))
        # Which are left out may be known only later, while a run goes.
        return (task for task in ordered if task.task_id not in left_out_tasks())

    def _why_empty(self, split: Split, complexity: float | None, horizon: float | None) -> str:
        """Return the error message for a split without tasks at these dials."""
        if complexity is not None or horizon is not None:
            levels = list(map(_shown, self.levels()))
            listed = "; ".join([*levels[:20], *(["..."] if len(levels) > 20 else [])])
            return (
                f"the {split} split of {self.name} is empty at {_shown((complexity, horizon))}; the levels of its rows "
                f"are {listed}: choose another, or add rows of this one"
            )
        counts = ", ".join(f"{len(tasks)} {name}" for name, tasks in self.splits.items())
        if self.test_only:
            return f"the {split} split of {self.name} is empty ({counts}): all are test tasks unless test_only=false"
        own = "" if self.test_path else ", or give the test a file of its own as test_path"
        return (
            f"the {split} split of {self.name} is empty ({counts}): which split a row is in is a hash of its prompt, "
            f"and few rows may leave one without any; add rows{own}"
        )


def _load(domain: FileEnvironment) -> tuple[Mapping[Split, tuple[Task, ...]], tuple[str, ...]]:
    """The tasks of each split, and cautions."""
    notes: list[str] = []
    own = _read(domain, domain.path, notes)
    test = {} if domain.test_path is None else _read(domain, domain.test_path, notes)
    shared = own.keys() & test.keys()
    if shared and domain.overlap == "error":
        raise DataError(
            f"{len(shared)} of {len(own)} rows of {domain.path} are in {domain.test_path} too, such as "
            f"{own[min(shared)].prompt[-1].content[:80]!r}: the test would measure memory; "
            'remove them, or set overlap="leave_out" so that they are not trained on'
        )
    splits: dict[Split, list[Task]] = {"train": [], "validation": [], "test": list(test.values())}
    for key, task in own.items():
        if key not in test:
            split = domain.split_of(task, key)
            splits["train" if split == "test" and domain.test_path is not None else split].append(task)
    return {split: tuple(tasks) for split, tasks in splits.items()}, tuple(notes)


def _read(domain: FileEnvironment, source: str, notes: list[str]) -> dict[str, Task]:
    """Canonical prompt to task, in the order of the file. `notes` gains cautions."""
    tasks: dict[str, Task] = {}
    places: dict[str, str] = {}
    for place, row in domain.rows(source, notes):
        task = domain.make_task(row, place)
        if task is None:
            continue
        key = prompt_key(task)
        if key in tasks and tasks[key].gold_text != task.gold_text:
            raise DataError(
                f"{place} asks what {places[key]} asks and has another answer ({task.gold_text[:60]!r}, there "
                f"{tasks[key].gold_text[:60]!r}); correct one of them"
            )
        if key in tasks and tasks[key].metadata.get("world") != task.metadata.get("world"):
            raise DataError(f"{place} asks what {places[key]} asks and is judged otherwise; correct one of them")
        tasks.setdefault(key, task)
        places.setdefault(key, place)
    if not tasks:
        raise DataError(f"{source} has no rows")
    return tasks


def _shown(level: tuple[float | None, float | None]) -> str:
    dials = [
        f"{name} {dial:g}" for name, dial in zip(("complexity", "horizon"), level, strict=True) if dial is not None
    ]
    return ", ".join(dials) or "none"

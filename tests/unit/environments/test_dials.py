"""What generated and listed environments share: dials, streams of tasks, and rows of somebody else's data."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import pytest

from assay.environments.adapted import Listed, file_and_name
from assay.environments.dials import Generated, drawn_tasks
from assay.environments.splits import SPLITS, hashed_split
from assay.errors import DataError
from assay.types import Message, Split, Task


def task_of(text: str, domain: str = "few") -> Task:
    return Task(domain, (Message("user", text),), "", metadata={"canonical": text})


class Few(Generated):
    """Words of so many letters from two."""

    name: Literal["few"] = "few"
    max_complexity: ClassVar[int] = 2
    max_horizon: ClassVar[int] = 8
    default_horizon: ClassVar[int] = 3

    def generated(self, split: Split, complexity: int, horizon: int, seed: int) -> Iterator[Task]:
        def draw(rng: random.Random) -> Task:
            return task_of("".join(rng.choice("ab") for _ in range(horizon)))

        return drawn_tasks(draw, split, seed)


def test_drawn_tasks_end_when_nothing_new_comes_and_each_is_of_its_split() -> None:
    words = {"".join(letters) for letters in itertools.product("ab", repeat=6)}
    drawn = {
        split: [task.answer or task.prompt[0].content for task in Few().tasks(split, horizon=6)] for split in SPLITS
    }
    assert sorted(itertools.chain(*drawn.values())) == sorted(words), "each once, in one split"
    assert all(hashed_split("few", word) == split for split, some in drawn.items() for word in some)
    assert drawn["train"] == [task.prompt[0].content for task in Few().tasks("train", horizon=6)]
    assert drawn["train"] != [task.prompt[0].content for task in Few().tasks("train", horizon=6, seed=1)]


def test_dials_have_defaults_and_ends() -> None:
    assert Few().levels() == ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 4.0), (2.0, 4.0))
    assert len(next(Few().tasks("train")).prompt[0].content) == 3
    for dials, said in (
        ({"complexity": 3}, "few has no complexity 3; complexity is a whole number from 1 to 2"),
        ({"horizon": 0}, "few has no horizon 0"),
        ({"horizon": 1.5}, "few has no horizon 1.5"),
        ({"horizon": -1}, "few has no horizon -1"),
        ({"horizon": float("nan")}, "few has no horizon nan"),
        ({"horizon": float("inf")}, "few has no horizon inf"),
    ):
        with pytest.raises(DataError, match=said):
            Few().tasks("train", **dials)  # pyright: ignore[reportArgumentType]


class Rows(Listed):
    """Rows that are given."""

    name: Literal["given"] = "given"
    given: tuple[dict[str, Any], ...] = ()

    @property
    def source(self) -> str:
        return "the data"

    def rows(self) -> Iterator[dict[str, Any]]:
        yield from self.given

    def made(self, rows: Sequence[dict[str, Any]]) -> Iterator[Task]:
        return (task_of(f"{row['key']} {row['value']}", "given") for row in rows)


def test_rows_count_once_by_their_key_which_alone_decides_the_split() -> None:
    rows = tuple({"key": f"k{i}", "value": i} for i in range(40))
    tasks = {split: [task.prompt[0].content for task in Rows(given=rows).tasks(split)] for split in SPLITS}
    assert sorted(itertools.chain(*tasks.values())) == sorted(f"k{i} {i}" for i in range(40))
    twice = (*rows, {"key": "k0", "value": "second"})
    for split in SPLITS:
        assert [task.prompt[0].content for task in Rows(given=tuple(reversed(rows))).tasks(split)] == tasks[split]
        assert [task.prompt[0].content for task in Rows(given=twice).tasks(split)] == tasks[split], "the first counts"
    elsewhere = next(split for split in SPLITS if split != hashed_split("given", "k0"))
    with pytest.raises(DataError, match=f"the {elsewhere} split of the data is empty: it has 1 different tasks"):
        Rows(given=rows[:1]).tasks(elsewhere)  # pyright: ignore[reportArgumentType]
    with pytest.raises(DataError, match="given has no dials"):
        Rows(given=rows).tasks("train", horizon=1)


def test_names_of_things_in_files() -> None:
    file, rest = file_and_name("a@b/tasks.py@sums", "@")
    assert file is not None
    assert file.is_absolute()
    assert (file.name, file.parent.name, rest) == ("tasks.py", "a@b", "@sums")
    assert file_and_name("package/sums", "@") == (None, "package/sums")
    assert file_and_name("package/sums@x", "@") == (None, "package/sums@x")
    assert file_and_name("tasks.py", ":")[1] == ""

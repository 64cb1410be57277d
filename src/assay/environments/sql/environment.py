"""SQL: one query that answers a question about any database of a schema."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import pydantic

from assay.environments.dials import whole_dial
from assay.environments.environment import Environment, Level, require_tasks
from assay.environments.script import Says, Script
from assay.environments.splits import SPLITS, hashed_split
from assay.environments.sql.questions import SqlQuestion, drawn_question
from assay.environments.sql.reward import Query, rows_of, same_rows
from assay.environments.sql.themes import MAX_TABLES, THEMES, Entity, database, schema
from assay.errors import DataError
from assay.seeds import derive_seed
from assay.types import Message, Split, Task
from assay.verifiers import Verifier

MAX_COMPLEXITY = 4
_MAX_REPEATS = 400
_TRIES = 6
"""Databases that are looked at for each one that a task keeps."""
_ASK = "Answer with one SQLite query that is right for any database with these tables, and nothing else."


class SQL(Environment):
    """Write the SQLite query that answers a question, from the tables' definitions alone.

    Horizon, 1 to 4, is the number of tables that must be joined, each naming the one before. Complexity: 1 lists names
    under two conditions; 2 counts, sums, averages; 3 groups, with a condition on groups and an order; 4 needs a
    subquery for each row, or a share of whole numbers.

    A query is run on `num_databases` databases that the prompt does not show, and must be right on each. They are
    chosen until they tell the gold query from every query that a hurried reader might write (a condition left out, "at
    least" for "above", another sum, a wrong order), so that being right by chance on one is not being right. Which
    split a task is in depends on its question alone.
    """

    name: Literal["sql"] = "sql"
    num_databases: int = pydantic.Field(default=4, ge=2, le=16)
    """Databases that a query is run on; a task whose near misses they do not tell apart is not given."""

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        """The whole response as a query, and leniently the query found in it."""
        return {"strict": Query(), "lenient": Query(reading="found")}

    def levels(self) -> tuple[Level, ...]:
        return tuple((float(c), float(h)) for h in range(1, MAX_TABLES + 1) for c in range(1, MAX_COMPLEXITY + 1))

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split {split!r}; use train, validation or test")
        level = whole_dial(self.name, "complexity", complexity, 1, MAX_COMPLEXITY)
        tables = whole_dial(self.name, "horizon", horizon, 2, MAX_TABLES)
        return require_tasks(self._generate(split, level, tables, seed), self, split, level, tables)

    def expert(self, task: Task) -> Script:
        return Says(task.answer)

    def weak(self, task: Task) -> Script:
        """Lists the names of the last table."""
        chain = THEMES[task.metadata["theme"]][: int(task.horizon or 1)]
        return Says(f"SELECT name FROM {chain[-1].table}")

    def limited(self, task: Task) -> Script:
        """Joins two tables at most, and knows no subqueries, no HAVING and no division of whole numbers."""
        return Says(task.metadata["limited"] if (task.horizon or 1) <= 2 else "SELECT 1")

    def near_misses(self, task: Task) -> Sequence[str]:
        return [
            *task.metadata["misses"],
            f"{task.answer} -- or so\n; SELECT 1",
            f"The query is {task.answer}",
            "SELECT 1",
        ]

    def _generate(self, split: Split, complexity: int, tables: int, seed: int) -> Iterator[Task]:
        rng = random.Random(derive_seed(seed, self.name, split, complexity, tables))
        seen: set[str] = set()
        repeats = 0
        while repeats < _MAX_REPEATS:
            repeats += 1
            theme = rng.choice(tuple(THEMES))
            chain = THEMES[theme][:tables]
            question = drawn_question(rng, complexity, chain)
            if question.text in seen or hashed_split(self.name, question.text) != split:
                continue
            seen.add(question.text)
            databases = self._databases(question, chain)
            if databases is None:
                continue
            repeats = 0
            yield _task(self.name, theme, question, databases, complexity, tables)

    def _databases(self, question: SqlQuestion, chain: tuple[Entity, ...]) -> list[int] | None:
        """Seeds of databases that tell the gold query from its near misses; None where too few do.

        They depend on the question alone, so that a task is the same whatever the seed that it was drawn with.
        """
        left = set(question.misses)
        chosen: list[int] = []
        for number in range(_TRIES * self.num_databases):
            seed = derive_seed(self.name, question.text, number) % 2**31
            script = database(chain, seed, tuple(question.wanted.items()))
            gold = rows_of(script, question.gold)
            if not gold or gold[0][0] is None:
                continue
            found = {miss for miss in left if not same_rows(rows_of(script, miss), gold, ordered=question.ordered)}
            # The last ones that are kept must tell what the others do not.
            if found or not left or len(chosen) < self.num_databases - 2:
                left -= found
                chosen.append(seed)
            if len(chosen) == self.num_databases:
                break
        return chosen if len(chosen) == self.num_databases and not left else None


def _task(name: str, theme: str, question: SqlQuestion, databases: list[int], complexity: int, tables: int) -> Task:
    told = "\n".join(f"{table}({', '.join(columns)})" for table, columns in schema(THEMES[theme][:tables]))
    kinds = " ".join(
        f"{entity.table}.{entity.kind} is one of {', '.join(map(repr, entity.kinds))}."
        for entity in THEMES[theme][:tables]
    )
    return Task(
        domain=name,
        prompt=(Message("user", f"A database has these tables:\n{told}\n{kinds}\n{question.text}\n{_ASK}"),),
        answer=question.gold,
        complexity=complexity,
        horizon=tables,
        metadata={
            "canonical": question.text,
            "theme": theme,
            "databases": databases,
            "wanted": dict(question.wanted),
            "ordered": question.ordered,
            "misses": list(question.misses),
            "limited": question.limited,
        },
    )

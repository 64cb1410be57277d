"""SQL: queries judged by what they give on several databases, in the order that was asked for, within bounds."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
from collections import Counter
from typing import Any

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.check_dials import check_dials
from assay.environments.database.sql import BoundedDatabase, QueryFailure
from assay.environments.sql import SQL, Query
from assay.environments.sql.reward import rows_of, same_rows, scripts_of
from assay.errors import DataError
from assay.rollout.scripted import play_script
from assay.types import Score, Task, Verdict
from assay.verifiers.verifier import as_rollout


def first(number: int, split: Any = "test", **dials: float) -> list[Task]:
    return list(itertools.islice(SQL().tasks(split, **dials), number))


LISTED, GROUPED = first(1, complexity=1, horizon=2)[0], first(1, complexity=3, horizon=2)[0]


def score(task: Task, response: str, reading: Any = "whole") -> Score:
    return asyncio.run(Query(reading=reading)(as_rollout(response, task), task))


@pytest.mark.parametrize(
    ("form", "strict"),
    [
        ("{}", True),
        ("{};", True),
        ("```sql\n{}\n```", True),
        ("```\n{};\n```", True),
        ("<think>SELECT 1</think>{}", True),
        ("SELECT * FROM ({})", True),
        ("WITH found AS ({}) SELECT * FROM found", True),
        ("-- names\n{}", False),
        ("Here it is:\n```sql\n{}\n```\nIt works.", False),
        ("I would say {}", False),
    ],
)
def test_the_query_of_a_response(form: str, strict: bool) -> None:
    response = form.format(LISTED.answer)
    assert (score(LISTED, response).verdict is Verdict.SOLVED) == strict
    assert score(LISTED, response, reading="found").verdict is Verdict.SOLVED


def test_order_counts_only_where_it_was_asked_for() -> None:
    assert score(LISTED, f"SELECT * FROM ({LISTED.answer}) ORDER BY 1 DESC").verdict is Verdict.SOLVED
    turned = f"SELECT * FROM ({GROUPED.answer}) ORDER BY 1 DESC"
    assert score(GROUPED, turned).verdict is Verdict.FAILED
    assert score(GROUPED, GROUPED.answer.replace("SELECT ", "SELECT ALL ", 1)).verdict is Verdict.SOLVED


def test_a_query_that_is_right_by_chance_on_one_database_fails_on_another() -> None:
    rows = rows_of(scripts_of(LISTED)[0], LISTED.answer)
    constant = " UNION ALL ".join(f"SELECT '{row[0]}'" for row in rows)
    result = score(LISTED, constant)
    assert (result.verdict, result.reason) == (Verdict.FAILED, "wrong")
    assert result.parts["databases_right"] == 0.25


def test_results_are_compared_by_value() -> None:
    assert same_rows([(1, "a"), (2, "b")], [(2.0, "b"), (1, "a")], ordered=False)
    assert same_rows([(0.1 + 0.2,)], [(0.3,)], ordered=False)
    assert same_rows([(None,)], [(None,)], ordered=True)
    assert same_rows([(0.1 + 0.2, "x"), (0.3, "a")], [(0.3, "x"), (0.1 + 0.2, "a")], ordered=False)
    for one, other in (
        ([(1,)], [("1",)]),
        ([(1,)], [(None,)]),
        ([(0,)], [(None,)]),
        ([(1,)], [(1,), (1,)]),
        ([(1, 2)], [(2, 1)]),
        ([(1,)], [(1, 1)]),
        ([(0.333,)], [(1 / 3,)]),
        ([(b"a",)], [("a",)]),
        ([], [(1,)]),
    ):
        assert not same_rows(one, other, ordered=False), (one, other)  # pyright: ignore[reportArgumentType]


def test_whole_numbers_are_divided_as_sqlite_divides_them() -> None:
    assert rows_of("", "SELECT 7/2, 7/2.0") == [(3, 3.5)]
    share = next(task for task in first(40, complexity=4, horizon=2) if "what share" in task.prompt[0].content)
    assert score(share, share.answer).verdict is Verdict.SOLVED
    assert score(share, share.answer.replace("1.0 * ", "")).verdict is Verdict.FAILED


HOSTILE = [
    "SELECT",
    "SELECT 1; DROP TABLE ship",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT COUNT(*) FROM n",
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x FROM n",
    "SELECT zeroblob(1000000000)",
    "SELECT load_extension('a')",
    "SELECT readfile('/etc/passwd')",
    "SELECT name FROM sqlite_master; ATTACH 'a.db' AS a",
    "SELECT printf('%.*c', 100000000, 'x')",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT " + ", ".join(["1"] * 3_000),
    "SELECT 1" + " UNION ALL SELECT 1" * 500,
    "SELECT '\ud800'",
    "SELECT 1\x00",
    "SELECT " + "1" * 100_000,
    "SELECT * FROM nothing",
    "WITH a AS (SELECT 1) INSERT INTO ship SELECT * FROM a",
    "WITH a AS (SELECT 1) DELETE FROM ship",
    "```sql\n" * 2_000,
    "SELECT " * 5_000,
]


@pytest.mark.parametrize("query", HOSTILE)
@pytest.mark.parametrize("reading", ["whole", "found"])
def test_hostile_queries_fail_in_bounded_time(query: str, reading: Any) -> None:
    began = time.perf_counter()
    assert score(LISTED, query, reading=reading).verdict is Verdict.FAILED
    assert time.perf_counter() - began < 30


def test_a_database_that_is_read_only_is_changed_by_nothing() -> None:
    made = BoundedDatabase("CREATE TABLE a(x INTEGER); INSERT INTO a VALUES (1);", read_only=True)
    for statement in ("INSERT INTO a VALUES (2)", "UPDATE a SET x = 2", "DELETE FROM a", "DROP TABLE a"):
        with pytest.raises(QueryFailure, match="not authorized"):
            made.select(statement)
    assert made.select("SELECT x FROM a") == [(1,)]
    with pytest.raises(QueryFailure, match="more than 1,000 rows"):
        made.select("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) SELECT x FROM n")
    made.close()
    written = BoundedDatabase("CREATE TABLE a(x INTEGER);")
    with pytest.raises(QueryFailure, match="asks for no rows"):
        written.select("INSERT INTO a VALUES (2)")
    written.close()


def test_it_keeps_the_promises_of_environments() -> None:
    environment, levels = SQL(), [(1, 2), (3, 1), (4, 3)]
    strict = environment.rewards["strict"]
    asyncio.run(check_environment(environment, verifier=strict, levels=levels, num_tasks=2))
    asyncio.run(check_episode(environment.episode, LISTED))


def test_every_near_miss_gives_the_right_rows_on_no_more_than_some_databases() -> None:
    for complexity, horizon in ((1, 3), (2, 2), (3, 3), (4, 2)):
        for task in first(2, complexity=complexity, horizon=horizon):
            for miss in task.metadata["misses"]:
                assert score(task, miss).reason == "wrong", (task.answer, miss)


def test_a_task_is_the_same_whatever_the_seed() -> None:
    one, other = (
        {task.prompt: task for task in itertools.islice(SQL().tasks("train", complexity=2, seed=seed), 150)}
        for seed in (0, 1)
    )
    assert one.keys() & other.keys()
    assert all(one[prompt] == other[prompt] for prompt in one.keys() & other.keys())


def test_the_expert_solves_all_and_the_dials_are_monotone() -> None:
    environment = SQL()
    limited = {}
    for complexity, horizon in environment.levels():
        assert complexity is not None
        assert horizon is not None
        tasks = first(8, complexity=complexity, horizon=horizon)
        assert len(tasks) == 8
        for each in tasks[:1]:
            assert asyncio.run(play_script(environment, each, environment.expert(each))).solved
        results = [asyncio.run(play_script(environment, each, environment.limited(each))) for each in tasks]
        limited[complexity, horizon] = (sum(result.solved for result in results), len(results))
    check_dials("sql", limited)
    assert limited[1.0, 1.0] == (8, 8)


def test_themes_and_kinds_of_questions_are_mixed() -> None:
    tasks = first(40, "train", complexity=2, horizon=2)
    assert len(Counter(task.metadata["theme"] for task in tasks)) == 4
    assert len(Counter(task.answer.split("(")[0] for task in tasks)) == 5


def test_a_task_of_somebody_else_is_an_error() -> None:
    with pytest.raises(DataError, match="has no databases"):
        score(dataclasses.replace(LISTED, metadata={}), "SELECT 1")

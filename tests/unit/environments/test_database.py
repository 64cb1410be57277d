"""Database: bounded statements, worlds, and the scripts that play them."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from assay.engines.engine import Sampling
from assay.environments import check_environment, check_episode
from assay.environments.database import Database
from assay.environments.database.episode import same_answer
from assay.environments.database.sql import MAX_ROWS, BoundedDatabase, QueryFailure, made_of
from assay.rollout import run_rollout
from assay.types import Message, Rollout, Task, Verdict

SCRIPT = made_of([("person", ("id INTEGER", "name TEXT"), [(1, "Ada"), (2, "O'Neil")])])


@pytest.fixture
def database():
    made = BoundedDatabase(SCRIPT)
    yield made
    made.close()


def test_rows_come_back_as_lines(database) -> None:
    assert database.run("SELECT id, name FROM person ORDER BY id") == "id | name\n1 | Ada\n2 | O'Neil"
    assert database.run("SELECT name FROM person WHERE id = 9") == "name\n(no rows)"
    assert database.run("UPDATE person SET name = 'Bo' WHERE id = 2") == "ok, 1 rows changed"
    assert database.rows(["person"]) == {"person": [(1, "Ada"), (2, "Bo")]}


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("ATTACH DATABASE '/tmp/x.db' AS x", "not authorized|too many attached"),
        ("VACUUM INTO '/tmp/x.db'", "authorization denied"),
        ("SELECT load_extension('x')", "not authorized|prohibited|only SELECT"),
        ("PRAGMA max_page_count = 1000000", "not authorized"),
        ("PRAGMA hard_heap_limit", "not authorized"),
        ("CREATE TABLE t (x)", "not authorized"),
        ("CREATE TEMP TABLE t (x)", "not authorized"),
        ("CREATE TRIGGER t AFTER INSERT ON person BEGIN SELECT 1; END", "not authorized"),
        ("DROP TABLE person", "not authorized"),
        ("ALTER TABLE person ADD COLUMN x", "not authorized"),
        ("BEGIN", "not authorized"),
        ("SAVEPOINT a", "not authorized"),
        ("SELECT random()", "not authorized|prohibited"),
        ("UPDATE sqlite_master SET sql = ''", "may not be modified|not authorized"),
        (f"{ENDLESS} SELECT COUNT(*) FROM n", "more than 5,000,000 steps"),
        (f"{ENDLESS} SELECT COUNT(*) FROM n a, n b, n c", "more than 5,000,000 steps|too big"),
        (f"INSERT INTO person {ENDLESS} SELECT i, 'x' FROM n", "steps|larger than it may be"),
        (f"INSERT INTO person {ENDLESS} SELECT i, zeroblob(90000) FROM n", "steps|larger than it may be"),
        ("SELECT zeroblob(1000000000)", "too big"),
        ("SELECT replace(hex(zeroblob(40000)), '00', hex(zeroblob(40000)))", "too big"),
        (f"SELECT {'(' * 500}1{')' * 500}", "depth|overflow|too"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELEC 1", "syntax error"),
        ("SELECT x FROM nowhere", "no such table"),
        ("SELECT '\x00'", "null character|unrecognized|incomplete|near"),
        ("SELECT '\ud800'", "UnicodeEncodeError"),
        ("SELECT 1" + " " * 20_000, "characters"),
    ],
)
def test_what_a_statement_may_not_do_is_refused_and_changes_nothing(database, statement: str, said: str) -> None:
    with pytest.raises(QueryFailure, match=said):
        database.run(statement)
    assert database.rows(["person"]) == {"person": [(1, "Ada"), (2, "O'Neil")]}
    assert database.run("SELECT COUNT(*) FROM person") == "COUNT(*)\n2"


def test_a_result_of_many_rows_is_cut(database) -> None:
    text = database.run(f"{ENDLESS} SELECT i FROM n LIMIT 5000")
    assert len(text.split("\n")) == MAX_ROWS + 2
    assert text.endswith("... more than 50 rows")


def first(environment: Database, number: int = 1, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("train", **dials), number))


def play(environment: Database, task: Task, script) -> Rollout:
    turns = environment.max_turns
    return asyncio.run(
        run_rollout(
            task, environment.episode, script, None, Sampling(), run_seed=0, group_id=0, member=0, max_turns=turns
        )
    )


def test_it_keeps_the_promises_of_environments_and_episodes() -> None:
    asyncio.run(check_environment(Database(), num_tasks=4))
    asyncio.run(check_episode(Database().episode, first(Database())[0]))


@pytest.mark.parametrize("in_one", [False, True])
@pytest.mark.parametrize("complexity", [1, 2, 3])
@pytest.mark.parametrize("hops", [1, 3, 8])
def test_the_expert_solves_every_task_and_the_weak_script_few(complexity: int, hops: int, in_one: bool) -> None:
    environment = Database(expert_in_one=in_one)
    tasks = first(environment, 12, complexity=complexity, horizon=hops)
    for task in tasks:
        rollout = play(environment, task, environment.expert(task))
        assert rollout.score is not None
        assert rollout.score.verdict is Verdict.SOLVED, rollout.turns
    weak = [play(environment, task, environment.weak(task)).score for task in tasks]
    assert sum(score.verdict is Verdict.SOLVED for score in weak) <= 6


class Says:
    def __init__(self, *said: Message) -> None:
        self._said = list(said)

    def reply(self, messages, tools) -> Message:
        return self._said.pop(0)


def query(sql: str) -> Message:
    call = {"type": "function", "id": "", "function": {"name": "query", "arguments": {"sql": sql}}}
    return Message("assistant", "", (call,))


@pytest.mark.parametrize("complexity", [1, 3])
def test_a_change_that_nobody_asked_for_fails(complexity: int) -> None:
    environment = Database()
    (task,) = first(environment, complexity=complexity, horizon=1)
    done = query("UPDATE team SET name = 'New'")
    score = play(environment, task, Says(done, Message("assistant", task.answer))).score
    assert score is not None
    assert (score.verdict, score.reason) == (Verdict.FAILED, "changed" if complexity == 1 else "wrong state")


def test_an_answer_that_never_comes_fails() -> None:
    environment = Database(extra_turns=0)
    (task,) = first(environment, complexity=1, horizon=1)
    score = play(environment, task, Says(*[query("SELECT 1")] * 20)).score
    assert score is not None
    assert (score.reason, score.parts["queries"]) == ("no answer", environment.max_turns)


@pytest.mark.parametrize(
    ("said", "same"),
    [("Reds", True), (" reds. ", True), ("The Reds", False), ("Reds Blues", False), ("", False), ("Reds" * 99, False)],
)
def test_an_answer_is_the_whole_message(said: str, same: bool) -> None:
    assert same_answer(said, "Reds") is same

"""Rollouts a page at a time: what a filter lets through, and that the store answers from its index."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from assay.errors import RunFolderError
from assay.observe.browse import RolloutFilter, count_rollouts, neighbours, rollout_choices, rollout_lines
from assay.observe.curves import level_curves, main_curves
from assay.observe.store import STORE_NAME, RunStore
from studio_runs import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("browse") / "run")


@pytest.mark.parametrize(
    ("wanted", "holds"),
    [
        (RolloutFilter(verdict="solved"), lambda row: row.verdict == "solved"),
        (RolloutFilter(verdict="not_measured"), lambda row: row.value is None),
        (RolloutFilter(ending="truncated"), lambda row: row.ending == "truncated"),
        (RolloutFilter(level="c3 h1"), lambda row: row.level == "c3 h1"),
        (RolloutFilter(low=0.5), lambda row: row.value is not None and row.value >= 0.5),
        (RolloutFilter(high=0.5), lambda row: row.value is not None and row.value <= 0.5),
        (RolloutFilter(first_step=2, last_step=3), lambda row: 2 <= row.step <= 3),
        (RolloutFilter(text="<SCRIPT>"), lambda row: "<script>" in row.excerpt),
        (
            RolloutFilter(verdict="failed", level="c2 h1", text="it is"),
            lambda row: (row.verdict, row.level) == ("failed", "c2 h1") and "it is" in row.excerpt,
        ),
    ],
)  # fmt: skip
def test_a_filter_lets_through_what_it_says_and_all_of_it(run: Path, wanted: RolloutFilter, holds) -> None:
    with RunStore.open_readonly(run) as store:
        everything = rollout_lines(store, RolloutFilter(), limit=1000)
        found = rollout_lines(store, wanted, limit=1000)
        assert found == [row for row in everything if holds(row)] != []
        assert count_rollouts(store, wanted) == len(found)
        assert len(everything) == 24


def test_signs_of_sql_in_a_text_are_a_text(run: Path) -> None:
    with RunStore.open_readonly(run) as store:
        for text in ("%", "_", "\\", "' OR 1=1 --"):
            assert count_rollouts(store, RolloutFilter(text=text)) == len(
                [
                    row
                    for row in store.rollouts()
                    if text in "".join([row.prompt, row.response, row.answer, row.evidence])
                ]
            )


def test_pages_follow_each_other_in_every_order(run: Path) -> None:
    with RunStore.open_readonly(run) as store:
        for order in ("step", "newest", "reward", "tokens"):
            pages = [rollout_lines(store, RolloutFilter(), order, offset, 5) for offset in range(0, 25, 5)]
            places = [(row.step, row.group_id, row.member) for page in pages for row in page]
            assert len(set(places)) == 24
            assert places == [
                (row.step, row.group_id, row.member) for row in rollout_lines(store, RolloutFilter(), order, 0, 100)
            ]
        paid = [row.value for row in rollout_lines(store, RolloutFilter(), "reward", 0, 100)]
        known = [value for value in paid if value is not None]
        assert known == sorted(known, reverse=True)
        assert paid[-1] is None
        with pytest.raises(ValueError, match="there is no order"):
            rollout_lines(store, RolloutFilter(), "value; DROP TABLE rollouts")


def test_neighbours_are_those_that_are_wanted(run: Path) -> None:
    wanted = RolloutFilter(level="c3 h1")
    with RunStore.open_readonly(run) as store:
        places = [(row.step, row.group_id, row.member) for row in rollout_lines(store, wanted, limit=100)]
        assert neighbours(store, wanted, places[3]) == (places[2], places[4])
        assert neighbours(store, wanted, places[0]) == (None, places[1])
        assert neighbours(store, wanted, places[-1]) == (places[-2], None)
        choices = rollout_choices(store)
        assert (choices.num, choices.levels) == (24, ("c2 h1", "c3 h1"))
        assert "not_measured" in choices.verdicts


def test_curves_counts_and_lists_are_read_from_the_index(run: Path) -> None:
    """Of the statements themselves: a column that the index has not makes them read every text and token."""
    connection = sqlite3.connect(run / STORE_NAME)
    with RunStore.open_readonly(run) as store:
        asked: list[str] = []
        store._connection.set_trace_callback(asked.append)
        main_curves(store, from_tokens=False)
        level_curves(store)
        store.outcomes()
        rollout_choices(store)
        count_rollouts(store, RolloutFilter(level="c3 h1", low=0.5, ending="finished"))
        rollout_lines(store, RolloutFilter(verdict="failed"))
    asked = [question for question in asked if " FROM rollouts" in question]
    assert len(asked) == 7
    for question in asked:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {question}")]
        scans = [line for line in plan if line.startswith("SCAN rollouts")]
        assert len(scans) == 1, question
        assert "COVERING INDEX rollouts_in_short" in scans[0], question
    connection.close()


def test_a_store_of_before_the_index_answers_alike_and_gets_it_when_its_run_goes_on(tmp_path: Path, run: Path) -> None:
    def indexes(store: RunStore) -> set[str]:
        found = store.select("SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'rollouts%'")
        return {row["name"] for row in found}

    folder = write_run(tmp_path / "old")
    connection = sqlite3.connect(folder / STORE_NAME)
    connection.execute("DROP INDEX rollouts_in_short")
    connection.execute("CREATE INDEX rollouts_by_outcome ON rollouts (step, group_id, member, verdict)")
    connection.commit()
    connection.close()
    with RunStore.open_readonly(folder) as old, RunStore.open_readonly(run) as new:
        assert rollout_lines(old, RolloutFilter(level="c3 h1")) == rollout_lines(new, RolloutFilter(level="c3 h1"))
        assert indexes(old) == {"rollouts_by_outcome"}
    with RunStore(folder) as going_on:
        assert indexes(going_on) == {"rollouts_in_short"}


def test_a_search_that_takes_too_long_is_stopped(run: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT COUNT(*) FROM n"
    with RunStore.open_readonly(run) as store:
        with pytest.raises(RunFolderError, match=r"no answer within 0\.05 s"):
            store.select(endless, seconds=0.05)
        assert store.num_steps() == 6

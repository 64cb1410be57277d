"""Planning: plans played move by move, the rule about moves that change nothing, and shortest plans by hand."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from assay.environments import check_environment, check_episode
from assay.environments.check_dials import check_dials
from assay.environments.planning import Planning, ValidPlan
from assay.environments.planning.reward import WORLDS
from assay.environments.planning.world import shape, shortest
from assay.errors import DataError
from assay.rollout.scripted import play_script
from assay.types import Message, Score, Task, Verdict
from assay.verifiers.verifier import as_rollout

SUSSMAN: Mapping[str, Any] = {
    "start": {"A": "table", "B": "table", "C": "A"},
    "goal": {"A": "B", "B": "C", "C": "table"},
}
"""Sussman's anomaly: C stands on A; A is to stand on B, and B on C. Three moves."""
ROUTE: Mapping[str, Any] = {
    "roads": {"Bern": ["Lund"], "Lund": ["Bern", "Oslo"], "Oslo": ["Lund"]},
    "start": {"van": "Bern", "lamp": "Lund"},
    "goal": {"lamp": "Oslo"},
}


def task(kind: str, problem: Mapping[str, Any], horizon: int, max_moves: int) -> Task:
    metadata = {"kind": kind, "problem": problem, "max_moves": max_moves}
    return Task("planning", (Message("user", "?"),), "", horizon=horizon, metadata=metadata)


BLOCKS, ROUTES = task("blocks", SUSSMAN, 3, 6), task("routes", ROUTE, 4, 8)


def score(asked: Task, *lines: str, reading: Any = "whole") -> Score:
    return asyncio.run(ValidPlan(reading=reading)(as_rollout("\n".join(lines), asked), asked))


def test_shortest_plans_by_hand() -> None:
    assert shortest(WORLDS["blocks"], SUSSMAN) == [("move", "C", "table"), ("move", "B", "C"), ("move", "A", "B")]
    assert shortest(WORLDS["routes"], ROUTE) == [
        ("drive to", "Lund"),
        ("load", "lamp"),
        ("drive to", "Oslo"),
        ("unload", "lamp"),
    ]
    assert shortest(WORLDS["blocks"], SUSSMAN, max_states=3) is None


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        (BLOCKS, ["move C to the table", "move B to C", "move A to B"]),
        (BLOCKS, ["1. Move C onto table.", "2. Move B onto C.", "3) MOVE a TO b"]),
        (BLOCKS, ["<think>move C to A</think>move C to the table", "", "- move B to C", "* move A to B"]),
        (BLOCKS, ["move C to B", "move C to table", "move B to C", "move A to B"]),
        (ROUTES, ["drive to Lund", "load lamp", "drive to Oslo", "unload lamp"]),
        (ROUTES, ["drive to lund", "load the lamp", "drive to Oslo", "unload lamp", "drive to Lund"]),
    ],
)
def test_plans_that_reach_the_goal(asked: Task, lines: list[str]) -> None:
    result = score(asked, *lines)
    assert result.verdict is Verdict.SOLVED
    assert result.parts["goals"] == result.parts["allowed"] == 1.0


@pytest.mark.parametrize(
    ("asked", "lines", "reason"),
    [
        # A move that changes nothing is not allowed, neither before nor after the goal.
        (BLOCKS, ["move B to the table", "move C to the table", "move B to C", "move A to B"], "not allowed"),
        (BLOCKS, ["move C to A", "move C to the table", "move B to C", "move A to B"], "not allowed"),
        (BLOCKS, ["move C to the table", "move B to C", "move A to B", "move A to B"], "not allowed"),
        (ROUTES, ["drive to Bern", "drive to Lund", "load lamp", "drive to Oslo", "unload lamp"], "not allowed"),
        (BLOCKS, ["move A to B", "move C to the table", "move B to C"], "not allowed"),  # C stands on A
        (BLOCKS, ["move C to C"], "not allowed"),
        (BLOCKS, ["move Z to the table"], "not allowed"),
        (BLOCKS, ["move C to the table", "move B to C"], "not the goal"),
        (BLOCKS, ["move C to B", "move C to the table"] * 4, "too many moves"),
        (BLOCKS, ["Here:", "move C to the table", "move B to C", "move A to B"], "no plan"),
        (BLOCKS, ["move C to the table, move B to C, move A to B"], "no plan"),
        (BLOCKS, [""], "no plan"),
        (ROUTES, ["drive to Oslo"], "not allowed"),
        (ROUTES, ["load lamp"], "not allowed"),
        (ROUTES, ["drive to Lund", "load lamp", "drive to Oslo"], "not the goal"),
        (ROUTES, ["drive to Lund", "load lamp", "load lamp"], "not allowed"),
        (ROUTES, ["drive to Lund", "unload lamp"], "not allowed"),
    ],
)
def test_plans_that_do_not(asked: Task, lines: list[str], reason: str) -> None:
    result = score(asked, *lines)
    assert (result.verdict, result.reason) == (Verdict.FAILED, reason)


def test_parts_say_how_far_a_plan_came() -> None:
    parts = score(BLOCKS, "move C to the table", "move A to B", "move A to B").parts
    assert parts == {"moves": 3.0, "allowed": pytest.approx(2 / 3), "goals": pytest.approx(2 / 3)}


def test_other_lines_are_passed_over_in_the_lenient_reading() -> None:
    lines = ["First C:", "move C to the table", "then", "move B to C", "move A to B"]
    assert score(BLOCKS, *lines, reading="moves").verdict is Verdict.SOLVED
    assert score(BLOCKS, *lines, "move B to B", reading="moves").verdict is Verdict.FAILED


@pytest.mark.parametrize(
    "response",
    ["move C to the table\n" * 100_000, "m" * 1_000_000, "1. " * 6_000, "\ud800\x00", "move " * 3_000, "- " * 9_000],
)
def test_hostile_plans_are_bounded(response: str) -> None:
    for asked in (BLOCKS, ROUTES):
        for reading in ("whole", "moves"):
            assert score(asked, response, reading=reading).verdict is Verdict.FAILED


def test_a_shape_is_the_same_under_other_names_and_differs_otherwise() -> None:
    world = WORLDS["blocks"]
    renamed = {
        "start": {"X": "table", "K": "X", "P": "table"},
        "goal": {"X": "P", "K": "table", "P": "K"},
    }
    other = {"start": SUSSMAN["start"], "goal": {"A": "B", "B": "table", "C": "table"}}
    assert shape(world.facts(SUSSMAN)) == shape(world.facts(renamed))
    assert shape(world.facts(SUSSMAN)) != shape(world.facts(other))


def first(environment: Planning, number: int, **dials: float) -> list[Task]:
    return list(itertools.islice(environment.tasks("test", **dials), number))


@pytest.mark.parametrize("world", ["blocks", "routes"])
def test_it_keeps_the_promises_of_environments(world: Any) -> None:
    environment = Planning(world=world)
    strict, levels = environment.rewards["strict"], environment.levels()[:3]
    asyncio.run(check_environment(environment, verifier=strict, levels=levels, num_tasks=4))
    asyncio.run(check_episode(environment.episode, first(environment, 1)[0]))


@pytest.mark.parametrize("world", ["blocks", "routes"])
def test_the_expert_solves_all_and_the_dials_are_monotone(world: Any) -> None:
    environment = Planning(world=world, slack=1.0)
    limited = {}
    for complexity, horizon in environment.levels():
        assert complexity is not None
        assert horizon is not None
        tasks = first(environment, 12, complexity=complexity, horizon=horizon)
        assert len(tasks) == 12
        for each in tasks[:2]:
            result = asyncio.run(play_script(environment, each, environment.expert(each)))
            assert result.score.parts["shortest_over_moves"] == 1.0
            assert result.score.parts["moves"] == horizon
        results = [asyncio.run(play_script(environment, each, environment.limited(each))) for each in tasks]
        limited[complexity, horizon] = (sum(result.solved for result in results), len(results))
    check_dials("planning", limited)


def test_a_level_that_no_problem_has_says_so() -> None:
    with pytest.raises(DataError, match="is empty at complexity 3, horizon 2"):
        first(Planning(world="routes"), 1, complexity=3, horizon=2)
    with pytest.raises(DataError, match="planning has no horizon 9"):
        first(Planning(), 1, horizon=9)

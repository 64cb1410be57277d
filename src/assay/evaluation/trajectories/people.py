"""People beside it: a table of human trials as trajectories, in the measures and pictures that a model's runs have."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.errors import DataError
from assay.evaluation.table import (
    Column,
    Row,
    is_missing,
    name,
    not_negative,
    number,
    read_columns,
    share,
    value_at,
)
from assay.evaluation.trajectories.trajectory import ALL, UNNAMED, Skill, Trajectory, by_kind

TRIALS, SECONDS = "trials", "seconds"
"""Axes of people: trials made before a probe, and seconds spent on them, the median over people."""
_STILL_THERE = 0.5
"""Share of the people who must have trials in a block for it to be a probe."""


@dataclass(frozen=True)
class PeopleColumns:
    """Which columns of a table of trials say what; a row is one trial of one person, in the order of the table unless
    `trial` orders them."""

    person: str = "person"
    """Who made it."""
    solved: str = "solved"
    """What came of it: from 0 to 1, or true and false; with `solved_at` any number, such as a rating."""
    skill: str | None = None
    """What it was a trial of, such as a level; None where all are of one skill."""
    trial: str | None = None
    """A number that orders each person's trials."""
    seconds: str | None = None
    """How long it took."""
    solved_at: float | None = None
    """The number from which on a trial counts as solved."""
    block: int = 10
    """Trials of a person that make one probe."""
    error: str | None = None
    """What went wrong where a trial failed, in a word or two: its kind of error."""


@dataclass(frozen=True)
class _Trial:
    person: str
    skill: str
    order: float
    solved: float
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class People:
    """Human learners or solvers, together and one by one."""

    together: Trajectory
    """All of them: a probe is a block of trials, and a person stands where a task stands in a model's trajectory, so
    that intervals are over people."""
    one_by_one: tuple[Trajectory, ...]
    """Each person, as a run: the places in a block stand for tasks. For the order of skills, person by person."""


def read_people(rows: Sequence[Row], columns: PeopleColumns, source: str) -> People:
    """The trajectories of a table of trials.

    The first block of a person's trials of a skill is its probe at 0, the next is its probe at `block` trials, and so
    on: the axis counts the trials of a skill that were made before. "all" is the mean of the skills at the same number
    of trials of each. They are followed for as many blocks as half of the people have of any.

    Raises:
        DataError: a column is missing or a value cannot be, or nobody has two blocks of trials.
    """
    trials = _trials(rows, columns, source)
    people = tuple(dict.fromkeys(each.person for each in trials))
    skills = tuple(dict.fromkeys(each.skill for each in trials))
    own = {person: sorted((t for t in trials if t.person == person), key=lambda t: t.order) for person in people}
    named = {skill: {who: [t for t in own[who] if t.skill == skill] for who in people} for skill in skills}
    num_blocks = max(_num_blocks(list(of.values()), columns.block) for of in named.values())
    if num_blocks < 2:
        raise DataError(
            f"{source}: half of the people have fewer than two blocks of {columns.block} trials of anything; make "
            "blocks smaller with --people-block"
        )
    shape = (num_blocks, columns.block)
    by_person = _by_person(named, people, shape, lambda trial: trial.solved)
    axes = _axes([[of[who] for of in named.values()] for who in people], columns, shape)
    kinds = dict.fromkeys(each.error or UNNAMED for each in trials if each.solved < 1) if columns.error else {}
    failed_by = {
        kind: _together(
            _by_person(
                named, people, shape, lambda trial, kind=kind: (1 - trial.solved) * (kind == (trial.error or UNNAMED))
            )
        )
        for kind in kinds
    }
    together = {
        skill: _skill(skill, people, solved, by_kind({kind: of[skill] for kind, of in failed_by.items()}))
        for skill, solved in _together(by_person).items()
    }
    places = tuple(f"place {place + 1}" for place in range(columns.block))
    one_by_one = tuple(
        Trajectory(who, _steps(shape), axes, {skill: _skill(skill, places, of) for skill, of in by_person[who].items()})
        for who in people
    )
    return People(Trajectory(source, _steps(shape), axes, together), one_by_one)


def _trials(rows: Sequence[Row], columns: PeopleColumns, source: str) -> list[_Trial]:
    wanted = [
        Column(columns.person, name, "--person"),
        Column(columns.solved, share if columns.solved_at is None else number, "--solved"),
        *([Column(columns.skill, name, "--skill")] if columns.skill else []),
        *([Column(columns.trial, number, "--trial")] if columns.trial else []),
        *([Column(columns.seconds, not_negative, "--seconds")] if columns.seconds else []),
    ]
    found = read_columns(rows, wanted, source)
    values, num = found.values, found.num
    solved = values["--solved"]
    if columns.solved_at is not None:
        solved = [float(each >= columns.solved_at) for each in solved]
    return [
        _Trial(*each)
        for each in zip(
            map(str, values["--person"]),
            map(str, values.get("--skill", [ALL] * num)),
            values.get("--trial", range(num)),
            solved,
            values.get("--seconds", [0.0] * num),
            _kinds(rows, found.places, columns.error, source),
            strict=True,
        )
    ]


def _kinds(rows: Sequence[Row], places: Sequence[str], column: str | None, source: str) -> list[str]:
    """The kind of error of the rows at these places; empty where none is named, as where the trial was solved."""
    if column is None:
        return [""] * len(places)
    said = {place: value_at(row, column) for place, row in rows}
    if all(is_missing(value) for value in said.values()):
        raise DataError(f"{source} has no kind of error in a column {column!r} (--error)")
    return ["" if is_missing(said[place]) else str(said[place])[:60] for place in places]


def _num_blocks(of: Sequence[Sequence[_Trial]], block: int) -> int:
    """Whole blocks that half of the people who have any trials have."""
    counts = sorted((len(each) // block for each in of if each), reverse=True)
    return counts[math.ceil(_STILL_THERE * len(counts)) - 1] if counts else 0


def _by_person(
    named: Mapping[str, Mapping[str, Sequence[_Trial]]],
    people: Sequence[str],
    shape: tuple[int, int],
    value: Callable[[_Trial], float],
) -> dict[str, dict[str, np.ndarray]]:
    """Each person's [T, block] values of each skill."""
    return {who: _with_all({skill: _blocks(of[who], *shape, value) for skill, of in named.items()}) for who in people}


def _together(by_person: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """[T, P] mean of each person's blocks, of each skill."""
    skills = next(iter(by_person.values()))
    return {skill: _mean_of(np.stack([of[skill] for of in by_person.values()], axis=1)) for skill in skills}


def _blocks(trials: Sequence[_Trial], num_blocks: int, block: int, value: Callable[[_Trial], float]) -> np.ndarray:
    """[T, block] a value of each trial; NaN from the last whole block on."""
    found = np.full(num_blocks * block, np.nan)
    whole = min(len(trials) // block * block, len(found))
    found[:whole] = [value(each) for each in trials[:whole]]
    return found.reshape(num_blocks, block)


def _mean_of(blocks_TPB: np.ndarray) -> np.ndarray:
    """[T, P] mean of each person's blocks; a block is whole or not there."""
    return blocks_TPB.mean(axis=2)


def _skill(
    skill: str, of: tuple[str, ...], solved: np.ndarray, errors: Mapping[str, np.ndarray] | None = None
) -> Skill:
    nothing = tuple(() for _ in solved)
    return Skill(skill, of, solved, nothing, tuple(None for _ in solved), errors or {})


def _steps(shape: tuple[int, int]) -> tuple[int, ...]:
    return tuple(block * shape[1] for block in range(shape[0]))


def _with_all(of_skills: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The skills after their mean, place by place, over those that have a block there; one skill alone is it."""
    if len(of_skills) == 1:
        return {ALL: next(iter(of_skills.values()))}
    stacked = np.stack(list(of_skills.values()))
    known = ~np.isnan(stacked)
    with np.errstate(invalid="ignore"):
        return {ALL: np.where(known, stacked, 0.0).sum(axis=0) / known.sum(axis=0), **of_skills}


def _axes(
    people: Sequence[Sequence[Sequence[_Trial]]], columns: PeopleColumns, shape: tuple[int, int]
) -> dict[str, tuple[float, ...]]:
    """The axes, of each person's trials of each skill."""
    axes = {TRIALS: tuple(map(float, _steps(shape)))}
    if columns.seconds is None:
        return axes
    medians: list[float] = []
    for made in _steps(shape):
        there = [skills for skills in people if max(map(len, skills)) >= made]
        medians.append(float(np.median([math.fsum(t.seconds for of in skills for t in of[:made]) for skills in there])))
    # People who leave early are missing from later medians; the clock does not run back for that.
    axes[SECONDS] = tuple(np.maximum.accumulate(medians).tolist())
    return axes

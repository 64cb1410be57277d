"""Sampling of a map: a pilot that decides how many tasks each cell gets, and the tasks that the estimates are of.

A cell's number of tasks must not depend on the outcomes that its estimate is made of: sampling until a cell looks
settled keeps the runs of luck that made it look so (Nie et al. 2018, "Why adaptively collected data have negative bias
and how to correct for it", AISTATS). So there are two stages (double sampling, Neyman 1938, JASA 33). The pilot's
outcomes decide, and are used for nothing else; the estimate is the mean over the tasks that come after them in the
cell's fixed order, whose number was decided before any of them was run.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.errors import DataError
from assay.evaluation.map.cells import MapCell
from assay.evaluation.map.plan import allocate, uncertainty, worst_half_width
from assay.evaluation.row import EvalRow
from assay.types import Task, Verdict

PILOT_TASKS = 3
"""Tasks of each cell that decide how many it gets."""
LEAST_TASKS = 6
"""Tasks that a cell has to get beside them: with fewer the widest interval is broader than 65 points."""
NUM_ROUNDS = 4
"""Parts in which the planned tasks are run, so that a budget that was reckoned wrong ends all cells alike."""
RESERVE = 0.05
"""Share of what the pilot left that is not planned with, since what an episode costs is known by a few."""
_POSITIONS = 100_000
"""Positions of a cell's tasks begin at a multiple of this."""

Play = Callable[[str, str, Sequence[Task], Sequence[int]], Awaitable[Sequence[EvalRow]]]
"""(model, environment, tasks, positions) to a row each, in the order of the tasks."""


@dataclass(frozen=True)
class MapPlan:
    """The plan of what a map's budget is spent on."""

    counts: tuple[int, ...]
    """Tasks of each cell beside the pilot's; 0 for one that the budget leaves out."""
    cost: tuple[float, ...]
    """Expected tokens of one task of each cell, of all models together."""
    pilot_tokens: int

    @property
    def expected_tokens(self) -> float:
        return self.pilot_tokens + sum(count * cost for count, cost in zip(self.counts, self.cost, strict=True))


@dataclass
class MapMeasurement:
    """The rows that were sampled of a map."""

    cells: Sequence[MapCell]
    models: Sequence[str]
    plan: MapPlan | None = None
    pilot: dict[tuple[str, int], list[EvalRow]] = field(default_factory=dict)
    """(model, cell) to the rows that decided."""
    rows: dict[tuple[str, int], list[EvalRow]] = field(default_factory=dict)
    """(model, cell) to the rows that the estimates are of."""
    is_cut: bool = False
    """True where the budget ended before the plan did."""

    @property
    def num_tokens(self) -> int:
        """Sampled tokens, of pilot and estimates."""
        return sum(row.num_tokens or 0 for kept in (self.pilot, self.rows) for rows in kept.values() for row in rows)


def num_estimating(rows: Iterable[EvalRow]) -> int:
    """The number of rows that are not a pilot's."""
    return sum(row.task_index % _POSITIONS >= PILOT_TASKS for row in rows)


def check_budget(cells: Sequence[MapCell], expert_tokens: Sequence[float | None], models: int, budget: int) -> None:
    """Before anything is spent: the budget allows the fewest tasks of every cell, did each model say as little as the
    expert.

    Raises:
        DataError: it does not.
    """
    tokens = sum(max(each or 1.0, 1.0) for each in expert_tokens) * models
    needed = math.ceil(tokens * (PILOT_TASKS + LEAST_TASKS))
    if budget < needed:
        raise DataError(
            f"a budget of {budget:,} tokens says nothing of {len(cells)} cells: {PILOT_TASKS} tasks each to plan by "
            f"and {LEAST_TASKS} to tell take {needed:,} even where a model says no more than the script that solves "
            "them; raise --budget, or ask for fewer cells with --environments, --complexity and --horizon"
        )


async def measure_map(
    cells: Sequence[MapCell],
    models: Sequence[str],
    play: Play,
    *,
    budget: int,
    reading: str,
    say: Callable[[str], None] = lambda line: None,
    on_plan: Callable[[MapPlan], None] = lambda plan: None,
) -> MapMeasurement:
    """Samples the cells: one task of each to learn what they cost, the rest of the pilot, then what it led to plan.

    All models get the same tasks. `play` may know rows of before: the plan depends on the pilot and the budget alone,
    so that a map that was interrupted, or is given a larger budget, uses all that was sampled.

    Args:
        budget: sampled tokens, of all models together.
        reading: of the answers, whose verdict is the outcome.

    Raises:
        DataError: after the first task of each cell: the budget tells of less than half of the cells.
    """
    measured = MapMeasurement(cells, models)

    async def run(parts: Mapping[int, range], into: dict[tuple[str, int], list[EvalRow]]) -> None:
        for model in models:
            for environment in dict.fromkeys(cell.environment for cell in cells):
                chosen = [
                    (cell, index)
                    for cell, part in parts.items()
                    for index in part
                    if cells[cell].environment == environment
                ]
                if not chosen:
                    continue
                tasks = [cells[cell].tasks[index] for cell, index in chosen]
                rows = await play(model, environment, tasks, [cell * _POSITIONS + index for cell, index in chosen])
                for (cell, _), row in zip(chosen, rows, strict=True):
                    into.setdefault((model, cell), []).append(row)

    num_pilot = [min(PILOT_TASKS, max(len(cell.tasks) - 1, 1)) for cell in cells]
    await run({cell: range(1) for cell in range(len(cells))}, measured.pilot)
    _check_after_first(measured, budget)
    await run({cell: range(1, num) for cell, num in enumerate(num_pilot)}, measured.pilot)
    plan = measured.plan = _planned(measured, budget, reading)
    on_plan(plan)
    for line in _told(measured, plan, budget):
        say(line)
    for number in range(NUM_ROUNDS):
        share = _share_that_fits(measured, plan, number, budget)
        parts = {
            cell: range(start, start + math.floor(share * (stop - start)))
            for cell, (start, stop) in enumerate(_round(plan.counts, num_pilot, number))
        }
        await run(parts, measured.rows)
        if share < 1:
            measured.is_cut = True
            say(f"the budget of {budget:,} tokens ended before the plan did: all cells were cut alike")
            break
    return measured


def _round(counts: Sequence[int], num_pilot: Sequence[int], number: int) -> list[tuple[int, int]]:
    """(first, one past the last) of each cell's tasks in a round."""
    return [
        (pilot + count * number // NUM_ROUNDS, pilot + count * (number + 1) // NUM_ROUNDS)
        for count, pilot in zip(counts, num_pilot, strict=True)
    ]


def _costs(measured: MapMeasurement) -> list[float]:
    """Tokens of one task of each cell, of all models together: the mean over what was sampled of it."""
    costs = []
    for cell in range(len(measured.cells)):
        cost = 0.0
        for model in measured.models:
            rows = [*measured.pilot.get((model, cell), ()), *measured.rows.get((model, cell), ())]
            known = [row.num_tokens for row in rows if row.num_tokens is not None]
            cost += sum(known) / len(known) if known else 0.0
        costs.append(max(cost, 1.0))
    return costs


def _check_after_first(measured: MapMeasurement, budget: int) -> None:
    costs = _costs(measured)
    left = budget - sum(costs) * PILOT_TASKS
    affordable, cells = 0, sorted(costs)
    for cost in cells:
        left -= cost * LEAST_TASKS
        affordable += left >= 0
    if affordable * 2 < len(cells):
        needed = math.ceil(sum(costs) * (PILOT_TASKS + LEAST_TASKS))
        raise DataError(
            f"a budget of {budget:,} tokens tells of {affordable} of {len(cells)} cells: the first task of each took "
            f"{measured.num_tokens:,} tokens, so that {PILOT_TASKS} of each to plan by and {LEAST_TASKS} to tell take "
            f"about {needed:,}. Nothing else was spent, and the same command with a larger --budget goes on from here; "
            "or ask for fewer cells with --environments, --complexity and --horizon, or for fewer --max-new-tokens"
        )


def _planned(measured: MapMeasurement, budget: int, reading: str) -> MapPlan:
    cells, costs = measured.cells, _costs(measured)
    beside = _neighbours(cells)
    variance: Any = 0.0
    for model in measured.models:
        verdicts = [
            [
                row.scores[reading].verdict
                for row in measured.pilot.get((model, cell), ())
                if row.scores[reading].measured
            ]
            for cell in range(len(cells))
        ]
        solved = [sum(verdict is Verdict.SOLVED for verdict in each) for each in verdicts]
        variance = variance + uncertainty(solved, [len(each) for each in verdicts], beside) ** 2
    most = [max(len(cell.tasks) - PILOT_TASKS, 0) for cell in cells]
    spent = measured.num_tokens
    counts = allocate(variance**0.5, costs, most, budget=(1 - RESERVE) * (budget - spent), least=LEAST_TASKS)
    if not any(counts):
        raise DataError(
            f"the pilot took {spent:,} of {budget:,} tokens, and {LEAST_TASKS} tasks of no cell fit in what is left; "
            "the same command with a larger --budget goes on from here"
        )
    return MapPlan(tuple(counts), tuple(costs), spent)


def _neighbours(cells: Sequence[MapCell]) -> list[list[int]]:
    """Return, for each cell, those one step along either dial, in its environment."""
    steps: dict[str, tuple[list[Any], list[Any]]] = {}
    for label in dict.fromkeys(cell.environment for cell in cells):
        own = [cell for cell in cells if cell.environment == label]
        dials = ([cell.complexity for cell in own], [cell.horizon for cell in own])
        steps[label] = tuple(sorted(set(dial), key=lambda v: -1.0 if v is None else v) for dial in dials)  # pyright: ignore[reportArgumentType]

    def place(cell: MapCell) -> tuple[int, int]:
        complexities, horizons = steps[cell.environment]
        return complexities.index(cell.complexity), horizons.index(cell.horizon)

    def is_beside(one: MapCell, other: MapCell) -> bool:
        if one.environment != other.environment:
            return False
        (a, b), (c, d) = place(one), place(other)
        return abs(a - c) + abs(b - d) == 1

    return [[i for i, other in enumerate(cells) if is_beside(cell, other)] for cell in cells]


def _share_that_fits(measured: MapMeasurement, plan: MapPlan, number: int, budget: int) -> float:
    """Return the share of a round that the budget allows, by what tasks have cost until now."""
    num_pilot = [0] * len(plan.counts)
    expected = sum(
        (stop - start) * cost
        for (start, stop), cost in zip(_round(plan.counts, num_pilot, number), _costs(measured), strict=True)
    )
    left = budget - measured.num_tokens
    return 1.0 if expected <= left else max(left, 0.0) / expected


def _told(measured: MapMeasurement, plan: MapPlan, budget: int) -> list[str]:
    """Return the plan in sentences."""
    given = [count for count in plan.counts if count]
    lines = [
        f"pilot: {plan.pilot_tokens:,} tokens. Planned: {sum(given):,} tasks for each model, {min(given)} to "
        f"{max(given)} a cell, about {plan.expected_tokens:,.0f} of {budget:,} tokens in all; intervals of at most "
        f"±{100 * worst_half_width(max(given)):.0f} to ±{100 * worst_half_width(min(given)):.0f} points"
    ]
    if missing := [cell.name for cell, count in zip(measured.cells, plan.counts, strict=True) if not count]:
        needed = plan.pilot_tokens + math.ceil(sum(LEAST_TASKS * cost for cost in plan.cost))
        lines.append(
            f"left out, since {LEAST_TASKS} tasks of them are too many for the budget: {', '.join(missing)}; "
            f"about {needed:,} tokens have them all"
        )
    return lines

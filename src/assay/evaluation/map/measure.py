"""Sampling of a map: a pilot that decides how many tasks each cell gets, and the tasks that the estimates are of.

A cell's number of tasks must not depend on the outcomes that its estimate is made of: sampling until a cell looks
settled keeps the runs of luck that made it look so (Nie et al. 2018, "Why adaptively collected data have negative bias
and how to correct for it", AISTATS). So there are two stages (double sampling, Neyman 1938, JASA 33). The pilot's
outcomes decide, and are used for nothing else; the estimate is the mean over the tasks that come after them in the
cell's fixed order, whose number was decided before any of them was run.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from assay.errors import DataError, ModelError
from assay.evaluation.map.cells import MapCell, TaskLength
from assay.evaluation.map.measurement import (
    LEAST_TASKS,
    PILOT_TASKS,
    MapEpisode,
    MapMeasurement,
    MapPart,
    MapPlan,
    Play,
    num_pilot,
)
from assay.evaluation.map.pilot import admitted, expected_costs, waves
from assay.evaluation.map.plan import allocate, uncertainty, worst_half_width
from assay.types import Verdict

NUM_ROUNDS = 2
"""Parts in which the planned tasks are run, so that a budget that was reckoned wrong ends all cells alike. Each ends
with its longest episodes, alone: more parts take longer."""
RESERVE = 0.05
"""Share of what the pilot left that is not planned with, since what an episode costs is known by a few."""
_POSITIONS = 100_000
"""Positions of a cell's tasks begin at a multiple of this, from where those of its environment do."""


def check_budget(cells: Sequence[MapCell], lengths: Sequence[TaskLength], models: int, budget: int) -> None:
    """Before anything is spent: the budget allows the fewest tasks of every cell, did each model say as little as the
    expert.

    Raises:
        DataError: it does not.
    """
    tokens = sum(max(length.tokens or 1.0, 1.0) for length in lengths) * models
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
    lengths: Sequence[TaskLength] | None = None,
    say: Callable[[str], None] = lambda line: None,
    on_part: Callable[[MapPart], None] = lambda part: None,
) -> MapMeasurement:
    """Samples the cells: the pilot, shortest horizons first as far as the budget goes, then what it led to plan.

    All models get the same tasks. `play` may know rows of before: the plan depends on the pilot and the budget alone,
    so that a map that was interrupted, or is given a larger budget, uses all that was sampled. A model, other than the
    first, that cannot be opened is left out from there on.

    Args:
        budget: sampled tokens, of all models together.
        reading: of the answers, whose verdict is the outcome.
        lengths: of each cell's tasks; None where nothing is known of them.
        on_part: called before each part of the work.

    Raises:
        DataError: after the pilot: the budget tells of no cell.
        ModelError: the first model cannot be opened.
    """
    measured = MapMeasurement(cells, list(models))
    known = lengths or [TaskLength(horizon=cell.horizon) for cell in cells]
    pilot = [num_pilot(cell) for cell in cells]
    for what, wave in zip(("shortest", "longer"), waves(cells), strict=False):
        chosen = admitted(measured, wave, known, budget)
        parts = {cell: range(pilot[cell]) for cell in chosen}
        if parts:
            costs = expected_costs(measured, known)
            # What a model says beside the expert is not known before it said something.
            expected = sum(costs[cell] * len(part) for cell, part in parts.items()) if measured.pilot else None
            on_part(MapPart(f"pilot episodes of the {what} tasks", _episodes(measured, parts), expected))
            await _run(measured, parts, measured.pilot, play, say)
    plan = measured.plan = _planned(measured, known, budget, reading)
    for line in _told(measured, plan, budget):
        say(line)
    everything = {cell: range(first, first + n) for cell, (first, n) in enumerate(zip(pilot, plan.counts, strict=True))}
    on_part(MapPart("episodes", _episodes(measured, everything), plan.expected_tokens - plan.pilot_tokens))
    for number in range(NUM_ROUNDS):
        share = _share_that_fits(measured, plan, number, budget)
        parts = {
            cell: range(start, start + math.floor(share * (stop - start)))
            for cell, (start, stop) in enumerate(_round(plan.counts, pilot, number))
        }
        await _run(measured, parts, measured.rows, play, say)
        if share < 1:
            measured.is_cut = True
            say(f"the budget of {budget:,} tokens ended before the plan did: all cells were cut alike")
            break
    return measured


async def _run(
    measured: MapMeasurement,
    parts: Mapping[int, range],
    into: dict[tuple[str, int], list[Any]],
    play: Play,
    say: Callable[[str], None],
) -> None:
    """Play so much of each cell with every model, the one that played last first, and keep the rows."""
    episodes = _in_turn(measured.cells, parts)
    if not episodes:
        return
    first = measured.models[0]
    for model in sorted(measured.models, key=lambda model: model != measured.played_last):
        try:
            rows = await play(model, [episode for _, episode in episodes])
        except ModelError as error:
            if model == first:
                raise
            measured.leave_out(model, str(error))
            say(f"caution: {model} is left out of the map: {error}")
            continue
        measured.played_last = model
        for (cell, _), row in zip(episodes, rows, strict=True):
            into.setdefault((model, cell), []).append(row)


def _in_turn(cells: Sequence[MapCell], parts: Mapping[int, range]) -> list[tuple[int, MapEpisode]]:
    """Return the episodes of all cells, taken in turn, so that what an interruption leaves is of all of them."""
    first: dict[str, int] = {}
    for place, cell in enumerate(cells):
        first.setdefault(cell.environment, place)
    found = [((index - part.start) / len(part), place, index) for place, part in parts.items() for index in part]
    episodes = []
    for _, place, index in sorted(found):
        cell = cells[place]
        # By the environment's name and its own cells: another environment beside it changes nothing.
        position = (
            (zlib.crc32(cell.environment.encode()) << 32) + (place - first[cell.environment]) * _POSITIONS + index
        )
        episodes.append((place, MapEpisode(cell, cell.tasks[index], position)))
    return episodes


def number_in_cell(position: int) -> int:
    """Return the place of a task among those of its cell, from its position: the pilot's come first."""
    return position % 2**32 % _POSITIONS


def _episodes(measured: MapMeasurement, parts: Mapping[int, range]) -> list[tuple[str, MapEpisode]]:
    return [(model, episode) for model in measured.models for _, episode in _in_turn(measured.cells, parts)]


def _round(counts: Sequence[int], first: Sequence[int], number: int) -> list[tuple[int, int]]:
    """(first, one past the last) of each cell's tasks in a round."""
    return [
        (start + count * number // NUM_ROUNDS, start + count * (number + 1) // NUM_ROUNDS)
        for count, start in zip(counts, first, strict=True)
    ]


def _planned(measured: MapMeasurement, lengths: Sequence[TaskLength], budget: int, reading: str) -> MapPlan:
    cells, costs = measured.cells, expected_costs(measured, lengths)
    beside = _neighbours(cells)
    variance: Any = 0.0
    for model in measured.models:
        verdicts = [
            [
                row.scores[reading].verdict
                for row in measured.pilot.get((model, cell), ())
                if row.scores[reading].has_verdict
            ]
            for cell in range(len(cells))
        ]
        solved = [sum(verdict is Verdict.SOLVED for verdict in each) for each in verdicts]
        variance = variance + uncertainty(solved, [len(each) for each in verdicts], beside) ** 2
    most = [max(len(cell.tasks) - PILOT_TASKS, 0) * measured.has_pilot(i) for i, cell in enumerate(cells)]
    spent = measured.num_tokens
    counts = allocate(variance**0.5, costs, most, budget=(1 - RESERVE) * (budget - spent), least=LEAST_TASKS)
    if not any(counts):
        raise DataError(
            f"the pilot took {spent:,} of {budget:,} tokens, and {LEAST_TASKS} tasks of no cell fit in what is left; "
            "the same command with a larger --budget goes on from here, or ask for fewer cells with --environments, "
            "--complexity and --horizon, or for fewer --max-new-tokens"
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
    expected = sum(
        (stop - start) * cost
        for (start, stop), cost in zip(
            _round(plan.counts, [0] * len(plan.counts), number), _costs_by_now(measured, plan), strict=True
        )
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
        least = [min(LEAST_TASKS, len(cell.tasks)) * cost for cell, cost in zip(measured.cells, plan.cost, strict=True)]
        unknown = [PILOT_TASKS * cost for place, cost in enumerate(plan.cost) if not measured.has_pilot(place)]
        needed = plan.pilot_tokens + math.ceil(sum(least) + sum(unknown))
        lines.append(
            f"left out, since {LEAST_TASKS} tasks of them are too many for the budget: {', '.join(missing)}; "
            f"about {needed:,} tokens have them all"
        )
        if 2 * len(given) < len(measured.cells):
            lines.append(f"caution: this budget tells of {len(given)} of {len(measured.cells)} cells")
    return lines


def _costs_by_now(measured: MapMeasurement, plan: MapPlan) -> list[float]:
    """Tokens of one task of each cell, of all models together, by all that was sampled of it."""
    return [measured.cost(place) or cost for place, cost in enumerate(plan.cost)]

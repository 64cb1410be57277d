"""The pilot of a map: shortest horizons first, and longer ones as far as the budget goes by what those took."""

from __future__ import annotations

from collections.abc import Sequence

from assay.evaluation.map.cells import MapCell, TaskLength
from assay.evaluation.map.measurement import LEAST_TASKS, PILOT_TASKS, MapMeasurement


def waves(cells: Sequence[MapCell]) -> list[list[int]]:
    """Return the cells that are played together: those at the shortest horizon of their complexity, which tell what
    longer ones will take, and then all others at once, since each wave ends with its longest episodes alone."""
    shortest = [place for place in range(len(cells)) if _shorter(cells, place, range(len(cells))) is None]
    return [wave for wave in (shortest, [p for p in range(len(cells)) if p not in shortest]) if wave]


def expected_costs(measured: MapMeasurement, lengths: Sequence[TaskLength]) -> list[float]:
    """Return the tokens of one task of each cell, of all models together: by what was sampled of it; else by the next
    shorter cell of its complexity, times how much longer its expert's tasks are; else as the expert says it."""
    costs: list[float] = []
    for place, cell in enumerate(measured.cells):
        cost = measured.cost(place)
        if cost is None:
            shorter = _shorter(measured.cells, place, [p for p in range(len(measured.cells)) if measured.has_pilot(p)])
            if shorter is None:
                cost = max(lengths[place].tokens or 1.0, 1.0) * len(measured.models)
            else:
                cost = (measured.cost(shorter) or 1.0) * _times(lengths, shorter, place, cell)
        costs.append(cost)
    return costs


def admitted(measured: MapMeasurement, wave: Sequence[int], lengths: Sequence[TaskLength], budget: int) -> list[int]:
    """Return the cells of a wave that the budget allows, cheapest first: their pilot, and the fewest tasks of them and
    of all that have a pilot. Where a shorter cell of its complexity was not played, a cell is not either."""
    costs = expected_costs(measured, lengths)
    piloted = [place for place in range(len(measured.cells)) if measured.has_pilot(place)]
    left = budget - measured.num_tokens - LEAST_TASKS * sum(costs[place] for place in piloted)

    def order(place: int) -> tuple[float, float]:
        # A shorter cell comes first, also where its own tasks are thought dearer.
        cell = measured.cells[place]
        row = [
            cost
            for cost, other in zip(costs, measured.cells, strict=True)
            if (other.environment, other.complexity) == (cell.environment, cell.complexity)
            and _length(other) <= _length(cell)
        ]
        return max(row), _length(cell)

    found = []
    for place in sorted(wave, key=order):
        shorter = _shorter(measured.cells, place, range(len(measured.cells)))
        needed = costs[place] * (PILOT_TASKS + LEAST_TASKS)
        if needed <= left and (shorter is None or shorter in piloted or shorter in found):
            left -= needed
            found.append(place)
    return sorted(found)


def _shorter(cells: Sequence[MapCell], place: int, among: Sequence[int]) -> int | None:
    """Return the longest of the cells that differ from one by a shorter horizon alone."""
    cell = cells[place]
    own = [
        other
        for other in among
        if (cells[other].environment, cells[other].complexity) == (cell.environment, cell.complexity)
        and _length(cells[other]) < _length(cell)
    ]
    return max(own, key=lambda other: _length(cells[other]), default=None)


def _times(lengths: Sequence[TaskLength], shorter: int, longer: int, cell: MapCell) -> float:
    """Return how much longer a cell's tasks are, in the expert's tokens, or else its messages."""
    for one, other in (
        (lengths[shorter].tokens, lengths[longer].tokens),
        (lengths[shorter].actions, lengths[longer].actions),
    ):
        if one and other:
            return max(other / one, 1.0)
    return 1.0


def _length(cell: MapCell) -> float:
    return -1.0 if cell.horizon is None else cell.horizon

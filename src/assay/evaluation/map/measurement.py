"""What is measured of a map: its episodes, its plan, and the rows that came of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from assay.evaluation.map.cells import MapCell
from assay.evaluation.row import EvalRow
from assay.types import Task

PILOT_TASKS = 3
"""Tasks of each cell that decide how many it gets."""
LEAST_TASKS = 6
"""Tasks that a cell has to get beside them: with fewer the widest interval is broader than 65 points."""


@dataclass(frozen=True)
class MapEpisode:
    """One task of a cell, to be played once by a model."""

    cell: MapCell
    task: Task
    position: int
    """Position in all tasks of its environment's cells."""


def num_pilot(cell: MapCell) -> int:
    """Return the number of a cell's tasks that decide: three, and where there are fewer, all but one."""
    return min(PILOT_TASKS, max(len(cell.tasks) - 1, 1))


Play = Callable[[str, Sequence[MapEpisode]], Awaitable[Sequence[EvalRow]]]
"""(model, episodes) to a row each, in their order; all are under way at once."""


@dataclass(frozen=True)
class MapPart:
    """A part of a map's work, for whoever shows progress."""

    what: str
    """Name of what is counted, in the plural."""
    episodes: Sequence[tuple[str, MapEpisode]]
    """(model, episode) of all that is to be played, or was before."""
    expected_tokens: float | None
    """Tokens that they take by the plan; None where nobody knows."""


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
    models: list[str]
    """The models by name, without those that were left out."""
    plan: MapPlan | None = None
    pilot: dict[tuple[str, int], list[EvalRow]] = field(default_factory=dict)
    """(model, cell) to the rows that decided."""
    rows: dict[tuple[str, int], list[EvalRow]] = field(default_factory=dict)
    """(model, cell) to the rows that the estimates are of."""
    is_cut: bool = False
    """True where the budget ended before the plan did."""
    is_interrupted: bool = False
    """True where somebody ended it before the plan did: episodes that take long are missing."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Model that could not be opened to the cause."""
    played_last: str = ""
    """The model that played last, which may still be open."""

    @property
    def num_tokens(self) -> int:
        """Sampled tokens, of pilot and estimates."""
        return sum(row.num_tokens or 0 for kept in (self.pilot, self.rows) for rows in kept.values() for row in rows)

    def has_pilot(self, place: int) -> bool:
        """Return whether the cell's pilot was played."""
        return any((model, place) in self.pilot for model in self.models)

    def cost(self, place: int) -> float | None:
        """Return the tokens of one task of a cell, of all models together, as the mean over what was sampled of it;
        None before anything was."""
        if not self.has_pilot(place):
            return None
        cost = 0.0
        for model in self.models:
            rows = [*self.pilot.get((model, place), ()), *self.rows.get((model, place), ())]
            known = [row.num_tokens for row in rows if row.num_tokens is not None]
            cost += sum(known) / len(known) if known else 0.0
        return max(cost, 1.0)

    def leave_out(self, model: str, cause: str) -> None:
        """Go on without a model, as if it had not been asked for."""
        self.models.remove(model)
        self.left_out[model] = cause
        for kept in (self.pilot, self.rows):
            for key in [key for key in kept if key[0] == model]:
                del kept[key]

"""Maps: success over complexity and horizon, sampled where it is uncertain, with fits of where it ends."""

from __future__ import annotations

from assay.evaluation.map.cells import Axis, MapCell, TaskLength, choose_cells, expert_units
from assay.evaluation.map.limits import episode_limit, message_limit
from assay.evaluation.map.measure import check_budget, measure_map
from assay.evaluation.map.measurement import MapEpisode, MapMeasurement, MapPart, MapPlan
from assay.evaluation.map.picture import draw_map
from assay.evaluation.map.plan import allocate
from assay.evaluation.map.report import map_markdown
from assay.evaluation.map.result import map_result, table_rows

__all__ = [
    "Axis",
    "MapCell",
    "MapEpisode",
    "MapMeasurement",
    "MapPart",
    "MapPlan",
    "TaskLength",
    "allocate",
    "check_budget",
    "choose_cells",
    "draw_map",
    "episode_limit",
    "expert_units",
    "map_markdown",
    "map_result",
    "measure_map",
    "message_limit",
    "table_rows",
]

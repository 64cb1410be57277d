"""Maps: success over complexity and horizon, sampled where it is uncertain, with fits of where it ends."""

from __future__ import annotations

from assay.evaluation.map.cells import Axis, MapCell, TaskLength, choose_cells, expert_units
from assay.evaluation.map.measure import MapMeasurement, MapPlan, measure_map
from assay.evaluation.map.picture import draw_map
from assay.evaluation.map.plan import allocate
from assay.evaluation.map.report import map_markdown
from assay.evaluation.map.result import map_result, table_rows

__all__ = [
    "Axis",
    "MapCell",
    "MapMeasurement",
    "MapPlan",
    "TaskLength",
    "allocate",
    "choose_cells",
    "draw_map",
    "expert_units",
    "map_markdown",
    "map_result",
    "measure_map",
    "table_rows",
]

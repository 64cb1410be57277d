"""Sweeps: recipe x settings x seeds, resumable, each run's raw results kept, one table with intervals over seeds."""

from __future__ import annotations

from assay.evaluation.sweep.kept import KeptRun, read_runs
from assay.evaluation.sweep.publish import publish
from assay.evaluation.sweep.recompute import differences, recompute_table
from assay.evaluation.sweep.runner import TRAIN, run_sweep
from assay.evaluation.sweep.spec import Cell, Sweep, SweepRun, SweepSettings
from assay.evaluation.sweep.table import write_table

__all__ = [
    "TRAIN",
    "Cell",
    "KeptRun",
    "Sweep",
    "SweepRun",
    "SweepSettings",
    "differences",
    "publish",
    "read_runs",
    "recompute_table",
    "run_sweep",
    "write_table",
]

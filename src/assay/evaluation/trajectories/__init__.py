"""Learning trajectories: held-out success of a run against tokens, updates and time, and what can be said of it."""

from __future__ import annotations

from assay.evaluation.trajectories.compared import Compared, SeedRuns, compare_trajectories
from assay.evaluation.trajectories.law import Judged, Law, fit_law, judge_law
from assay.evaluation.trajectories.measures import (
    Reached,
    Sharpening,
    area,
    first_reached,
    order_of_skills,
    plateaus,
    sharpening,
    time_to,
    turnover,
)
from assay.evaluation.trajectories.people import People, PeopleColumns, read_people
from assay.evaluation.trajectories.report import describe, describe_people
from assay.evaluation.trajectories.trajectory import ALL, AXES, PROBE, Skill, Trajectory, probe_row, read_trajectory

__all__ = [
    "ALL",
    "AXES",
    "PROBE",
    "Compared",
    "Judged",
    "Law",
    "People",
    "PeopleColumns",
    "Reached",
    "SeedRuns",
    "Sharpening",
    "Skill",
    "Trajectory",
    "area",
    "compare_trajectories",
    "describe",
    "describe_people",
    "first_reached",
    "fit_law",
    "judge_law",
    "order_of_skills",
    "plateaus",
    "probe_row",
    "read_people",
    "read_trajectory",
    "sharpening",
    "time_to",
    "turnover",
]

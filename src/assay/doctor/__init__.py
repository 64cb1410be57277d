"""The doctor: what is wrong with a run, from its records alone."""

from __future__ import annotations

from assay.doctor.chart import Chart, read_chart
from assay.doctor.examine import Diagnosis, examine, examine_folder
from assay.doctor.finding import Finding, Place, Rule
from assay.doctor.rules import RULES

__all__ = ["RULES", "Chart", "Diagnosis", "Finding", "Place", "Rule", "examine", "examine_folder", "read_chart"]

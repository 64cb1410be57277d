"""The doctor: what is wrong with a run, from its records alone."""

from __future__ import annotations

from assay.doctor.chart import Chart, read_chart
from assay.doctor.examine import Diagnosis, examine, examine_folder
from assay.doctor.finding import Rule, Symptom, TranscriptPlace
from assay.doctor.rules import RULES

__all__ = [
    "RULES",
    "Chart",
    "Diagnosis",
    "Rule",
    "Symptom",
    "TranscriptPlace",
    "examine",
    "examine_folder",
    "read_chart",
]

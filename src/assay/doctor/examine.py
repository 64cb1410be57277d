"""examine: every rule on the chart of a run, and which finding explains which."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.doctor.chart import Chart, read_chart
from assay.doctor.finding import Symptom
from assay.doctor.rules import RULES


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a run."""

    num_steps: int
    num_rollouts: int
    findings: Sequence[Symptom]
    """Causes first."""
    unsaid: Mapping[str, str]
    """Rules that could not be applied, each with the reason."""

    @property
    def named(self) -> set[str]:
        """Rules whose findings nothing else explains."""
        return {finding.rule for finding in self.findings if not finding.causes}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "healthy": not self.findings,
            "num_steps": self.num_steps,
            "num_rollouts": self.num_rollouts,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_measured": dict(self.unsaid),
        }


def examine_folder(folder: Path) -> Diagnosis:
    """The diagnosis of a run that is going on or has ended.

    Raises:
        RunFolderError: the folder has no store, or one that cannot be read.
    """
    return examine(read_chart(folder))


def examine(chart: Chart) -> Diagnosis:
    """Apply every rule to the records of a run."""
    found: dict[str, Symptom] = {}
    unsaid: dict[str, str] = {}
    for rule in RULES:
        result = rule.look(chart) if chart.attempts else "no rollouts yet"
        if isinstance(result, str):
            unsaid[rule.name] = result
        elif result is not None:
            found[rule.name] = dataclasses.replace(result, rule=rule.name)
    explained = {rule.name: tuple(cause for cause in rule.explained_by if cause in found) for rule in RULES}
    findings = [dataclasses.replace(finding, causes=explained[name]) for name, finding in found.items()]
    findings.sort(key=lambda finding: bool(finding.causes))
    steps = max((len(points) for points in chart.metrics.values()), default=0)
    return Diagnosis(steps, chart.num_rollouts, findings, unsaid)

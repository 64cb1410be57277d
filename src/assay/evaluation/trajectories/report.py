"""Everything that `assay trajectories` says of one side, as plain data."""

from __future__ import annotations

from typing import Any

from assay.evaluation.trajectories.compared import SeedRuns
from assay.evaluation.trajectories.law import judge_law
from assay.evaluation.trajectories.measures import area, order_of_skills, plateaus, sharpening, time_to, turnover
from assay.evaluation.trajectories.people import People
from assay.evaluation.trajectories.trajectory import Skill, Trajectory


def describe(side: SeedRuns, axis: str, threshold: float, *, fit: bool = False) -> dict[str, Any]:
    """Return each run of a side, skill by skill, and the order in which skills appear over its runs.

    Args:
        axis: a name in `AXES`.
        threshold: the solved share at which a skill counts as reached, in (0, 1].
        fit: fit the saturating law too.

    Raises:
        RunFolderError: a run did not record the axis.
    """
    order, pairs = order_of_skills([(dict(run.skills), run.axis(axis)) for run in side.runs], threshold)
    return {
        "name": side.name,
        "axis": axis,
        "threshold": threshold,
        "runs": [_run(run, axis, threshold, fit=fit) for run in side.runs],
        "order": order,
        "pairs": [pair.to_dict() for pair in pairs],
    }


def describe_people(people: People, axis: str, threshold: float, *, fit: bool = False) -> dict[str, Any]:
    """Return the same of people: their curve together, and the order of skills over persons in place of runs."""
    alone = [(dict(each.skills), each.axis(axis)) for each in people.one_by_one]
    order, pairs = order_of_skills(alone, threshold)
    side = describe(SeedRuns(people.together.name, (people.together,)), axis, threshold, fit=fit)
    return {**side, "order": order, "pairs": [pair.to_dict() for pair in pairs], "num_people": len(alone)}


def _run(run: Trajectory, axis: str, threshold: float, *, fit: bool) -> dict[str, Any]:
    return {
        "name": run.name,
        "steps": list(run.steps),
        "axes": {name: list(values) for name, values in run.axes.items()},
        "entropy": [list(point) for point in run.entropy],
        "skills": {name: _skill(skill, run, axis, threshold, fit=fit) for name, skill in run.skills.items()},
    }


def _skill(skill: Skill, run: Trajectory, axis: str, threshold: float, *, fit: bool) -> dict[str, Any]:
    axis_T = run.axis(axis)
    under, became, k = area(skill, axis_T), turnover(skill), skill.most_samples
    law, sharper = judge_law(skill, axis_T) if fit else None, sharpening(skill)
    return {
        "num_tasks": len(skill.task_ids),
        "solved": [None if point is None else point.to_dict() for point in skill.curve()],
        "reached": time_to(skill, axis_T, threshold).to_dict(),
        "area": None if under is None else under.to_dict(),
        "turnover": None if became is None else became.to_dict(),
        "plateaus": [plateau.to_dict() for plateau in plateaus(skill, axis_T)],
        "pass_at_k": {
            str(of): [None if point is None else point.to_dict() for point in skill.pass_at(of)]
            for of in sorted({1, k})
            if 0 < of <= k
        },
        "sharpening": None if sharper is None else sharper.to_dict(),
        "response_tokens": list(skill.tokens),
        "errors": {
            kind: [None if point is None else point.to_dict() for point in points]
            for kind, points in skill.error_curves().items()
        },
        **({"law": None if law is None else law.to_dict()} if fit else {}),
    }

"""Rules about what is around the model: verifiers, environments, the test, the curriculum."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from assay.doctor.chart import Attempt, Chart
from assay.doctor.finding import Rule, Symptom

FAILURES = 0.02
"""Share of rollouts without a score that is too many."""
LEAST_FAILURES = 3
STANDS = 2
"""Windows of a curriculum without a change of level."""
PROGRESS = 0.05
"""Solved share that a level should gain from one window to the next while it is being learned."""


def _verifier(chart: Chart) -> Symptom | str | None:
    failed = [each for each in chart.late if each.verdict == "not_measured" and each.ending != "broken"]
    return _failures(
        chart,
        failed,
        "rollouts that ended have no score: the verifier failed",
        ("rollout_retries=0  (shows each failure at once)", "verifier.name=...  (another, or yours mended)"),
    )


def _environment(chart: Chart) -> Symptom | str | None:
    failed = [each for each in chart.late if each.ending == "broken"]
    commonest = Counter(each.boundary or "engine" for each in failed).most_common(1)
    boundary = commonest[0][0] if commonest else ""
    return _failures(
        chart,
        failed,
        f"rollouts broke, most often at the {boundary}",
        (
            "environment.name=...  (another, or yours mended: assay check env NAME)",
            "rollout_retries=5  (where the cause comes and goes)",
            "limits.step_timeout_seconds=1200  (where it is slow)",
        ),
    )


def _failures(chart: Chart, failed: Sequence[Attempt], what: str, remedies: tuple[str, ...]) -> Symptom | None:
    if len(failed) < max(LEAST_FAILURES, FAILURES * len(chart.late)):
        return None
    reason, times = Counter(_cause(each) for each in failed).most_common(1)[0]
    return Symptom(
        f"{len(failed)} of {len(chart.late)} {what}; {times} times: {reason}",
        {"share": round(len(failed) / len(chart.late), 4), "rollouts": len(chart.late)},
        next(each.step for each in chart.attempts if _cause(each) == reason),
        failed[-1].place,
        remedies,
    )


def _cause(attempt: Attempt) -> str:
    # The same failure on another task is the same failure.
    return (attempt.reason or attempt.ending_reason).replace(attempt.task_id, "...")[:200]


def _seen(chart: Chart) -> Symptom | str | None:
    if not chart.seen_in_test:
        return None
    by_split = Counter(split for _, split in chart.seen_in_test)
    ids = {task_id for task_id, _ in chart.seen_in_test}
    first = next((attempt for attempt in chart.attempts if attempt.task_id in ids), None)
    splits = ", ".join(f"{number} of {split}" for split, number in by_split.items())
    return Symptom(
        f"{len(ids)} tasks were trained on and measured ({splits}): the gain is partly memory",
        {"tasks": len(ids), **{f"tasks_of_{split}": number for split, number in by_split.items()}},
        None if first is None else first.step,
        None if first is None else first.place,
        (
            "environment.test_path=...  (tasks of their own for the test)",
            "environment.name=...  (one whose splits are disjoint: assay check env NAME)",
        ),
    )


def _curriculum(chart: Chart) -> Symptom | str | None:
    levels = chart.setting("curriculum.levels", [])
    if chart.setting("curriculum.name") != "level_by_level" or len(levels) < 2:
        return None
    window = int(chart.setting("curriculum.window", 32))
    per_step, num_steps = int(chart.setting("groups_per_step", 8)), int(chart.setting("num_steps", 1))
    advance_at = float(chart.setting("curriculum.advance_at", 0.7))
    if window > per_step * num_steps:
        return Symptom(
            f"the curriculum looks at {window} groups of a level before it moves on, and the whole run has "
            f"{per_step * num_steps}: it stays at the first level",
            {"window": window, "groups_of_the_run": per_step * num_steps},
            None,
            chart.attempts[-1].place if chart.attempts else None,
            (f"curriculum.window={max(1, per_step * num_steps // (4 * len(levels)))}",),
        )
    frontier = chart.series("curriculum/frontier_level")
    solved = dict(chart.series("curriculum/frontier_solved_share"))
    if not frontier:
        return "the curriculum has recorded no level"
    level = frontier[-1][1]
    stood = [step for step, value in frontier if value == level]
    steps_of_window = max(1, -(-window // per_step))
    if level >= len(levels) - 1 or len(stood) < STANDS * steps_of_window + 1:
        return None
    now = [solved[step] for step in stood[-steps_of_window:] if step in solved]
    before = [solved[step] for step in stood[-2 * steps_of_window : -steps_of_window] if step in solved]
    if not now or not before or statistics.fmean(now) - statistics.fmean(before) >= PROGRESS:
        return None
    share = statistics.fmean(now)
    lower = (f"curriculum.advance_at={max(0.05, round(0.8 * share, 2)):g}",) if share > 0.1 else ()
    return Symptom(
        f"the curriculum has stood at its level {int(level) + 1} of {len(levels)} for {len(stood)} steps, at "
        f"{share:.0%} solved where {advance_at:.0%} is needed, and does not come nearer",
        {"steps": len(stood), "solved_share": round(share, 4), "advance_at": advance_at, "window": window},
        stood[0],
        chart.late[-1].place if chart.late else None,
        (*lower, "curriculum.name=learnability  (chooses levels by what is learned from them)"),
    )


VERIFIER = Rule(
    "verifier fails",
    f"{FAILURES:.0%} of the rollouts of the last quarter, and at least {LEAST_FAILURES}, ended and have no score",
    _verifier,
)
ENVIRONMENT = Rule(
    "environment breaks",
    f"{FAILURES:.0%} of the rollouts of the last quarter, and at least {LEAST_FAILURES}, broke",
    _environment,
)
SEEN_IN_TEST = Rule("seen in test", "a task that was trained on is in a validation or a test", _seen)
CURRICULUM = Rule(
    "curriculum stands still",
    f"level by level, at the same level for more than {STANDS} windows without a gain of {PROGRESS:.0%} from one to "
    "the next; or its window is longer than the run",
    _curriculum,
    explained_by=("no reward", "step without effect", "adapter does not learn", "step too large", "entropy collapse"),
)

"""Rules about rewards: nothing is earned, groups do not differ, one answer is left."""

from __future__ import annotations

import statistics

from assay.doctor.chart import Chart
from assay.doctor.finding import Rule, Symptom
from assay.statistics import wilson

LEAST_ROLLOUTS = 48
LEAST_GROUPS = 8
LITTLE_SIGNAL = 0.1
"""Share of groups with different rewards below which there is nothing to learn from."""
ALL_THE_SAME = 0.8
"""Share of groups whose members all say the same from which on the policy explores nothing."""
ENOUGH = 0.9
"""Mean reward at which saying the same is no fault: the task is learned."""


def _no_reward(chart: Chart) -> Symptom | str | None:
    measured = [attempt for attempt in chart.late if attempt.value is not None]
    if len(measured) < LEAST_ROLLOUTS:
        return f"{len(measured)} measured rollouts in the last {len(chart.late_steps)} steps, {LEAST_ROLLOUTS} needed"
    values = [attempt.value or 0.0 for attempt in measured]
    is_graded = all(attempt.verdict == "graded" for attempt in measured)
    if any(attempt.verdict == "solved" for attempt in measured) or min(values) < max(values):
        return None
    if not is_graded and max(values) > 0:
        return None
    share = wilson(0, len(measured))
    return Symptom(
        f"none of {len(measured)} rollouts earned anything"
        if not is_graded
        else f"all {len(measured)} rollouts earned {values[0]:g}",
        {"rollouts": len(measured), "reward": values[0], "solved_share_at_most": round(share.high, 4)},
        chart.since(lambda attempt: attempt.value is None or attempt.value == values[0]),
        measured[-1].place,
        (
            "curriculum.levels=[{complexity=1}]  (easier tasks, where the environment has the dial)",
            "scaffold.name=react  (help that is faded out)",
            "algorithm.name=sft  (a cold start on demonstrations: assay demonstrate MODEL --output demos.jsonl)",
        ),
    )


def _no_variance(chart: Chart) -> Symptom | str | None:
    groups = chart.late_groups
    if len(groups) < LEAST_GROUPS:
        return f"{len(groups)} groups of several measured rollouts, {LEAST_GROUPS} needed"
    alike = [group for group in groups if len({attempt.value for attempt in group}) == 1]
    share = 1 - len(alike) / len(groups)
    if share >= LITTLE_SIGNAL:
        return None
    mean = statistics.fmean(attempt.value or 0.0 for group in groups for attempt in group)
    too_easy = mean >= ENOUGH
    remedies = (
        "curriculum.levels=[{complexity=3}]  (harder tasks: these are learned)"
        if too_easy
        else "curriculum.levels=[{complexity=1}]  (tasks that are solved sometimes)",
        "group_size=16  (more attempts at each task)",
        "algorithm.name=dapo  (leaves out groups without a difference, and draws others)",
        "curriculum.name=learnability  (prefers tasks that are solved sometimes)",
    )
    return Symptom(
        f"in {len(alike)} of {len(groups)} groups all members earned the same: nothing is learned from comparing them",
        {"groups_with_signal_share": round(share, 4), "groups": len(groups), "mean_reward": round(mean, 4)},
        chart.late_steps[0],
        alike[-1][0].place,
        remedies,
    )


def _entropy_collapse(chart: Chart) -> Symptom | str | None:
    groups = chart.late_groups
    if len(groups) < LEAST_GROUPS:
        return f"{len(groups)} groups of several measured rollouts, {LEAST_GROUPS} needed"
    alike = [group for group in groups if len({attempt.response for attempt in group}) == 1 and group[0].response]
    values = [attempt.value or 0.0 for group in groups for attempt in group]
    share, mean = len(alike) / len(groups), statistics.fmean(values)
    if share < ALL_THE_SAME or (mean >= ENOUGH and chart.late[-1].verdict != "graded"):
        return None
    entropy = chart.series("policy/entropy_nats")
    numbers = {"groups_that_say_one_thing_share": round(share, 4), "mean_reward": round(mean, 4)}
    if entropy:
        numbers |= {"entropy_first_nats": round(entropy[0][1], 4), "entropy_now_nats": round(entropy[-1][1], 4)}
    temperature = float(chart.setting("sampling.temperature", 1.0))
    cold = (f"sampling.temperature=1  (it is {temperature:g})",) if temperature < 1 else ()
    return Symptom(
        f"in {len(alike)} of {len(groups)} groups all members say the same word for word: the policy explores nothing "
        "any more",
        numbers,
        chart.late_steps[0],
        alike[-1][0].place,
        (
            *cold,
            f"trainer.learning_rate={float(chart.setting('trainer.learning_rate', 1e-5)) / 5:g}  (smaller steps, from "
            "a checkpoint before the collapse)",
            "sampling.temperature=1.3  (more exploration)",
            "algorithm.kl_coefficient=0.01  (stays near the model that training began with)",
        ),
    )


NO_REWARD = Rule(
    "no reward",
    f"of at least {LEAST_ROLLOUTS} measured rollouts of the last quarter of the steps none is solved or earns "
    "anything, or all earn the same number",
    _no_reward,
    explained_by=(
        "cut off",
        "template",
        "prompt twice",
        "step too large",
        "entropy collapse",
        "sampler-trainer gap",
        "stale weights",
    ),
)
NO_VARIANCE = Rule(
    "no variance",
    f"fewer than {LITTLE_SIGNAL:.0%} of the groups of the last quarter have members with different rewards",
    _no_variance,
    explained_by=("no reward", "entropy collapse", "cut off", "template", "prompt twice", "step too large"),
)
ENTROPY_COLLAPSE = Rule(
    "entropy collapse",
    f"in {ALL_THE_SAME:.0%} of the groups of the last quarter all members say the same, and the mean reward is below "
    f"{ENOUGH}",
    _entropy_collapse,
    explained_by=("step too large",),
)

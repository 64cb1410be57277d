"""What each results page is recomputed from: the files kept beside it, by Assay's own statistics."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import probes
from horizons import long_horizon
from maps import map_page
from people import people
from speeds import median_with_range, speed
from transfers import transfer_page
from verify import Numbers

from assay.evaluation import Evaluation, accuracy_over_seeds, gain_over_seeds
from assay.evaluation.cautions import commonest_response
from assay.evaluation.compare import compare
from assay.evaluation.sweep import KeptRun, read_runs, recompute_table
from assay.statistics import (
    Interval,
    detectable_difference,
    t_interval,
    wilson,
)
from comparisons import rlhf_vs_rlvr

RESULTS = Path(__file__).parent
READINGS = [(decoding, reading) for decoding in ("greedy", "sampled") for reading in ("strict", "lenient")]

NOTHING_KEPT = {
    "programs.md": "what `assay check programs` prints",
    "code_verifier.md": "what benchmarks/code_verifier.py prints",
}
"""Pages whose numbers are made again by running something, and why nothing is kept of them."""


@functools.cache
def runs_of(sweep: str) -> list[KeptRun]:
    return read_runs(RESULTS / sweep)


@functools.cache
def table_of(sweep: str) -> dict[str, Any]:
    return recompute_table(RESULTS / sweep, runs_of(sweep))


def cell_of(sweep: str, cell: str) -> list[KeptRun]:
    """The runs of a cell, by seed."""
    return sorted((run for run in runs_of(sweep) if run.cell == cell), key=lambda run: run.seed)


def read(name: str) -> Any:
    return json.loads((RESULTS / name).read_text(encoding="utf-8"))


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def points(value: float) -> str:
    return f"{100 * value:+.1f}"


def points_with(interval: Any) -> str:
    return f"{points(interval.value)} [{points(interval.low)}, {points(interval.high)}]"


def column(table: dict[str, Any], cell: str, key: str) -> dict[str, float]:
    (found,) = (one["columns"][key] for one in table["cells"] if one["name"] == cell)
    return found


def interval_of(column: dict[str, float]) -> Interval:
    return Interval(column["mean"], column["low"], column["high"])


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def after(run: KeptRun, decoding: str, reading: str) -> Interval:
    return run.test.after[decoding].accuracy(reading)


def over_seeds(runs: Sequence[KeptRun], decoding: str, reading: str) -> Interval:
    """Accuracy after training, over seeds and tasks."""
    found = accuracy_over_seeds([run.test.after[decoding] for run in runs], [reading] * len(runs))
    assert found is not None, "the seeds have other tasks"
    return found


def gains_over_seeds(runs: Sequence[KeptRun], decoding: str, reading: str) -> Interval:
    """The gain, over seeds and tasks."""
    sides = [
        [side[decoding] for side in sides] for sides in zip(*((r.test.before, r.test.after) for r in runs), strict=True)
    ]
    found = gain_over_seeds(*sides, [reading] * len(runs))
    assert found is not None, "the seeds have other tasks"
    return found


def claimed_over_seeds(runs: Sequence[KeptRun]) -> Interval:
    """The gain that each run claims, over seeds and tasks."""
    claims = [run.test.claimed for run in runs]
    sides = [
        [getattr(run.test, side)[claim.decoding] for run, claim in zip(runs, claims, strict=True)]
        for side in ("before", "after")
    ]
    found = gain_over_seeds(*sides, [claim.reading for claim in claims])
    assert found is not None, "the seeds have other tasks"
    return found


def gain(run: KeptRun, decoding: str, reading: str) -> Any:
    return compare(run.test.before[decoding], run.test.after[decoding], reading)


def arithmetic() -> Numbers:
    runs = cell_of("arithmetic", "demo")
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for decoding, reading in READINGS:
        label = f"{'greedy' if decoding == 'greedy' else 'temperature 1'}, {reading}"
        accuracy = over_seeds(runs, decoding, reading)
        gains = points_with(gains_over_seeds(runs, decoding, reading))
        claimed = {(run.test.claimed.decoding, run.test.claimed.reading) for run in runs} == {(decoding, reading)}
        before = runs[0].test.before[decoding].accuracy(reading)
        rows["", label] = [percent(before.value), accuracy.as_percent(), f"**{gains}**" if claimed else gains]
    for run in runs:
        summary = run.summary
        rows["", f"{run.seed} |"] = [
            str(summary["num_steps"]),
            f"{summary['seconds']:.0f}",
            str(summary["best_step"]),
            after(run, "greedy", "lenient").as_percent(),
            points_with(run.test.claimed.difference),
        ]
    smallest = min((run.test.claimed.difference for run in runs), key=lambda found: found.value)
    answers = [row for run in runs for row in run.test.after["greedy"].rows]
    without, with_carry = ([row for row in answers if _carries(row) == carry] for carry in (False, True))
    solved, solved_with = (sum(row.scores["strict"].value == 1 for row in some) for some in (without, with_carry))
    levels = [run.summary["groups_by_level"] for run in runs]
    harder = sum(level.get("c3 h1", 0) for level in levels) / sum(sum(level.values()) for level in levels)
    seconds = [run.summary["seconds"] for run in runs]
    return Numbers(
        rows,
        [
            f"the smallest single seed has {points_with(smallest)}",
            f"{100 * solved / len(without):.0f} % of the sums without a carry out of the units are right "
            f"({solved} of {len(without)}, all seeds together) and {100 * solved_with / len(with_carry):.0f} % of "
            f"those with one ({solved_with} of {len(with_carry)})",
            f"Each run took {min(seconds):.0f} to {max(seconds):.0f} s",
            f"about {100 * harder:.0f} % of the groups were of the level with differences",
        ],
        ["arithmetic"],
    )


def _carries(row: Any) -> bool:
    """Whether the units of "What is 37 + 45?" make a ten."""
    first, second = row.prompt.rpartition("What is ")[2].rstrip("?").split(" + ")
    return int(first[-1]) + int(second[-1]) > 9


ALGORITHMS = {
    "grpo": "[GRPO]",
    "dr_grpo": "[Dr. GRPO]",
    "dapo": "[DAPO]",
    "gspo": "[GSPO]",
    "cispo": "[CISPO]",
    "reinforce": "[REINFORCE]",
    "rloo": "[RLOO]",
    "reinforce_pp": "[REINFORCE++]",
    "reinforce_pp_baseline": "REINFORCE++ with the group's mean",
    "ppo": "[PPO]",
    "expert_iteration": "[Expert iteration]",
    "distillation": "[Distillation]",
    "sft": "[Supervised fine-tuning]",
    "random_reward": "control: random reward",
    "format_reward": "control: reward for form alone",
    "wrong_labels": "control: wrong labels",
}
ON_REWARDS = list(ALGORITHMS)[:11]
CONTROLS = {"random_reward": "random reward", "format_reward": "form alone", "wrong_labels": "wrong labels"}
HARDER = {
    "grpo": "GRPO",
    "dapo": "DAPO",
    "rloo": "RLOO",
    "reinforce_pp": "REINFORCE++",
    "expert_iteration": "Expert iteration",
}


def algorithm_row(sweep: str, cell: str) -> list[str]:
    table = table_of(sweep)
    sampled = mean([after(run, "sampled", "strict").value for run in cell_of(sweep, cell)])
    counts = [column(table, cell, key)["mean"] for key in ("sampled_tokens", "trained_tokens")]
    return [
        percent(column(table, cell, "after.accuracy")["mean"]),
        points_with(interval_of(column(table, cell, "gain.value"))),
        percent(sampled),
        f"{column(table, cell, 'num_steps')['mean']:.0f}",
        *(f"{count:,.0f}" for count in counts),
        f"{column(table, cell, 'seconds')['mean']:.0f}",
    ]


def algorithms() -> Numbers:
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for cell, label in ALGORITHMS.items():
        rows["Two-digit sums", label] = algorithm_row("algorithms", cell)
    for cell, label in HARDER.items():
        rows["A harder family", label] = algorithm_row("harder", cell)
    for cell, label in CONTROLS.items():
        by_seed = [points(run.test.claimed.difference.value) for run in cell_of("algorithms", cell)]
        rows["The controls", label] = [None, *by_seed, None]
    for one in read("pass_at_k/pass_at_k.json")["cells"]:
        of_k = [Interval(**one["mean"][k]).as_percent() for k in ("1", "4", "16", "64")]
        label = {"base": "base", "grpo": "GRPO", **CONTROLS}[one["cell"]]
        # Each task's samples, from which the difference to the base came, were not kept.
        rows["Sharper, or more able?", label] = [*of_k, None]
    gains = {cell: [run.test.claimed.difference.value for run in cell_of("algorithms", cell)] for cell in ON_REWARDS}
    means = [100 * mean(found) for found in gains.values()]
    table, harder = table_of("algorithms"), table_of("harder")
    harder_means = [100 * column(harder, cell, "gain.value")["mean"] for cell in HARDER]
    apart, harder_apart = (100 * one["detectable_difference"]["gain.value"] for one in (table, harder))
    apart_on_rewards = 100 * (detectable_difference(list(gains.values())) or math.nan)
    left, second, third = map(points, gains["reinforce"])
    return Numbers(
        rows,
        [
            f"before {percent(column(table, 'grpo', 'before.accuracy')['mean'])} (greedy, lenient)",
            f"gains, {min(means):.0f} to {max(means):.0f} points on average",
            f"two means of three seeds would have had to differ by {apart:.0f} points",
            f"(distillation and imitation left out) by {apart_on_rewards:.0f}. These eleven differ by "
            f"{max(means) - min(means):.1f} at most, and {len(means) * (len(means) - 1) // 2} pairs",
            f"One seed of REINFORCE ({left}, the others {third} and {second})",
            f"would have had to differ by {harder_apart:.0f} points to be told apart, and they differ by "
            f"{max(harder_means) - min(harder_means):.0f}",
        ],
        ["algorithms", "harder"],
    )


FAMILIES = {"chain_sum": "reasoning_gym", "letter_counting": "reasoning_gym", "count_bits": "reasoning_gym"}
FAMILIES["basic_arithmetic"] = "harder"
TRAINED_AT = {"basic_arithmetic": 1.0, "chain_sum": 2.0, "letter_counting": 2.0, "count_bits": 2.0}


def reasoning_gym() -> Numbers:
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    survey = {(one["family"], one["complexity"]): one for one in read("reasoning_gym/survey.json")["cells"]}
    for (family, complexity), one in survey.items():
        if "problem" in one:
            cells = [*"------", one["problem"]]
        else:
            shares = [Interval(**one[key]) for key in ("greedy", "pass_at_1", "pass_at_k")]
            learnable = "yes" if 0.05 <= shares[2].value <= 0.6 else ""
            cells = [str(one["num_tasks"]), *(share.as_percent() for share in shares)]
            cells += [percent(one["constant"]["share"]), f"{one['mean_tokens']:.0f}", learnable]
        rows["Before", f"`{family}` | {complexity:g} |"] = [f"{complexity:g}", *cells]
    for family, sweep in FAMILIES.items():
        runs = cell_of(sweep, "grpo" if sweep == "harder" else family)
        tests = [run.test.to_dict() for run in runs]
        both = points_with(claimed_over_seeds(runs))
        if family == "basic_arithmetic":
            both = f"**{both}**"
        rows["After", f"`{family}`"] = [
            percent(survey[family, TRAINED_AT[family]]["pass_at_k"]["value"]),
            percent(tests[0]["before"]["accuracy"]),
            *(percent(test["after"]["accuracy"]) for test in tests),
            both,
            percent(tests[0]["commonest_answer"]["share"]),
            ", ".join(f"{100 * commonest_response(run.test.after['greedy']).share:.0f}" for run in runs) + " %",
        ]
    by_task = {
        family: [points_with(run.test.claimed.difference) for run in cell_of("reasoning_gym", family)]
        for family in ("chain_sum", "letter_counting", "count_bits")
    }
    by_size = sorted((run.test.claimed.difference for run in cell_of("harder", "grpo")), key=lambda one: one.value)
    return Numbers(
        rows,
        [
            f"every seed gains, by {points_with(by_size[0])} to {points_with(by_size[-1])} over its tasks",
            f"each seed gains over its tasks ({', '.join(by_task['chain_sum'])})",
            f"has an interval over tasks that excludes 0 ({by_task['letter_counting'][0]}; {by_task['count_bits'][0]})",
        ],
        ["reasoning_gym", "harder"],
    )


def code() -> Numbers:
    programs, mbpp = cell_of("code", "programs"), cell_of("code", "mbpp")
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for decoding, label in (("sampled", "temperature 1"), ("greedy", "greedy")):
        both = points_with(gains_over_seeds(programs, decoding, "strict"))
        rows["Programs", label] = [
            programs[0].test.before[decoding].accuracy("strict").as_percent(),
            *(after(run, decoding, "strict").as_percent() for run in programs),
            both,
        ]
    before, afters = mbpp[0].test.before["greedy"], [run.test.after["greedy"] for run in mbpp]
    rows["MBPP", "solved"] = [
        before.accuracy("strict").as_percent(),
        *(found.accuracy("strict").as_percent() for found in afters),
        points_with(gains_over_seeds(mbpp, "greedy", "strict")),
    ]
    shares = [mean([row.scores["share"].value or 0.0 for row in found.rows]) for found in (before, *afters)]
    rows["MBPP", "share of asserts"] = [
        *map(percent, shares),
        points_with(t_interval([share - shares[0] for share in shares[1:]])),
    ]
    rows["MBPP", "tokens an answer"] = [*(f"{found.mean_tokens:.0f}" for found in (before, *afters)), ""]
    habits = "What it learned to write, and what it tried"
    solved = [programs[0].test.before["greedy"].accuracy("strict").value]
    solved.append(mean([after(run, "greedy", "strict").value for run in programs]))
    answers = [before.rows, [row for found in afters for row in found.rows]]
    rows[habits, "solved"] = [*map(percent, solved), *(percent(_reason_share(some, "")) for some in answers)]
    for reason in ("wrong answer", "runtime error"):
        rows[habits, reason] = [None, None, *(percent(_reason_share(some, reason)) for some in answers)]
    by_seed = [points_with(gain(run, "greedy", "strict")) for run in programs]
    changed = [gain(run, "greedy", "strict") for run in mbpp]
    return Numbers(
        rows,
        [
            f"By seed, the greedy gain is {by_seed[0]}, {by_seed[1]} and {by_seed[2]}",
            f"Task by task: {changed[0].num_improved} gained and {changed[0].num_worsened} lost, "
            + ", ".join(f"{one.num_improved} and {one.num_worsened}" for one in changed[1:]),
        ],
        ["code"],
    )


def _reason_share(rows: Sequence[Any], reason: str) -> float:
    return mean([float(row.scores["strict"].reason == reason) for row in rows])


def gsm8k() -> Numbers:
    (run,) = runs_of("gsm8k")
    before, tested = run.test.before["greedy"], run.test.after["greedy"]
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for reading in ("strict", "lenient"):
        found = gain(run, "greedy", reading)
        claimed = run.test.claimed.reading == reading
        shown = f"{points_with(found)}, p = {found.p_value:.2f}" if claimed else points_with(found)
        rows["", reading] = [before.accuracy(reading).as_percent(), tested.accuracy(reading).as_percent(), shown]
    answer = run.test.to_dict()["commonest_answer"]
    rows["", f"always `{answer['text']}`"] = [percent(answer["share"])] * 2 + [""]
    rows["", "cut off"] = [f"{100 * _cut_off(found):.0f} %" for found in (before, tested)] + [""]
    lenient = gain(run, "greedy", "lenient")
    return Numbers(rows, [f"{lenient.num_improved} tasks were won and {lenient.num_worsened} lost"])


def _cut_off(found: Evaluation) -> float:
    return mean([float(row.ending.startswith("truncated")) for row in found.rows])


def growth() -> Numbers:
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for name, curve in read("growth.json")["curves"].items():
        sizes, seconds = curve["sizes"], curve["seconds"]
        shown = [f"{size:,.0f}" if size > 1000 else f"{size:.4g}" for size in (sizes[0], sizes[-1])]
        ends = [f"{size}: {took:.3g} s" for size, took in zip(shown, (seconds[0], seconds[-1]), strict=True)]
        slopes = [f"{_slope(sizes[start:], seconds[start:]):.2f}" for start in (0, -2)]
        rows["", name] = [*ends, *slopes, None]
    return Numbers(rows)


def _slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Of log seconds over log size, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def step() -> Numbers:
    kept = read("step/step.json")
    rows: dict[tuple[str, str], Sequence[str | None]] = {
        ("", label): [
            median_with_range(kept[side]["seconds"]),
            f"{kept[side]['median_response_tokens']:.1f}",
            f"{kept[side]['peak_gigabytes']:.1f} GB",
        ]
        for side, label in (("assay", "Assay"), ("trl", "TRL's GRPOTrainer"))
    }
    pairs = [theirs / ours for ours, theirs in zip(kept["assay"]["seconds"], kept["trl"]["seconds"], strict=True)]
    ratios = median_with_range(pairs)
    return Numbers(rows, [f"**{ratios.split(' ')[0]} times as fast** {ratios.partition(' ')[2]}"])


def verifiers() -> Numbers:
    kept = read("verifiers.json")
    rows: dict[tuple[str, str], Sequence[str | None]] = {}
    for name, label, digits in (("numbers", "4,000 plain numbers", 0), ("expressions", "400 expressions", 1)):
        one = kept[name]
        rows["Speed beside math-verify", label] = [
            f"{one['ours_per_second']:,.0f}",
            f"{one['math_verify_per_second']:,.0f}",
            f"{one['ratio']:.{digits}f} [{one['ratio_low']:.{digits}f}, {one['ratio_high']:.{digits}f}]",
            f"{one['wrong_ours']} and {one['wrong_math_verify']}",
        ]
    for one in kept["answers"]:
        interval = wilson(one["errors"], one["of"])
        rows["Answers that others wrote", one["answers"]] = [
            f"{one['errors']}",
            f"{one['of']:,}",
            f"{100 * interval.value:.2f} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]",
        ]
    rows_, bombs, took = (kept["bombs"][key] for key in ("rows", "bombs", "seconds"))
    return Numbers(rows, [f"all {rows_ - bombs:,} solved, all {bombs} failed, in {took:.1f} s"])


def sandbox() -> Numbers:
    kept = read("sandbox_soak.json")
    before, later = kept["before"], kept["after"]
    rows: dict[tuple[str, str], Sequence[str | None]] = {
        ("Endurance", "runs"): [f"{kept['runs']:,} in {kept['seconds']:.0f} s"],
        ("Endurance", "quarters"): [", ".join(f"{took}" for took in kept["seconds_of_quarters"]) + " s"],
        ("Endurance", "verdicts that were right"): [f"{kept['verdicts']['right']:,}"],
        ("Endurance", "descriptors"): [f"{before['descriptors']} and {later['descriptors']}, of the workers that wait"],
        ("Endurance", "memory"): [f"{before['memory_mib']} and {later['memory_mib']} MiB"],
        ("Endurance", "processes left"): [str(kept["processes_left"])],
    }
    return Numbers(rows)


def whole(name: str) -> Numbers:
    """A page that is written by what reads its runs."""
    return Numbers(phrases=[" ".join(import_module(name).page(read(f"{name}/runs.json")).split())])


PAGES: dict[str, Callable[[], Numbers]] = {
    "algorithms.md": algorithms,
    "arithmetic.md": arithmetic,
    "code.md": code,
    "growth.md": growth,
    "gsm8k.md": gsm8k,
    "long_horizon.md": long_horizon,
    **{f"{name}.md": functools.partial(whole, name) for name in ("doctor", "hacking")},
    **{f"{name}.md": page for name, page in probes.PAGES.items()},
    "map.md": map_page,
    "people.md": people,
    "rlhf_vs_rlvr.md": rlhf_vs_rlvr,
    "reasoning_gym.md": reasoning_gym,
    "sandbox.md": sandbox,
    "speed.md": speed,
    "step.md": step,
    "transfer.md": transfer_page,
    "verifiers.md": verifiers,
}

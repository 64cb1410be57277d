"""Trajectories of simulated learners with known curves, and of stores that were written by hand."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import RunFolderError
from assay.evaluation.trajectories import (
    Law,
    SeedRuns,
    Skill,
    area,
    compare_trajectories,
    first_reached,
    fit_law,
    judge_law,
    order_of_skills,
    plateaus,
    read_trajectory,
    sharpening,
    time_to,
    turnover,
)
from assay.evaluation.trajectories.measures import areas
from assay.observe.store import BEFORE_TRAINING, RunStore

AXIS = np.array([0.0, 10.0, 20.0, 30.0])


def skill(*rows: str, name: str = "c1 h1") -> Skill:
    """A skill of tasks by their probes: "0011" is failed, failed, solved, solved; "-" is not measured."""
    values = np.array([[math.nan if mark == "-" else float(mark) for mark in row] for row in rows]).T
    ids = tuple(f"{name} {index}" for index in range(len(rows)))
    return Skill(name, ids, values, ((),) * len(values), (None,) * len(values))


def learned_at(*probes: int, num_probes: int = 8, name: str = "c1 h1") -> Skill:
    """Tasks that are solved from one probe on."""
    return skill(*("0" * probe + "1" * (num_probes - probe) for probe in probes), name=name)


# ---- when a threshold is reached ----


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.0, 0.4, 0.6, 0.8], 15.0),
        ([0.5, 0.5, 0.2, 0.2], 0.0),
        ([0.0, 0.6, 0.4, 0.4], math.inf),  # one lucky probe
        ([0.0, 0.6, 0.4, 0.9], math.inf),  # the last is not confirmed
        ([0.0, 0.1, 0.2, 0.3], math.inf),
        ([0.0, math.nan, 0.7, 0.7], 20.0),
    ],
)
def test_first_reached(shares: list[float], expected: float) -> None:
    assert first_reached(np.array(shares), AXIS, 0.5) == pytest.approx(expected)


def test_time_to_a_threshold_has_an_interval_over_tasks() -> None:
    axis = np.arange(8) * 100.0
    found = time_to(learned_at(*[1, 2, 3, 4, 5] * 8), axis, 0.5)
    # Shares 0.2, 0.4, 0.6 at 100, 200, 300: half is reached between 200 and 300.
    assert found.value == pytest.approx(250.0)
    assert 150 < found.low < 250 < found.high < 350
    assert found.share == 1.0
    same = time_to(learned_at(*[1, 2, 3, 4, 5] * 8), axis, 0.5)
    assert same == found, "the same draws each time"


def test_not_reached_is_no_number() -> None:
    never = time_to(learned_at(8, 8, 8), np.arange(8.0), 0.5)
    assert never.to_dict() == {"value": None, "low": None, "high": None, "share": 0.0, "is_reached": False}
    maybe = time_to(learned_at(*[2] * 11, *[8] * 10), np.arange(8.0), 0.5)
    assert math.isfinite(maybe.value)
    assert maybe.high == math.inf
    assert 0.3 < maybe.share < 0.8
    assert maybe.to_dict()["high"] is None


def test_the_interval_of_tokens_to_threshold_covers_what_other_tasks_would_have_given() -> None:
    """Tasks are learned at times drawn from a known distribution, whose median is the truth."""
    generator = np.random.default_rng(0)
    axis, covered = np.arange(21.0), 0
    for _ in range(60):
        probes = np.clip(np.ceil(generator.normal(10.0, 3.0, size=48)), 1, 20).astype(int)
        one = learned_at(*probes.tolist(), num_probes=21)
        found = time_to(one, axis, 0.5)
        # A task learned at time t is solved at the probe ceil(t): linear between probes, half are at 9.5 to 10.
        covered += found.low <= 10.0 <= found.high + 0.5
    assert covered >= 53  # 95 % of 60 is 57, two standard deviations less is 53.6


# ---- area, turnover, plateaus ----


def test_the_area_by_hand() -> None:
    one = skill("0011", "0001", "1111", "0-11")
    assert areas(one, AXIS) == pytest.approx({"c1 h1 0": 0.5, "c1 h1 1": 1 / 6, "c1 h1 2": 1.0})
    found = area(one, AXIS)
    assert found is not None
    assert found.value == pytest.approx((0.5 + 1 / 6 + 1) / 3)
    # Up to 15: of the first task 0 until 10, then a line to 1/2.
    assert areas(one, AXIS, until=15.0)["c1 h1 0"] == pytest.approx(0.25 * 5 / 15)
    assert area(skill("0-11"), AXIS) is None


def test_turnover_by_hand() -> None:
    found = turnover(skill("0110", "1101", "0100", "0000", "0111", "-111"))
    assert found is not None
    # Of five measured throughout: one forgotten, one relearned, one never; a single lucky probe was not learned.
    assert (found.forgotten.value, found.relearned.value, found.never.value) == (0.2, 0.2, 0.2)
    assert turnover(skill("0-11")) is None


@pytest.mark.parametrize(
    ("before", "after", "change", "verdict"),
    [
        # pass@1 and pass@4 of (4, 2) are 0.5 and 1; of half (4, 4) and half (4, 0), 0.5 and 0.5.
        ([2] * 40, [4, 0] * 20, (0.0, -0.5), "less able: 4 attempts solve less"),
        ([0] * 40, [1] * 40, (0.25, 1.0), "more able: tasks are solved in 4 attempts that were not"),
        ([2] * 40, [4] * 40, (0.5, 0.0), "sharper: one attempt solves more, and that 4 attempts do is not shown"),
        ([1] * 40, [4, 4, 4, 0] * 10, (0.5, -0.25), "sharper and narrower: one attempt solves more, and 4 attempts"),
        ([4] * 40, [2] * 40, (-0.5, 0.0), "less sharp: one attempt solves less"),
        ([2] * 40, [2] * 40, (0.0, 0.0), "neither sharper nor more able is shown"),
    ],
)
def test_sharper_or_more_able(before: list[int], after: list[int], change: tuple[float, float], verdict: str) -> None:
    of = skill(*["011"] * 41)
    # The last task has no attempts at the end, and is in no pair; the probe between had none at all.
    sampled = (*[(4, count) for count in before], (4, 4)), (), (*[(4, count) for count in after], (0, 0))
    found = sharpening(Skill(of.name, of.task_ids, of.solved, sampled, of.tokens))
    assert found is not None
    assert (found.k, found.num_tasks) == (4, 40)
    assert (found.pass_at_1.value, found.pass_at_k.value) == pytest.approx(change)
    assert found.verdict.startswith(verdict)


def test_one_attempt_or_one_probe_of_them_tells_nothing_of_sharpness() -> None:
    of = skill("01", "01")
    for sampled in (((), ()), ((), ((4, 1), (4, 2))), (((1, 0), (1, 1)), ((1, 1), (1, 1)))):
        assert sharpening(Skill(of.name, of.task_ids, of.solved, sampled, of.tokens)) is None


def test_plateaus() -> None:
    axis = np.arange(10) * 100.0
    curve = [0.1, 0.3, 0.5, 0.5, 0.5, 0.5, 0.5, 0.7, 0.9, 1.0]
    rows = ["".join("1" if task < round(10 * share) else "0" for share in curve) for task in range(10)]
    (found,) = plateaus(skill(*rows), axis)
    assert (found.start, found.end, found.share, found.num_probes) == (200.0, 600.0, 0.5, 5)
    assert plateaus(learned_at(1, 2, 3, 4, 5, 6), np.arange(8.0)) == []


# ---- the order of skills ----


def test_the_order_of_skills_with_its_uncertainty_over_runs() -> None:
    axis = np.arange(8.0)
    early, late = learned_at(*[2] * 6, name="c1 h1"), learned_at(*[5] * 6, name="c2 h1")
    never = learned_at(*[8] * 6, name="c3 h1")
    runs = [({"c1 h1": early, "c2 h1": late, "c3 h1": never}, axis)] * 3
    order, pairs = order_of_skills(runs, 0.5)
    assert order == ["c1 h1", "c2 h1", "c3 h1"]
    first = pairs[0]
    assert (first.first, first.second, first.num_runs, first.share.value, first.probability) == (
        *("c1 h1", "c2 h1"),
        *(3, 1.0, 1.0),
    )
    assert first.share.low < 0.5, "three runs do not show an order"
    # Neither was reached: the pair says nothing of them.
    _, none = order_of_skills([({"a": learned_at(8, name="a"), "b": learned_at(8, name="b")}, axis)], 0.5)
    assert none == []


# ---- the law ----


def test_a_learner_of_the_law_is_recovered_and_its_second_half_foretold() -> None:
    law = Law(0.1, 0.9, 400.0, 2.0)
    axis = np.linspace(0.0, 2000.0, 21)
    num_tasks = 200
    shares = [0.1, *law.at(axis[1:])]
    rows = ["".join("1" if task < round(num_tasks * share) else "0" for share in shares) for task in range(num_tasks)]
    found = judge_law(skill(*rows), axis)
    assert found is not None
    assert found.ceiling.low < 0.9 < found.ceiling.high
    assert found.law.midpoint == pytest.approx(400, rel=0.05)
    assert found.error is not None
    assert found.error_of_no_change is not None
    assert found.error < 0.02 < found.error_of_no_change
    assert "better than no change" in found.verdict


def test_a_run_that_breaks_in_its_second_half_was_not_foretold() -> None:
    axis = np.linspace(0.0, 2000.0, 21)
    shares = np.where(axis <= 1000, axis / 2000, 0.5 - (axis - 1000) / 2500)
    rows = ["".join("1" if task < round(100 * share) else "0" for share in shares) for task in range(100)]
    found = judge_law(skill(*rows), axis)
    assert found is not None
    assert "did not foretell" in found.verdict


def test_too_few_probes_for_a_law() -> None:
    assert judge_law(learned_at(1, 2, num_probes=4), AXIS) is None
    few = judge_law(learned_at(1, 2, 3, num_probes=6), np.arange(6.0))
    assert few is not None
    assert few.first_half is None
    assert "foretells nothing" in few.verdict
    with pytest.raises(ValueError, match="got 3: "):
        fit_law([0.0, 1.0, 2.0], [0.0, 0.5, 0.6])


# ---- from stores ----


def write_run(folder: Path, learned: dict[str, list[int]], *, num_probes: int = 5, samples: int = 0) -> Path:
    """A run of steps of 100 tokens, one update and 2 seconds, with a probe at the start and after every other step."""
    folder.mkdir(parents=True)
    with RunStore(folder / "run.sqlite") as store:
        for step in range(2 * (num_probes - 1)):
            metrics = {"rollout/total_sampled_tokens": 100.0 * (step + 1), "train/num_tokens": 90.0}
            store.record_step(
                step,
                {**metrics, "train/num_updates": 1.0, "time/step_seconds": 2.0, "policy/entropy_nats": 1 / (step + 1)},
            )
        for probe in range(num_probes):
            step = BEFORE_TRAINING if probe == 0 else 2 * probe - 1
            store.record_evaluation(
                step,
                split="validation",
                decoding="greedy",
                reading="strict",
                accuracy=0.5,
                low=0.1,
                high=0.9,
                num_tasks=4,
            )
            rows = [
                row(name, index, probe >= at) for name, probes in learned.items() for index, at in enumerate(probes)
            ]
            store.record_evaluation_rows(step, "validation", "greedy", rows)
            sampled = [{**each, "sample": sample} for each in rows for sample in range(samples)]
            if sampled:
                store.record_evaluation_rows(step, "validation", "sampled", sampled)
    return folder


def row(name: str, index: int, solved: bool) -> dict[str, Any]:
    domain, _, level = name.partition(" ")
    verdict = "solved" if solved else "failed"
    return {
        "task_id": f"{name} {index}",
        "sample": 0,
        "domain": domain,
        "level": level,
        "verdict": verdict,
        "error": "" if solved else ("cut off" if index else "wrong"),
        "num_tokens": 5,
    }


def test_a_run_is_read_with_all_its_axes(tmp_path: Path) -> None:
    run = read_trajectory(write_run(tmp_path / "a", {"sums c1 h1": [1, 2], "chain c2 h1": [3, 9]}, samples=4))
    assert run.steps == (0, 2, 4, 6, 8)
    assert run.axes == {
        "steps": (0, 2, 4, 6, 8),
        "sampled_tokens": (0, 200, 400, 600, 800),
        "trained_tokens": (0, 180, 360, 540, 720),
        "updates": (0, 2, 4, 6, 8),
        "seconds": (0, 4, 8, 12, 16),
    }
    assert list(run.skills) == ["all", "sums c1 h1", "chain c2 h1"]
    assert [point.value for point in run.skills["all"].curve() if point] == [0, 0.25, 0.5, 0.75, 0.75]
    assert [point.value for point in run.skills["all"].pass_at(4) if point] == [0, 0.25, 0.5, 0.75, 0.75]
    assert run.skills["all"].most_samples == 4
    assert run.skills["all"].tokens == (5, 5, 5, 5, 5)
    with pytest.raises(RunFolderError, match="no axis 'epochs'; it has steps, sampled_tokens"):
        run.axis("epochs")


def test_kinds_of_errors_are_shares_of_tasks(tmp_path: Path) -> None:
    run = read_trajectory(write_run(tmp_path / "a", {"sums c1 h1": [1, 2, 9], "chain c2 h1": [3]}))
    curves = run.skills["all"].error_curves()
    # Task 0 of each level fails by "wrong" and the others by "cut off", until they are solved.
    assert {kind: [point.value for point in points if point] for kind, points in curves.items()} == {
        "cut off": [0.5, 0.5, 0.25, 0.25, 0.25],
        "wrong": [0.5, 0.25, 0.25, 0.0, 0.0],
    }
    assert list(run.skills["chain c2 h1"].error_curves()) == ["wrong"]


def test_a_probe_of_before_kinds_were_kept_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = row
    monkeypatch.setitem(
        globals(), "row", lambda *of: {name: value for name, value in kept(*of).items() if name != "error"}
    )
    assert read_trajectory(write_run(tmp_path / "a", {"sums c1 h1": [1, 2]})).skills["all"].errors == {}


def test_a_run_without_kept_probes(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "a", {"sums c1 h1": [1]}, num_probes=1)
    with pytest.raises(RunFolderError, match="the answers of 1 probes, and a trajectory needs two"):
        read_trajectory(folder)


def test_runs_are_compared_in_pairs_up_to_where_the_shorter_ends(tmp_path: Path) -> None:
    slow = read_trajectory(write_run(tmp_path / "a", {"sums c1 h1": [3] * 20}))
    fast = read_trajectory(write_run(tmp_path / "b", {"sums c1 h1": [1] * 20}, num_probes=9))
    found = compare_trajectories(SeedRuns("a", (slow,)), SeedRuns("b", (fast,)), "sampled_tokens")
    assert [(each.skill, each.measure, each.num_tasks, each.covers_seeds) for each in found] == [
        ("all", "area", 20, False),
        ("all", "last", 20, False),
    ]
    assert found[0].difference.value == pytest.approx(0.5)  # half of 800 tokens sooner
    assert found[0].difference.low > 0.2
    assert found[1].difference.value == 0.0
    seeds = compare_trajectories(SeedRuns("a", (slow, slow)), SeedRuns("b", (fast, fast)), "sampled_tokens")
    assert seeds[0].covers_seeds
    other = read_trajectory(write_run(tmp_path / "c", {"other c1 h1": [1] * 20}))
    assert compare_trajectories(SeedRuns("a", (slow,)), SeedRuns("c", (other,)), "sampled_tokens") == []


@pytest.mark.usefixtures("pictures")
def test_the_command(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", {"sums c1 h1": [1] * 8 + [2] * 8, "sums c2 h1": [5] * 16}, num_probes=12)
    second = write_run(tmp_path / "second", {"sums c1 h1": [4] * 16, "sums c2 h1": [99] * 16}, num_probes=12, samples=2)
    arguments = ["trajectories", str(first), f"{second},{second}", "--fit"]
    arguments += ["--plot", str(tmp_path / "curves.svg"), "--json", str(tmp_path / "out.json")]
    shown = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    for text in (
        "not reached",
        "c1 h1 before c2 h1",
        "pass@2 at temperature 1",
        "c1 h1: pass@1 +100.0 [",
        "points: more able: tasks are solved in 2 attempts that were not",
        "pass@k was not measured",
        "law tends to",
    ):
        assert text in shown.output, text
    assert re.search(r"response length, greedy: first 5\.0, last 5\.0", shown.output)
    assert (tmp_path / "curves.svg").read_text().startswith("<?xml")
    written = json.loads((tmp_path / "out.json").read_text())
    reached = written["sides"][1]["runs"][0]["skills"]["c2 h1"]["reached"]
    assert reached == {"value": None, "low": None, "high": None, "share": 0.0, "is_reached": False}
    assert written["sides"][0]["order"] == ["c1 h1", "c2 h1"]
    for wrong, why in (["--threshold", "0"], "no solved share"), (["--plot", "a.gif"], "png or .svg"):
        refused = CliRunner().invoke(app, ["trajectories", str(first), *wrong])
        assert why in str(refused.exception)


def test_runs_of_one_name_are_two_curves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []
    monkeypatch.setattr("assay.observe.plots.plot_trajectories", lambda path, axis, series: drawn.append(series))
    runs = [write_run(tmp_path / cell / "seed-1", {"sums c1 h1": [1] * 8}) for cell in ("fresh", "stale")]
    arguments = ["trajectories", *map(str, runs), "--plot", str(tmp_path / "curves.svg")]
    shown = CliRunner().invoke(app, arguments)
    assert shown.exit_code == 0, shown.output
    assert [(name, len(curves)) for name, curves in drawn[0]["all"].items()] == [(str(run), 1) for run in runs]

"""Each curriculum chooses what it says it chooses, shown on learners with known curves."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from assay.components import component_names, make_component
from assay.config import validate
from assay.curriculum import (
    ArmCurriculum,
    CurriculumSettings,
    Learnability,
    LearnabilityCurriculum,
    LearningProgressCurriculum,
    PrioritisedReplayCurriculum,
    RehearsalCurriculum,
)
from assay.curriculum.arms import SHARE
from assay.curriculum.learnability import learnability
from assay.curriculum.learning_progress import progress
from assay.curriculum.prioritised_replay import mean_absolute_advantage, replay_probabilities
from assay.environments import Environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.mixture import Mixture, as_mixture
from assay.errors import CheckpointError, ConfigError
from assay.recipe import RunConfig
from assay.types import Score
from simulated_learner import SimulatedLearner, group_of

FOUR = [{"complexity": level} for level in (1, 2, 3, 4)]
NEW = ("uniform", "learnability", "learning_progress", "prioritised_replay", "rehearsal")
HARD = {f"arithmetic c{level} h1": 2.5 * (level - 1) for level in (1, 2, 3, 4)}


def make(name: str, seed: int = 0, environment: Environment | None = None, **options: Any) -> Any:
    settings = make_component(CurriculumSettings, name, {"levels": FOUR, **options})
    return settings.begin(environment or Arithmetic(), seed)


def mixture(*parts: dict[str, Any]) -> Mixture:
    return validate(Mixture, {key: value for key, value in as_mixture(list(parts)).items() if key != "name"})


def test_all_are_found_by_name() -> None:
    assert {*NEW, "level_by_level"} <= set(component_names(CurriculumSettings))


# ---- uniform ----


def test_uniform_draws_every_level_equally_often_whatever_is_solved() -> None:
    learner = SimulatedLearner(HARD)
    curriculum = make("uniform")
    for _ in range(100):
        learner.step(curriculum)
    counts = Counter(learner.issued)
    # Binomial(800, 1/4): standard error 12.2.
    assert all(abs(counts[level] - 200) < 40 for level in HARD)


def test_environments_are_drawn_by_weight_and_their_levels_equally() -> None:
    environment = mixture(
        {"name": "arithmetic", "weight": 3},
        {"name": "arithmetic", "label": "sums", "weight": 1, "level": {"complexity": 2}},
    )
    curriculum = make("uniform", environment=environment, levels=FOUR[:2])
    assert [arm.name for arm in curriculum.arms] == ["arithmetic c1 h1", "arithmetic c2 h1", "sums c2 h1"]
    assert [arm.weight for arm in curriculum.arms] == [0.375, 0.375, 0.25]
    tasks = [curriculum.next_task(group_id) for group_id in range(800)]
    assert abs(sum(task.domain == "sums" for task in tasks) - 200) < 40
    assert {task.complexity for task in tasks if task.domain == "sums"} == {2}


# ---- learnability ----


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [2, 4, 8])
def test_the_estimate_of_learnability_is_unbiased(p: float, n: int) -> None:
    expected = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) * learnability(k, n) for k in range(n + 1))
    assert expected == pytest.approx(p * (1 - p))
    plug_in = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) * (k / n) * (1 - k / n) for k in range(n + 1))
    assert plug_in == pytest.approx(p * (1 - p) * (n - 1) / n)


def test_learnability_of_too_few_attempts() -> None:
    with pytest.raises(ValueError, match="1 solved of 1 attempts"):
        learnability(1, 1)


def test_learnability_draws_levels_in_proportion_to_p_1_minus_p() -> None:
    # No learning: p stays 0.95, 0.5, 0.05 and 0.
    shares = {"arithmetic c1 h1": 0.95, "arithmetic c2 h1": 0.5, "arithmetic c3 h1": 0.05, "arithmetic c4 h1": 0.0}
    learner = SimulatedLearner(dict.fromkeys(shares, -50.0), rate=0.0, ceiling=shares)
    curriculum = make("learnability", half_life=100)
    for _ in range(150):
        learner.step(curriculum)
    expected = [0.0475, 0.25, 0.0475, 0.0]
    assert curriculum.estimates() == pytest.approx(expected, abs=0.025)
    late = Counter(learner.issued[-400:])
    assert late["arithmetic c2 h1"] > 5 * late["arithmetic c4 h1"]
    assert late["arithmetic c2 h1"] > 2.5 * late["arithmetic c1 h1"]
    assert min(late.values()) > 5  # the uniform share: nothing is starved


def test_a_level_of_certain_tasks_is_not_learnable_though_half_of_its_attempts_succeed() -> None:
    curriculum = make("learnability", levels=FOUR[:2], half_life=1000)
    for group_id in range(60):
        task = curriculum.next_task(group_id)
        # At level 1 every other task always, the others never: over all attempts p is 1/2.
        solved = [group_id % 2 == 0] * 8 if task.complexity == 1 else [True] * 4 + [False] * 4
        curriculum.observe([group_of(group_id, task, solved)])
    certain, uncertain = curriculum.estimates()
    assert certain < 0.06
    assert uncertain == pytest.approx(2 / 7, abs=0.01)


def test_what_was_measured_long_ago_counts_less_and_a_forgotten_level_is_tried_again() -> None:
    curriculum = make("learnability", half_life=5, prior_groups=1)
    task = curriculum.next_task(0)
    index = next(i for i, arm in enumerate(curriculum.arms) if arm.tasks.dials[0] == task.complexity)
    curriculum.observe([group_of(0, task, [True] * 8)])
    # One group of weight 1, then one step old: (1/4) / (1 + 2 ** -(1 / 5)).
    assert curriculum.estimates()[index] == pytest.approx(0.25 / (1 + 0.5**0.2))
    for _ in range(40):
        curriculum.observe([])
    assert curriculum.estimates()[index] == pytest.approx(0.25, rel=0.01)


def test_a_group_that_comes_late_counts_as_a_measurement_of_the_weights_that_sampled_it() -> None:
    def after(version: int) -> float:
        curriculum = make("learnability", levels=FOUR[:1], half_life=2, prior_groups=1)
        task = curriculum.next_task(0)
        for _ in range(4):
            curriculum.observe([])
        curriculum.observe([group_of(0, task, [True] * 8, version)])
        return curriculum.estimates()[0]

    # Age 0 and 4 versions, and one step since: weights 2 ** -(1 / 2) and 2 ** -(5 / 2).
    assert after(4) == pytest.approx(0.25 / (1 + 0.5**0.5))
    assert after(0) == pytest.approx(0.25 / (1 + 0.5**2.5))
    assert after(9) == after(4), "no version is newer than now"


def test_learnability_needs_two_attempts_a_task() -> None:
    with pytest.raises(ConfigError, match="group_size=1, but the curriculum 'learnability' compares at least 2"):
        validate(RunConfig, {"group_size": 1, "algorithm": "reinforce", "curriculum": "learnability"})
    with pytest.raises(ConfigError, match="'learning_progress' follows what the policy solves, and sft shows"):
        validate(RunConfig, {"group_size": 1, "algorithm": "sft", "curriculum": "learning_progress"})
    validate(RunConfig, {"group_size": 1, "algorithm": "sft", "curriculum": "uniform"})


# ---- learning progress ----


def test_the_slope_by_hand() -> None:
    # x 0, 0, 2, 2; y 0, 0.5, 0.5, 1: slope 0.25, residuals +-0.25, se^2 = 0.25 / 2 / 4.
    assert progress([(0, 0.0), (0, 0.5), (2, 0.5), (2, 1.0)]) == pytest.approx(math.sqrt(0.0625 - 0.03125))
    assert progress([(2, 1.0), (0, 0.5), (2, 0.5), (0, 0.0)]) == pytest.approx(math.sqrt(0.03125)), "in any order"
    assert progress([(0, 1.0), (1, 0.75), (2, 0.5), (3, 0.25)]) == pytest.approx(0.25), "absolute"
    assert progress([(0, 0.0), (1, 1.0), (2, 1.0)]) is None
    assert progress([(3, 0.0), (3, 1.0), (3, 1.0), (3, 0.0)]) is None, "one version shows no slope"


def test_a_plateau_is_no_progress_where_p_1_minus_p_is_largest() -> None:
    """The plain absolute slope sees progress in noise; on average the debiased square sees none."""
    learner = SimulatedLearner({"a": 0.0}, rate=0.0, seed=3)
    squares, plain = [], []
    task = next(Arithmetic().tasks("train", complexity=1))
    for _ in range(60):
        learner.solved_share = lambda level: 0.5  # pyright: ignore[reportAttributeAccessIssue]
        points = [(step, learner.attempt(0, task).solved_share) for step in range(16)]
        squares.append(progress(points) or 0.0)
        plain.append(abs(_slope(points)))
    assert sum(squares) / len(squares) < 0.6 * sum(plain) / len(plain)


def _slope(points: list[tuple[int, float]]) -> float:
    mean = sum(x for x, _ in points) / len(points)
    return sum((x - mean) * y for x, y in points) / sum((x - mean) ** 2 for x, _ in points)


@pytest.mark.parametrize("change", [0.02, -0.02])
def test_learning_progress_draws_the_level_that_changes(change: float) -> None:
    """Known curves: one level rises or falls by 2 points a step, the others stay at 0, 1/2 and 1."""
    curves: dict[float, Callable[[int], float]] = {
        1: lambda step: 1.0,
        2: lambda step: 0.5,
        3: lambda step: 0.5 + change * (step - 20),
        4: lambda step: 0.0,
    }
    curriculum = make("learning_progress", window=24)
    issued = []
    for step in range(40):
        groups = []
        for group_id in range(8 * step, 8 * step + 8):
            task = curriculum.next_task(group_id)
            p = min(max(curves[task.complexity or 0](step), 0.0), 1.0)
            # As even as can be: the curve itself, with the noise of rounding.
            solved = [(i + 0.5) / 8 + (group_id % 5 - 2) / 40 < p for i in range(8)]
            groups.append(group_of(group_id, task, solved, step))
        issued += [group.task.complexity for group in groups if step >= 15]
        curriculum.observe(groups)
    counts = Counter(issued)
    assert counts[3] > 0.6 * len(issued), counts


# ---- prioritised replay ----


def test_ranks_and_staleness_by_hand() -> None:
    # Ranks 1, 2, 3 at beta = 1: weights 1, 1/2, 1/3 of 11/6; staleness 10, 30, 60 of 100.
    expected = [0.9 * 6 / 11 + 0.01, 0.9 * 3 / 11 + 0.03, 0.9 * 2 / 11 + 0.06]
    found = replay_probabilities([0.5, 0.3, 0.1], [10, 30, 60], temperature=1.0, staleness_share=0.1)
    assert found == pytest.approx(expected)
    assert sum(found) == pytest.approx(1.0)
    # Tied for the first two places: (1 + 1/2) / 2 each.
    tied = replay_probabilities([0.1, 0.3, 0.3], [1, 1, 1], temperature=1.0, staleness_share=0.0)
    assert tied == pytest.approx([2 / 11, 4.5 / 11, 4.5 / 11])
    # beta = 0.1: the best has 1 / (1 + 2 ** -10 + 3 ** -10).
    sharp = replay_probabilities([0.5, 0.3, 0.1], [1, 1, 1], temperature=0.1, staleness_share=0.0)
    assert sharp[0] == pytest.approx(1 / (1 + 2**-10 + 3**-10))


@pytest.mark.parametrize(("k", "n"), [(0, 4), (1, 4), (2, 4), (3, 8), (8, 8)])
def test_the_score_of_a_task_is_twice_its_learnability(k: int, n: int) -> None:
    assert mean_absolute_advantage([1.0] * k + [0.0] * (n - k)) == pytest.approx(2 * learnability(k, n))


def replaying(**options: Any) -> PrioritisedReplayCurriculum:
    return make("prioritised_replay", **{"levels": FOUR[1:2], "min_seen": 8, **options})


def test_tasks_that_differ_come_again_and_solved_ones_do_not() -> None:
    curriculum = replaying(replay_share=0.5, staleness_share=0.0, temperature=0.2)
    first = [curriculum.next_task(group_id) for group_id in range(16)]
    learnable = {task.task_id for task in first[:4]}
    curriculum.observe([group_of(i, task, [True, i >= 4]) for i, task in enumerate(first)])
    again: Counter[bool] = Counter()
    num_new = 0
    for group_id in range(16, 416):
        task = curriculum.next_task(group_id)
        seen = task.task_id in {each.task_id for each in first}
        num_new += not seen
        again[task.task_id in learnable] += seen
        solved = [True, False] if task.task_id in learnable else [True, True]
        curriculum.observe([group_of(group_id, task, solved)])
    assert abs(num_new - 200) < 50
    assert again[True] > 20 * again[False]


def test_a_task_under_way_is_not_issued_again() -> None:
    curriculum = replaying(replay_share=0.9, min_seen=1)
    task = curriculum.next_task(0)
    curriculum.observe([group_of(0, task, [True, False])])
    step = [curriculum.next_task(group_id).task_id for group_id in range(1, 33)]
    assert len(set(step)) == len(step)
    assert task.task_id in step


def test_what_is_held_is_bounded_and_the_least_worth_goes() -> None:
    curriculum = replaying(capacity=8, replay_share=0.01)
    tasks = [curriculum.next_task(group_id) for group_id in range(20)]
    curriculum.observe([group_of(i, task, [True] * 4 + [i >= 12] * 4) for i, task in enumerate(tasks)])
    held = {task["prompt"][0][1] for _, task, *_ in curriculum.own_state()["seen"]}
    assert len(held) == 8
    assert (
        held == {task.prompt[0].content for task in tasks[4:12]}
        or len(held & {t.prompt[0].content for t in tasks[:12]}) == 8
    )


# ---- rehearsal ----


def advanced(**options: Any) -> RehearsalCurriculum:
    """At the third level, the first two learned at a solved share of 1."""
    curriculum = make("rehearsal", window=4, rehearsal_share=0.5, rehearsal_window=2, **options)
    group_id = 0
    while curriculum.current_level_name != "c3 h1":
        curriculum.observe([group_of(group_id, curriculum.next_task(group_id), [True] * 4)])
        group_id += 1
    curriculum.next_group = group_id
    return curriculum


def test_rehearsal_learns_in_order() -> None:
    assert [arm.name for arm in advanced().arms] == ["c1 h1", "c2 h1", "c3 h1", "c4 h1"]


def test_what_was_lost_is_rehearsed() -> None:
    curriculum = advanced(staleness_share=0.2)
    start: int = curriculum.next_group  # pyright: ignore[reportAttributeAccessIssue]
    levels = []
    for group_id in range(start, start + 400):
        task = curriculum.next_task(group_id)
        levels.append(task.complexity)
        # The second level is half forgotten, the first is not, the third is never solved.
        share = {1: 4, 2: 2, 3: 0}[int(task.complexity or 0)]
        curriculum.observe([group_of(group_id, task, [i < share for i in range(4)])])
    assert curriculum.lost() == [0.0, 0.5]
    counts = Counter(levels)
    assert abs(counts[3] - 200) < 45
    # Of rehearsed groups 80 % go to what was lost, 20 % by age, in turns.
    assert counts[2] > 4 * counts[1]
    assert counts[1] > 5


def test_without_loss_the_longest_unseen_is_rehearsed_most() -> None:
    curriculum = advanced()
    curriculum._last_group = [10, 70, 90, 0]
    assert curriculum.rehearsed(100) == pytest.approx([0.75, 0.25])


# ---- all of them ----


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("stop", [1, 17])
@pytest.mark.parametrize("ahead", [0, 6])
def test_resume_goes_on_exactly(name: str, stop: int, ahead: int) -> None:
    """Bit for bit, with groups under way whose results come steps later (`ahead` > 0: max_staleness)."""
    environment = mixture({"name": "arithmetic", "label": "a"}, {"name": "arithmetic", "label": "b", "weight": 2.0})
    options = {"prioritised_replay": {"min_seen": 6}, "rehearsal": {"window": 4, "advance_at": 0.4}}.get(name, {})

    def begin() -> Any:
        return make(name, 5, environment, levels=FOUR[:2], **options)

    def run(curriculum: Any, steps: range) -> list[str]:
        given = []
        for step in steps:
            tasks = {group_id: curriculum.next_task(group_id) for group_id in range(3 * step, 3 * step + 3 + ahead)}
            given += [task.task_id for task in tasks.values()]
            done = [*tasks.items()][:3]
            solved = [[(7 * group_id + member) % 3 != 0 for member in range(4)] for group_id, _ in done]
            version = max(0, step - ahead // 3)
            groups = [group_of(i, task, own, version) for (i, task), own in zip(done, solved, strict=True)]
            curriculum.observe(groups)
        return given

    unbroken = begin()
    expected = run(unbroken, range(24))
    first = begin()
    began = run(first, range(stop))
    assert began == expected[: len(began)]
    state = json.loads(json.dumps(first.state()))
    resumed = begin()
    resumed.load_state(state)
    assert resumed.state() == first.state()
    assert resumed.metrics() == first.metrics()
    assert [*began, *run(resumed, range(stop, 24))] == expected
    assert resumed.state() == unbroken.state()
    assert len(json.dumps(state)) < 200_000


@pytest.mark.parametrize("name", NEW)
def test_the_order_is_that_of_the_seed(name: str) -> None:
    orders = []
    for seed in (0, 0, 1):
        learner = SimulatedLearner(HARD)
        curriculum = make(name, seed)
        orders.append([group.task.task_id for _ in range(12) for group in learner.step(curriculum)])
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]


@pytest.mark.parametrize("name", NEW)
def test_what_every_curriculum_does(name: str) -> None:
    curriculum: ArmCurriculum = make(name)
    assert curriculum.next_task(3) == curriculum.next_task(3)
    assert [level for level, _ in curriculum.named_levels()] == ["c1 h1", "c2 h1", "c3 h1", "c4 h1"]
    assert math.isclose(sum(curriculum.probabilities()), 1.0)
    task = curriculum.next_task(4)
    unmeasured = group_of(4, task, [True] * 4)
    unmeasured = type(unmeasured)(4, task, unmeasured.rollouts, (Score.not_measured("died"),) * 4)
    before = curriculum.own_state()
    curriculum.observe([unmeasured])
    assert curriculum.own_state() == before, "unknown is not zero"
    assert curriculum.state()["issued"] == [], "group 3 was dropped"
    shares = {key: value for key, value in curriculum.metrics().items() if key.startswith(SHARE[:-4])}
    assert sum(shares.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="group 99, at level c1 h1, was not issued here"):
        curriculum.observe([group_of(99, next(Arithmetic().tasks("train", complexity=1)), [True])])
    with pytest.raises(CheckpointError, match="between c1 h1, c2 h1, c3 h1, c4 h1, this run's between c2 h1"):
        make(name, levels=FOUR[1:2]).load_state(curriculum.state())
    with pytest.raises(ConfigError, match="the same level twice"):
        make(name, levels=[{"complexity": 2}, {"complexity": 2, "horizon": 1}])


@pytest.mark.parametrize("name", ["learnability", "learning_progress"])
def test_environments_are_mixed_by_measured_progress(name: str) -> None:
    """One environment is mastered, one out of reach, one is being learned: that one gets most of the groups."""
    environment = mixture(*({"name": "arithmetic", "label": label} for label in ("mastered", "learned", "beyond")))
    learner = SimulatedLearner({"mastered c2 h1": -9.0, "learned c2 h1": 3.5, "beyond c2 h1": 30.0}, rate=0.08)
    curriculum = make(name, environment=environment, levels=FOUR[1:2])
    for _ in range(60):
        learner.step(curriculum)
    counts = Counter(learner.issued[120:])
    assert counts["learned c2 h1"] > 0.5 * len(learner.issued[120:]), counts
    assert min(counts["mastered c2 h1"], counts["beyond c2 h1"]) > 10


def test_a_learner_of_skills_that_build_on_each_other_is_sooner_there_than_by_uniform() -> None:
    def steps(name: str) -> int:
        found = []
        for seed in range(3):
            learner = SimulatedLearner({level: 2 * d for level, d in HARD.items()}, rate=0.3, seed=seed)
            found.append(learner.steps_until(make(name, seed), mean=0.7, limit=120))
        return sum(found)

    uniform = steps("uniform")
    assert {name: steps(name) < uniform for name in ("learnability", "rehearsal")} == {
        "learnability": True,
        "rehearsal": True,
    }


def test_types() -> None:
    assert isinstance(make("learnability"), LearnabilityCurriculum)
    assert isinstance(make("learning_progress"), LearningProgressCurriculum)
    assert Learnability().min_group_size == 2

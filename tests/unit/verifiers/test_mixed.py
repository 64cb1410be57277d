"""Rewards made of parts: scales, conditions, what is not measured, and a constraint between parts."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from assay.config import validate
from assay.errors import ConfigError
from assay.launch import build_run
from assay.loop import train
from assay.observe.console import Console
from assay.observe.curves import main_curves
from assay.observe.step_metrics import step_metrics
from assay.observe.store import RunStore
from assay.recipe import RunConfig
from assay.run.constrained import ConstrainedSampler
from assay.types import Group, Message, Rollout, Score, Task
from assay.verifiers import Exact, RewardConstraint, Verifier, Weighted, as_rollout, score_group
from assay.verifiers.by_environment import ByEnvironment
from assay.verifiers.constraint import ConstraintState, part_mean
from assay.verifiers.weighted import reweighted

TASK = Task("test", (Message("user", "?"),), "2")
REWARDS = """
def right(response, answer):
    return float("2" in response)

def size(response, answer):
    return 10.0 * response.count("x") - 5.0

def fails(response, answer):
    if "?" in response:
        raise RuntimeError("died")
    return 1.0

def letters(response, answer):
    return sum(letter in "aeiou" for letter in response) / 6

def length(response, answer):
    return float(len(set(response)))
"""


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("mixed") / "mixed.py"
    path.write_text(REWARDS)
    return str(path)


def part(functions: str, name: str, *, solved_at: Any = "none", **options: Any) -> dict[str, Any]:
    verifier = {"name": "python", "function": f"{functions}:{name}", "solved_at": solved_at, "gold_format": ""}
    return {"verifier": verifier, **options}


def mixed(functions: str, **changes: Any) -> Weighted:
    parts = {
        "right": part(functions, "right", solved_at=1.0),
        "size": part(functions, "size", weight=0.5, scale=[-5, 15]),
        **changes.pop("parts", {}),
    }
    return validate(Weighted, {"parts": parts, "solved_by": "right", **changes})


def score(verifier: Verifier, response: str) -> Score:
    return asyncio.run(verifier(as_rollout(response, TASK), TASK))


def test_a_scale_brings_a_part_to_its_range_and_holds_it_there(functions: str) -> None:
    """size is -5, 5, 15, 25 for 0 to 3 x: 0, 1/2, 1 and held at 1."""
    verifier = mixed(functions)
    found = [score(verifier, "2" + "x" * num) for num in range(4)]
    assert [each.parts["size"] for each in found] == [0.0, 0.5, 1.0, 1.0]
    assert [each.value for each in found] == [1.0, 1.25, 1.5, 1.5]
    assert found[0].weights == {"right": 1.0, "size": 0.5}
    assert Score.from_dict(found[1].to_dict()) == found[1]
    assert "weights" not in Score.solved().to_dict()


def test_a_part_counts_only_where_another_is_solved(functions: str) -> None:
    verifier = mixed(functions, parts={"size": part(functions, "size", scale=[-5, 15], only_if="right")})
    assert score(verifier, "2xx").value == 2.0
    found = score(verifier, "3xx")
    assert (found.value, found.parts) == (0.0, {"right": 0.0, "size": 0.0})
    unknown = part(functions, "fails", solved_at=1.0, unmeasured="leave_out")
    parts = {"known": unknown, "size": part(functions, "size", scale=[-5, 15], only_if="known")}
    found = asyncio.run(mixed(functions, parts=parts).score_group([as_rollout("2xx?", TASK)], TASK))
    assert found[0].parts == {"right": 1.0}, "whether it counts is not known, so it is no 0"


@pytest.mark.parametrize(
    ("unmeasured", "value", "parts"),
    [("whole", None, {}), ("leave_out", 1.0, {"right": 1.0}), (0.25, 1.5, {"right": 1.0, "judged": 0.25})],
)
def test_what_becomes_of_a_part_that_is_not_measured(
    functions: str, unmeasured: Any, value: float | None, parts: dict[str, float]
) -> None:
    judged = part(functions, "fails", weight=2.0, unmeasured=unmeasured)
    parts_of = {"right": part(functions, "right", solved_at=1.0), "judged": judged}
    verifier = validate(Weighted, {"parts": parts_of, "solved_by": "right"})
    rollouts = [as_rollout(text, TASK) for text in ("2?", "2")]
    lacking, whole = asyncio.run(verifier.score_group(rollouts, TASK))
    assert (lacking.value, lacking.parts) == (value, parts)
    assert whole.value == 3.0, "a sibling's failure costs it nothing"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": [1, 1]}, r"scale \[1.0, 1.0\] has no room"),
        ({"only_if": "size"}, "no other part"),
        ({"only_if": "nothing"}, "no other part"),
        ({"unmeasured": "zero"}, "unmeasured"),
    ],
)
def test_parts_that_cannot_be_meant(functions: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed(functions, parts={"size": part(functions, "size", **changes)})


def test_what_decides_cannot_be_left_out_nor_depend_on_a_number(functions: str) -> None:
    with pytest.raises(ConfigError, match="decides what is solved"):
        mixed(functions, parts={"right": part(functions, "right", solved_at=1.0, unmeasured=0.0)})
    with pytest.raises(ConfigError, match="numbers without a verdict"):
        mixed(functions, parts={"shape": part(functions, "letters", only_if="size")})


def test_parts_of_parts_are_kept_under_both_names(functions: str) -> None:
    class Deviating(Weighted):
        async def __call__(self, rollout: Any, task: Task) -> Score:
            return Score.graded(2.0, parts={"deviation": 0.5})

    verifier = mixed(functions)
    inner = Deviating.model_construct(parts={}, solved_by="none")
    parts = {**verifier.parts, "liked": verifier.parts["size"].model_copy(update={"verifier": inner, "scale": None})}
    found = score(verifier.model_copy(update={"parts": parts}), "2")
    assert found.parts == {"right": 1.0, "size": 0.0, "liked": 2.0, "liked.deviation": 0.5}
    assert found.value == 2.0
    assert "liked.deviation" not in found.weights


CONSTRAINT = RewardConstraint(protects="right", against="liked", start_steps=1, memory=0.0)


def test_the_multiplier_as_worked_by_hand_on_the_page() -> None:
    state, multipliers = ConstraintState(), []
    for means in ((0.6, 0.0), (0.2, 1.0), (0.4, 1.5), (0.5, -0.1), (0.8, 0.5)):
        state = state.after(CONSTRAINT, *means)
        multipliers.append(state.multiplier)
    assert multipliers == pytest.approx([0.0, 0.2, 0.3, 0.3, 0.2])
    weights = CONSTRAINT.weights({"right": 1.0, "liked": 1.0}, 0.3)
    assert weights == {"right": 1.0, "liked": pytest.approx(1 / 1.3)}
    assert CONSTRAINT.weights({"right": 2.0, "liked": 1.0}, 0.0) == {"right": 2.0, "liked": 1.0}


def test_the_multiplier_is_bounded_and_slow_means_are_followed() -> None:
    bounded = CONSTRAINT.model_copy(update={"max_multiplier": 0.3, "slack": 0.1})
    state = ConstraintState().after(bounded, 1.0, 0.0)
    for _ in range(5):
        state = state.after(bounded, 0.0, 1.0)
    assert state.multiplier == 0.3
    assert ConstraintState().after(bounded, 1.0, 0.0).after(bounded, 0.92, 1.0).multiplier == 0.0, "within the slack"
    slow = CONSTRAINT.model_copy(update={"memory": 0.75, "start_steps": 2})
    state = ConstraintState().after(slow, 0.4, 0.0).after(slow, 0.8, 0.2)
    assert (state.protected_start, state.against_start) == pytest.approx((0.6, 0.1))
    state = state.after(slow, 0.2, 1.0)
    assert (state.protected, state.against, state.multiplier) == pytest.approx((0.5, 0.325, 0.05))
    fixed = CONSTRAINT.model_copy(update={"reference": 0.9})
    assert ConstraintState().after(fixed, 0.5, 0.0).after(fixed, 0.5, 1.0).multiplier == pytest.approx(0.2)


def test_groups_of_several_environments_go_to_their_own_verifier() -> None:
    """One compares siblings, the other scores each alone."""

    class Longest(Verifier):
        name: str = "longest"

        @property
        def compares(self) -> bool:
            return True

        async def score_group(self, rollouts: Sequence[Rollout], task: Task) -> list[Score]:
            most = max(len(rollout.response) for rollout in rollouts)
            return [Score.graded(float(len(rollout.response) == most)) for rollout in rollouts]

    both = ByEnvironment.model_construct(verifiers={"texts": Longest(), "sums": Exact()})
    assert both.compares
    for domain, values in (("texts", [0.0, 1.0]), ("sums", [1.0, 0.0])):
        task = Task(domain, (Message("user", "?"),), "4")
        rollouts = [as_rollout("4", task), as_rollout("four", task)]
        assert [score.value for score in asyncio.run(score_group(both, rollouts, task))] == values


def test_other_weights_change_the_value_and_not_the_parts() -> None:
    given = Score.solved(
        1.5, parts={"right": 1.0, "liked": 0.5, "liked.deviation": 9.0}, weights={"right": 1, "liked": 1}
    )
    found = reweighted(given, {"right": 1.0, "liked": 0.5})
    assert (found.value, found.parts, found.verdict) == (1.25, given.parts, given.verdict)
    for same in (Score.solved(1.0), Score.not_measured("died")):
        assert reweighted(same, {}) is same


def group_of(*parts: tuple[float, float] | None) -> Group:
    scores = tuple(
        Score.not_measured("died")
        if each is None
        else Score.graded(sum(each), parts={"right": each[0], "liked": each[1]}, weights={"right": 1.0, "liked": 1.0})
        for each in parts
    )
    return Group(0, TASK, tuple(as_rollout("1", TASK) for _ in scores), scores)


def test_means_are_of_measured_groups() -> None:
    """Groups of 1 and 0, and of 0.5 beside one that was not measured: means 1/2 and 1/2; liked 2 and 6."""
    groups = [group_of((1.0, 1.0), (0.0, 3.0)), group_of((0.5, 6.0), None), group_of(None)]
    assert (part_mean(groups, "right"), part_mean(groups, "liked")) == (0.5, 4.0)
    assert part_mean([group_of(None)], "right") != part_mean([group_of(None)], "right")
    metrics = step_metrics([*groups[:2], group_of((1.0, 1.0), (1.0, 2.0))])
    assert metrics["reward/part_signal/right"] == 0.5
    assert metrics["reward/part_signal/liked"] == 1.0


class Given:
    """A sampler that hands out what it was given."""

    def __init__(self, steps: list[list[Group]]) -> None:
        self.steps = iter(steps)
        self.dropped: list[Group] = []

    async def next_groups(self, num_groups: int) -> list[Group]:
        return next(self.steps)

    def take_dropped(self) -> list[Group]:
        return self.dropped

    def counters(self) -> dict[str, float]:
        return {"rollout/x": 1.0}

    def state(self) -> dict[str, Any]:
        return {"at": 3}

    def load_state(self, state: Any) -> None:
        self.loaded = state


def test_a_step_has_the_multiplier_that_the_steps_before_it_left(functions: str) -> None:
    constraint = {"protects": "right", "against": "liked", "start_steps": 1, "memory": 0.0}
    reward = mixed(functions, parts={"liked": part(functions, "letters")}, constraint=constraint)
    steps = [[group_of((0.6, 0.0))], [group_of((0.2, 1.0))], [group_of((0.2, 1.0))], [group_of(None)]]
    inner = Given(steps)
    sampler = ConstrainedSampler(inner, reward)  # pyright: ignore[reportArgumentType]

    def next_value() -> tuple[float | None, float]:
        (group,) = asyncio.run(sampler.next_groups(1))
        return group.scores[0].value, sampler.counters()["reward/constraint_multiplier"]

    assert next_value() == (0.6, 0.0)
    assert next_value() == (1.2, 0.0), "the violation of a step weighs on the next"
    kept = sampler.state()
    value, multiplier = next_value()
    assert (value, multiplier) == (pytest.approx(0.2 + 1 / 1.2), pytest.approx(0.2))
    assert next_value()[0] is None
    assert sampler.state()["constraint"]["num_steps"] == 3, "a step without a measured part says nothing"
    again = ConstrainedSampler(Given([[group_of((0.2, 1.0))]]), reward)  # pyright: ignore[reportArgumentType]
    again.load_state(kept)
    (group,) = asyncio.run(again.next_groups(1))
    assert group.scores[0].value == value, "a resumed run goes on with the same multiplier"
    inner.steps, inner.dropped = iter([[group_of((0.2, 1.0))]]), [group_of((1.0, 1.0))]
    asyncio.run(sampler.next_groups(1))
    assert sampler.take_dropped()[0].scores[0].value == pytest.approx(1 + 1 / 1.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protects": "nothing"}, "constraint.protects 'nothing' is none of the parts"),
        ({"against": "right"}, "protects 'right' against itself"),
        ({"protects": "size", "against": "right"}, "is a penalty"),
    ],
)
def test_constraints_that_cannot_be_meant(functions: str, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mixed(
            functions,
            parts={"size": part(functions, "size", weight=-1.0)},
            constraint={"protects": "right", "against": "size", **changes},
        )


def recipe(functions: str, model: Path, **changes: Any) -> RunConfig:
    constraint = {"protects": "letters", "against": "length", "reference": 0.9, "start_steps": 1, "memory": 0.0}
    parts = {"letters": part(functions, "letters", weight=0.5), "length": part(functions, "length")}
    settings = {
        "num_steps": 3,
        "groups_per_step": 2,
        "group_size": 4,
        "num_threads": 1,
        "model": {"source": str(model), "device": "cpu", "compute_dtype": "fp32"},
        "verifier": {"name": "weighted", "solved_by": "none", "parts": parts, "constraint": constraint},
        "algorithm": {"name": "grpo", "parts": "apart"},
        "curriculum": {"levels": [{"complexity": 1}]},
        "sampling": {"max_new_tokens": 6},
        "trainer": {"learning_rate": 3e-2},
        "evaluation": {"every_steps": 0, "test_tasks": 0},
        "checkpoint": {"every_steps": 1, "keep_last": 9},
        **changes,
    }
    return validate(RunConfig, settings)


def run_to_end(config: RunConfig, folder: Path, **options: Any) -> RunStore:
    run = build_run(config, folder, console=Console(stream=io.StringIO(), live=False), **options)
    asyncio.run(train(run))
    return RunStore.open_readonly(folder)


def test_a_run_with_parts_and_a_constraint_and_its_resumption(functions: str, tiny_model: Path, tmp_path: Path) -> None:
    config = recipe(functions, tiny_model)
    whole = run_to_end(config, tmp_path / "whole")
    rows = whole.rollouts()
    assert all({"letters", "length"} <= row.parts.keys() for row in rows)
    metrics = whole.metrics()
    multipliers = [value for _, value in metrics["reward/constraint_multiplier"]]
    assert multipliers[0] == 0.0
    assert any(multipliers), "with this rate and seed it is violated"
    last = [row for row in rows if row.step == 2]
    factor = 1 + (multipliers[2] or 0.0)
    for row in last:
        expected = (0.5 + factor - 1) / factor * row.parts["letters"] + row.parts["length"] / factor
        assert row.value == pytest.approx(expected), "what was trained on is what is stored"
    titles = [curve.title for curve in main_curves(whole)]
    assert titles[:4] == ["Mean reward", "Part length", "Part letters", "Multiplier of the constraint"]
    assert (tmp_path / "whole" / "report" / "part_reward_part_length.png").is_file()

    shutil.copytree(tmp_path / "whole", tmp_path / "resumed", symlinks=True)
    shutil.rmtree(tmp_path / "resumed" / "checkpoints" / "step-000003")
    resumed = run_to_end(config, tmp_path / "resumed", resume=True)
    assert [(row.token_ids, row.value) for row in resumed.rollouts()] == [(r.token_ids, r.value) for r in rows]
    assert resumed.metrics()["reward/constraint_multiplier"] == metrics["reward/constraint_multiplier"]


def test_recipes_in_which_parts_have_no_effect(functions: str, tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r'algorithm.parts="apart" compares the parts of a reward'):
        recipe(functions, tiny_model, verifier={"name": "random"})
    with pytest.raises(ConfigError, match=r"verifier.constraint is kept where"):
        recipe(functions, tiny_model, algorithm={"name": "sft"}, group_size=1)


def test_a_group_without_parts_cannot_be_compared_apart(functions: str, tiny_model: Path) -> None:
    algorithm = recipe(functions, tiny_model).algorithm
    plain = dataclasses.replace(group_of((1.0, 1.0)), scores=(Score.graded(1.0),))
    with pytest.raises(ConfigError, match="needs a reward with parts"):
        algorithm.credit([plain], [])

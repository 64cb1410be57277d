from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from assay.errors import DataError, ModelError
from assay.evaluation.map import (
    Axis,
    MapCell,
    MapMeasurement,
    TaskLength,
    check_budget,
    map_markdown,
    map_result,
    measure_map,
    table_rows,
)
from assay.evaluation.map.measurement import LEAST_TASKS, PILOT_TASKS
from assay.evaluation.map.picture import draw_map
from assay.types import Task
from simulated_learners import Learners, make_cells

HORIZON = {1.0: 6.0, 2.0: 1.5}


def logistic(task: Task, times: float = 1.0) -> float:
    reach = times * HORIZON[task.complexity or 1.0]
    return 1 / (1 + math.exp(1.6 * math.log2((task.horizon or 1.0) / reach)))


def measured(cells: Sequence[MapCell], learners: Learners, budget: int, **options: Any) -> MapMeasurement:
    return asyncio.run(
        measure_map(cells, list(learners.chances), learners.play, budget=budget, reading="strict", **options)
    )


def result(found: MapMeasurement, axis: Axis = Axis.HORIZON, **units: float) -> dict[str, Any]:
    lengths = [TaskLength(horizon=cell.horizon, **units) for cell in found.cells]
    return map_result(found, lengths, horizon_units={"world": "doors"}, axis=axis, reading="strict", notes={})


def test_more_tasks_where_the_outcome_is_uncertain_within_the_budget(cells: list[MapCell]) -> None:
    learners = Learners({"a": lambda task: 0.5 if task.horizon == 4 else 0.0}, lambda task: 10)
    found = measured(cells, learners, 3_000)
    assert found.num_tokens <= 3_000
    assert found.num_tokens > 2_500
    by_horizon = {h: sum(len(found.rows["a", i]) for i, c in enumerate(cells) if c.horizon == h) for h in (1, 4)}
    assert by_horizon[4] > 1.3 * by_horizon[1]
    assert all(len(rows) >= LEAST_TASKS for rows in found.rows.values())
    assert all(len(rows) == PILOT_TASKS for rows in found.pilot.values())


def test_an_estimate_is_of_other_tasks_than_those_that_decided(cells: list[MapCell]) -> None:
    found = measured(cells, Learners({"a": logistic}, lambda task: 10), 3_000)
    for key, rows in found.rows.items():
        assert not {row.task_id for row in rows} & {row.task_id for row in found.pilot[key]}
        ids = [task.task_id for task in cells[key[1]].tasks]
        assert [ids.index(row.task_id) for row in rows] == list(range(PILOT_TASKS, PILOT_TASKS + len(rows)))


def test_cells_are_estimated_without_bias() -> None:
    """150 maps of cells with a chance of 0.2: the mean of estimates is that, whatever the pilots decided."""
    cells = make_cells("world", [1], [1, 8], 63)
    estimates, weights = [], []
    for seed in range(150):
        learners = Learners({"a": lambda task: 0.2 if task.horizon == 8 else 0.95}, lambda task: 10, seed=seed)
        found = measured(cells, learners, 700)
        rows = found.rows["a", 1]
        estimates.append(sum(row.scores["strict"].value or 0 for row in rows) / len(rows))
        weights.append(len(rows))
    assert len(set(weights)) > 2, "the pilots decided differently"
    error = 3 * math.sqrt(0.16 / min(weights) / 150)
    assert sum(estimates) / 150 == pytest.approx(0.2, abs=error)


def test_a_map_goes_on_where_it_was_and_a_larger_budget_adds_to_it(cells: list[MapCell]) -> None:
    learners = Learners({"a": logistic}, lambda task: 10)
    first = measured(cells, learners, 2_000)
    num_played = learners.num_played
    again = measured(cells, learners, 2_000)
    assert learners.num_played == num_played
    assert result(again) == result(first)
    more = measured(cells, learners, 4_000)
    assert more.num_tokens > first.num_tokens
    for key, rows in first.rows.items():
        assert more.rows[key][: len(rows)] == rows, "what was sampled is used again"


def test_a_budget_that_was_reckoned_wrong_cuts_all_cells_alike(cells: list[MapCell]) -> None:
    calls = 0

    def tokens(task: Task) -> int:
        nonlocal calls
        calls += 1
        return 10 if calls <= len(cells) * PILOT_TASKS else 30

    said: list[str] = []
    found = measured(cells, Learners({"a": logistic}, tokens), 4_000, say=said.append)
    assert found.is_cut
    assert found.num_tokens <= 4_000 * 1.4
    assert found.plan is not None
    shares = [len(found.rows["a", i]) / count for i, count in enumerate(found.plan.counts)]
    assert max(shares) - min(shares) < 0.2
    assert any("ended before the plan did" in line for line in said)


def test_a_budget_too_small_is_said_before_it_is_spent(cells: list[MapCell]) -> None:
    with pytest.raises(DataError, match="a budget of 100 tokens says nothing of 8 cells"):
        check_budget(cells, [TaskLength(tokens=4.0)] * 8, 1, 100)
    check_budget(cells, [TaskLength(tokens=4.0)] * 8, 1, 8 * 4 * (PILOT_TASKS + LEAST_TASKS))
    check_budget(cells, [TaskLength()] * 8, 1, 8 * (PILOT_TASKS + LEAST_TASKS))


def test_a_small_budget_tells_of_short_horizons_and_says_what_it_leaves_out(cells: list[MapCell]) -> None:
    said: list[str] = []
    learners = Learners({"a": logistic}, lambda task: 100)
    found = measured(cells, learners, 3_000, say=said.append)
    assert found.num_tokens <= 3_000
    told = sorted({cells[place].name for _, place in found.rows})
    assert told == ["world c1 h1", "world c1 h2", "world c2 h1"]
    assert learners.num_played == 3 * PILOT_TASKS + sum(map(len, found.rows.values())), "no pilot of what is left out"
    assert "caution: this budget tells of 3 of 8 cells" in said
    assert any("world c2 h8; about 7,200 tokens have them all" in line for line in said)


def test_longer_tasks_are_reckoned_by_shorter_ones(cells: list[MapCell]) -> None:
    """The expert's tasks grow with the horizon, and so does what is expected of a model that was seen at the first."""
    lengths = [TaskLength(horizon=cell.horizon, tokens=3 * (cell.horizon or 1)) for cell in cells]
    learners = Learners({"a": logistic}, lambda task: int(20 * (task.horizon or 1)))
    found = measured(cells, learners, 3_000, lengths=lengths)
    assert {cells[place].horizon for _, place in found.pilot} == {1, 2, 4}
    assert learners.num_played == sum(len(rows) for kept in (found.pilot, found.rows) for rows in kept.values())
    assert found.num_tokens <= 3_000


def test_longer_tasks_that_are_thought_cheaper_are_played_too(cells: list[MapCell]) -> None:
    """Where answers of longer tasks happen to be short, what is expected of a cell is not in the order of horizons."""
    tokens = {1: 4.0, 2: 9.0, 4: 6.0, 8: 5.0}
    lengths = [TaskLength(horizon=cell.horizon, tokens=tokens[int(cell.horizon or 1)]) for cell in cells]
    found = measured(cells, Learners({"a": logistic}, lambda task: 10), 3_000, lengths=lengths)
    assert len(found.pilot) == len(cells)


def test_a_budget_that_tells_of_no_cell_ends_after_the_shortest(cells: list[MapCell]) -> None:
    learners = Learners({"a": logistic}, lambda task: 1_000)
    with pytest.raises(DataError, match=r"the pilot took 6,000 of 3,000 tokens, and 6 tasks of no cell fit"):
        measured(cells, learners, 3_000)
    assert learners.num_played == 2 * PILOT_TASKS


def test_a_model_that_cannot_be_opened_is_left_out_and_the_others_go_on(cells: list[MapCell]) -> None:
    learners = Learners({"a": logistic, "gone": logistic, "bb": logistic}, lambda task: 10)
    opened: list[str] = []

    async def play(model: str, episodes: Any) -> Any:
        opened.append(model)
        if model == "gone" and opened.count(model) == 2:
            raise ModelError("model.safetensors is cut short")
        return await learners.play(model, episodes)

    said: list[str] = []
    names = list(learners.chances)
    found = asyncio.run(measure_map(cells, names, play, budget=6_000, reading="strict", say=said.append))
    assert found.models == ["a", "bb"]
    assert opened.count("gone") == 2
    assert said[0] == "caution: gone is left out of the map: model.safetensors is cut short"
    whole = result(found)
    assert "**gone was left out**: model.safetensors is cut short" in map_markdown(whole)
    assert {row["model"] for row in table_rows(whole)} == {"a", "bb"}
    assert opened[:4] == ["a", "gone", "bb", "bb"], "the model that is open plays first"
    learners.chances = {"gone": logistic, "a": logistic}
    with pytest.raises(ModelError):
        asyncio.run(measure_map(cells, ["gone"], play_nothing, budget=6_000, reading="strict"))


async def play_nothing(model: str, episodes: Any) -> Any:
    raise ModelError("no such file")


@pytest.mark.parametrize(("chance", "bound"), [(1.0, "above "), (0.0, "below ")])
def test_all_success_and_all_failure_give_bounds(
    cells: list[MapCell], chance: float, bound: str, recwarn: pytest.WarningsRecorder
) -> None:
    report = map_markdown(result(measured(cells, Learners({"a": lambda task: chance}, lambda task: 10), 3_000)))
    assert f"| 1 | {bound}" in report
    assert f"| 2 | {bound}" in report
    assert "How fast success falls with length is not told" in report
    assert not recwarn.list


def test_what_was_interrupted_is_told_as_counts_alone(cells: list[MapCell]) -> None:
    whole = measured(cells, Learners({"a": logistic, "bb": logistic}, lambda task: 10), 6_000)
    some = MapMeasurement(cells, ["a", "bb"], pilot=whole.pilot, is_interrupted=True)
    some.rows = {("a", place): whole.rows["a", place] for place in (0, 1)}
    report = map_markdown(result(some))
    assert "**Interrupted.**" in report
    assert f"{len(whole.rows['a', 0])} |" in report
    assert "pilot: " in report
    assert "50 % horizon" not in report
    assert "on the same tasks" not in report


def test_cells_that_cost_too_much_are_left_out_and_named(cells: list[MapCell]) -> None:
    said: list[str] = []
    learners = Learners({"a": logistic}, lambda task: 1_000 if task.horizon == 8 else 10)
    found = measured(cells, learners, 9_000, say=said.append)
    assert found.plan is not None
    assert [count == 0 for count in found.plan.counts] == [cell.horizon == 8 for cell in cells]
    assert any("left out" in line and "world c1 h8, world c2 h8" in line for line in said)
    assert map_markdown(result(found)).count("pilot: ") == 2


def test_models_get_the_same_tasks_and_are_compared_in_pairs(cells: list[MapCell]) -> None:
    learners = Learners({"before": logistic, "better": lambda task: logistic(task, 3.0)}, lambda task: 10)
    found = measured(cells, learners, 20_000)
    for cell in range(len(cells)):
        ids = [[row.task_id for row in found.rows[model, cell]] for model in learners.chances]
        assert ids[0] == ids[1]
    said = result(found)
    (difference,) = said["environments"]["world"]["differences"]
    assert difference["all"]["value"] > 0
    assert difference["all"]["p_holm"] < 0.05
    p_values = [cell["p_value"] for cell in difference["cells"]]
    assert all(cell["p_holm"] >= cell["p_value"] for cell in difference["cells"])
    assert min(cell["p_holm"] for cell in difference["cells"]) == pytest.approx(min(1.0, 8 * min(p_values)))
    for shift in difference["frontier"]:
        times = shift["times"]
        assert times["low"] is None or times["low"] <= 3.0
        assert times["high"] is None or times["high"] >= 3.0
    report = map_markdown(said)
    assert "better solves more." in report
    assert "times as long" in report


def test_simulated_learners_are_recovered_within_their_intervals() -> None:
    cells = make_cells("world", [1, 2], [1, 2, 4, 8], 63)
    inside = {"accuracy": 0, "p50": 0}
    for seed in range(8):
        found = measured(cells, Learners({"a": logistic}, lambda task: 10, seed=seed), 3_000)
        of_model = result(found)["environments"]["world"]["models"]["a"]
        for cell, source in zip(of_model["cells"], cells, strict=True):
            accuracy = cell["accuracy"]
            inside["accuracy"] += accuracy["low"] <= logistic(source.tasks[0]) <= accuracy["high"]
        for complexity, horizons in zip(of_model["complexities"], of_model["frontier"]["horizons"], strict=True):
            low, high = horizons["p50"]["low"], horizons["p50"]["high"]
            inside["p50"] += (low is None or low <= HORIZON[complexity]) and (
                high is None or HORIZON[complexity] <= high
            )
    # Of 64 and of 16 at 95 %: fewer than these come less than 1 time in 100.
    assert inside["accuracy"] >= 56
    assert inside["p50"] >= 13


@pytest.mark.parametrize(
    ("shape", "sentence"), [(1.0, "No change of the reliability"), (2.0, "falls as episodes grow")]
)
def test_a_constant_hazard_is_told_from_one_that_grows(shape: float, sentence: str) -> None:
    cells = make_cells("world", [1], [1, 2, 4, 8], 63)
    learners = Learners({"a": lambda task: 0.93 ** ((task.horizon or 1) ** shape)}, lambda task: 10)
    assert sentence in map_markdown(result(measured(cells, learners, 20_000)))


def test_an_environment_without_a_horizon_is_one_column() -> None:
    cells = [MapCell("world", cell.complexity, None, cell.tasks) for cell in make_cells("world", [1, 2], [1], 63)]
    said = result(measured(cells, Learners({"a": lambda task: 0.5}, lambda task: 10), 2_000))
    report = map_markdown(said)
    assert "| complexity | all |" in report
    assert "No horizon is fitted" in report


def test_the_axis_may_be_any_unit_and_says_which(cells: list[MapCell]) -> None:
    found = measured(cells, Learners({"a": logistic}, lambda task: 10), 3_000)
    lengths = [TaskLength(horizon=c.horizon, tokens=25 * (c.horizon or 0), actions=c.horizon) for c in cells]
    options = {"horizon_units": {"world": "doors"}, "reading": "strict", "notes": {}}
    of_tokens = map_result(found, lengths, axis=Axis.TOKENS, **options)
    own = map_result(found, lengths, axis=Axis.HORIZON, **options)
    assert "Lengths are in tokens of the expert." in map_markdown(of_tokens)
    assert "Lengths are in doors." in map_markdown(own)
    p50 = [
        each["environments"]["world"]["models"]["a"]["frontier"]["horizons"][0]["p50"]["value"]
        for each in (own, of_tokens)
    ]
    assert p50[1] == pytest.approx(25 * p50[0], rel=1e-3)
    minutes = map_result(found, lengths, axis=Axis.MINUTES, **options)
    assert "the minutes of world c1 h1" in map_markdown(minutes)
    assert minutes["environments"]["world"]["models"]["a"]["frontier"] is None


def test_tables_and_pictures_hold_every_cell(cells: list[MapCell], tmp_path: Any) -> None:
    said = result(measured(cells, Learners({"a": logistic, "bb": logistic}, lambda task: 10), 6_000))
    rows = table_rows(said)
    assert len(rows) == 16
    assert rows[0]["gain"] is None
    assert rows[-1]["gain"] is not None
    assert {row["num_tasks"] > 0 for row in rows} == {True}
    draw_map(said, [tmp_path / "map.png", tmp_path / "map.svg"])
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "map.svg").read_text()

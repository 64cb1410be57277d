from __future__ import annotations

import json
from pathlib import Path

import pytest

from assay.config import validate
from assay.curriculum import LevelByLevel, LevelCurriculum
from assay.curriculum.level_by_level import FRONTIER, FRONTIER_SOLVED
from assay.environments.arithmetic import Arithmetic
from assay.environments.rows import Rows
from assay.errors import CheckpointError, ConfigError, DataError
from assay.types import Group, Score, Task
from assay.verifiers import as_rollout

THREE = [{"complexity": 1}, {"complexity": 2}, {"complexity": 3, "horizon": 2}]


def make(seed: int = 0, **options: object) -> LevelCurriculum:
    settings = validate(LevelByLevel, {"levels": THREE, "window": 4, **options})
    return LevelCurriculum(settings, Arithmetic(), seed)


def group(group_id: int, task: Task, *scores: Score) -> Group:
    return Group(group_id, task, tuple(as_rollout("", task) for _ in scores), scores)


def solve(curriculum: LevelCurriculum, group_ids: range, share: float = 1.0) -> None:
    """Observes these groups, one in each step, half of the members or all of them solved."""
    for group_id in group_ids:
        scores = [Score.solved() if index < 4 * share else Score.failed() for index in range(4)]
        curriculum.observe([group(group_id, curriculum.next_task(group_id), *scores)])


def test_starts_at_the_easiest_level() -> None:
    curriculum = make()
    assert {curriculum.next_task(group_id).complexity for group_id in range(20)} == {1}
    assert curriculum.current_level_name == "c1 h1"


def test_advances_at_the_threshold_over_the_window() -> None:
    curriculum = make(replay_share=0.0, advance_at=0.75)
    solve(curriculum, range(3))
    assert curriculum.current_level_name == "c1 h1"  # the window is not full
    solve(curriculum, range(3, 4), share=0.0)
    assert curriculum.current_level_name == "c2 h1"  # mean of 1, 1, 1, 0 is 0.75
    solve(curriculum, range(4, 8), share=0.5)
    assert curriculum.current_level_name == "c2 h1"
    assert [level["num_groups"] for level in curriculum.state()["levels"]] == [4, 4, 0]
    assert curriculum.metrics() == {FRONTIER: 1.0, FRONTIER_SOLVED: 0.5}
    # The window moves: 0.5, 1, 1, 1 is 0.875; already 0.5, 0.5, 1, 1 is 0.75.
    solve(curriculum, range(8, 10))
    assert curriculum.current_level_name == curriculum.named_levels()[2][0]


def test_stays_at_the_last_level() -> None:
    curriculum = make(replay_share=0.0)
    solve(curriculum, range(40))
    assert curriculum.current_level_name == curriculum.named_levels()[2][0]
    assert curriculum.metrics() == {FRONTIER: 2.0, FRONTIER_SOLVED: 1.0}


def test_groups_that_were_not_measured_say_nothing() -> None:
    curriculum = make()
    for group_id in range(10):
        curriculum.observe([group(group_id, curriculum.next_task(group_id), Score.not_measured("died"))])
    assert curriculum.state()["levels"][0]["num_groups"] == 0
    assert curriculum.metrics() == {FRONTIER: 0.0}


def test_replay_share() -> None:
    curriculum = make(replay_share=0.25)
    solve(curriculum, range(40))
    assert curriculum.current_level_name == curriculum.named_levels()[2][0]
    levels = [curriculum.next_task(group_id).complexity for group_id in range(1000, 2000)]
    # Binomial(1000, 1/4): standard error 13.7, half of it for each earlier level.
    assert abs(1000 - levels.count(3) - 250) < 55
    assert abs(levels.count(1) - levels.count(2)) < 60


def test_tasks_are_distinct_within_an_epoch_and_reordered_in_the_next() -> None:
    curriculum = make()
    size = len(list(Arithmetic().tasks("train", complexity=1)))
    first = [curriculum.next_task(group_id).task_id for group_id in range(size)]
    second = [curriculum.next_task(group_id).task_id for group_id in range(size, 2 * size)]
    assert len(set(first)) == size
    assert set(first) == set(second)
    assert first != second


def test_only_training_tasks() -> None:
    held_out = {task.task_id for split in ("validation", "test") for task in Arithmetic().tasks(split, complexity=1)}
    assert not held_out & {make().next_task(group_id).task_id for group_id in range(60)}


def test_the_same_group_gets_the_same_task() -> None:
    curriculum = make()
    assert curriculum.next_task(5) == curriculum.next_task(5)
    assert make().next_task(0) == make().next_task(0)
    assert [make(seed).next_task(0).task_id for seed in range(4)] != [make().next_task(0).task_id] * 4


@pytest.mark.parametrize("stop", [0, 1, 3, 7, 20, 41])
def test_resume_goes_on_exactly(stop: int) -> None:
    def run(curriculum: LevelCurriculum, group_ids: range) -> list[str]:
        given = []
        for group_id in group_ids:
            task = curriculum.next_task(group_id)
            given.append(task.task_id)
            curriculum.observe([group(group_id, task, Score.solved())])
        return given

    unbroken = run(make(), range(60))
    first = make()
    assert run(first, range(stop)) == unbroken[:stop]
    state = json.loads(json.dumps(first.state()))
    resumed = make()
    resumed.load_state(state)
    assert resumed.state() == first.state()
    assert run(resumed, range(stop, 60)) == unbroken[stop:]
    assert resumed.state() == make_after(60).state()


def make_after(count: int) -> LevelCurriculum:
    curriculum = make()
    solve(curriculum, range(count))
    return curriculum


def test_resume_keeps_the_tasks_of_groups_under_way() -> None:
    first = make()
    tasks = [first.next_task(group_id) for group_id in range(6)]
    first.observe([group(0, tasks[0], Score.solved()), group(1, tasks[1], Score.failed())])
    resumed = make()
    resumed.load_state(json.loads(json.dumps(first.state())))
    assert [resumed.next_task(group_id) for group_id in range(2, 6)] == tasks[2:]
    assert resumed.next_task(6) == first.next_task(6)


def test_groups_that_were_dropped_are_forgotten() -> None:
    curriculum = make()
    tasks = [curriculum.next_task(group_id) for group_id in range(3)]
    curriculum.observe([group(2, tasks[2], Score.solved())])
    assert curriculum.state()["issued"] == []


def test_a_checkpoint_with_other_levels() -> None:
    other = make(levels=[{"complexity": 4}])
    with pytest.raises(CheckpointError, match="c4 h1, this run's c1 h1, c2 h1, c3 h2"):
        make().load_state(other.state())


def test_a_foreign_group() -> None:
    task = next(Arithmetic().tasks("train", complexity=9))
    with pytest.raises(ValueError, match="c9 h1, not in this curriculum"):
        make().observe([group(0, task, Score.solved())])


def test_levels_must_differ() -> None:
    with pytest.raises(ConfigError, match="same level twice"):
        make(levels=[{"complexity": 2}, {"complexity": 2}])
    with pytest.raises(ConfigError, match="the same level twice"):
        make(levels=[{"complexity": 2}, {"complexity": 2, "horizon": 1}])


@pytest.mark.parametrize("options", [{"levels": []}, {"window": 0}, {"advance_at": 0.0}, {"replay_share": 1.0}])
def test_settings_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        make(0, **options)


def test_a_level_out_of_the_domains_range_is_found_at_once() -> None:
    with pytest.raises(DataError, match="no complexity 12"):
        make(levels=[{"complexity": 1}, {"complexity": 12}])


def of_file(path: Path, **options: object) -> Rows:
    rows = [{"prompt": f"q{i}", "answer": str(i), "level": f"Level {1 + i % 3}", "steps": 2} for i in range(200)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return validate(Rows, {"path": str(path), "complexity": "level", **options})


@pytest.mark.parametrize(
    ("options", "levels", "names"),
    [
        ({}, [{}], ["c- h-"]),
        ({"horizon": "steps"}, [{}], ["c- h2"]),
        ({"horizon": "steps"}, [{"horizon": 2}], ["c- h2"]),
        ({}, [{"complexity": 1}, {}], ["c1 h-", "c- h-"]),
        ({"complexity": None}, [{}], ["c- h-"]),
    ],
)
def test_a_level_without_dials_over_a_file_with_levels_is_one_level(
    tmp_path: Path, options: dict, levels: list, names: list[str]
) -> None:
    settings = validate(LevelByLevel, {"levels": levels, "window": 8, "replay_share": 0.5, "advance_at": 1.0})
    environment = of_file(tmp_path / "a.jsonl", **options)
    curriculum = LevelCurriculum(settings, environment, 0)
    assert [name for name, _ in curriculum.named_levels()] == names
    seen = set()
    for group_id in range(40):
        task = curriculum.next_task(group_id)
        seen.add(task.complexity)
        waiting = curriculum.next_task(group_id + 1)
        if group_id == 20:
            state = json.loads(json.dumps(curriculum.state()))
            curriculum = LevelCurriculum(settings, environment, 0)
            curriculum.load_state(state)
            assert curriculum.next_task(group_id + 1) == waiting
        curriculum.observe([group(group_id, task, Score.solved())])
    num_groups = [level["num_groups"] for level in curriculum.state()["levels"]]
    assert sum(num_groups) == 40
    assert seen == ({None} if options.get("complexity", "") is None else {1.0, 2.0, 3.0})
    if len(names) == 2:
        assert num_groups[0] > 8, "replayed groups count for the level that they were drawn from"

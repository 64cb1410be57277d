"""Open-ended tasks: our own, whose facts are known, files of others, and versions that are reviewed and revised."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from assay.environments import check_episode, make_environment
from assay.environments.episode import EpisodeStep, SingleTurn
from assay.environments.rubric import Rubric
from assay.environments.rubric.episode import REVISE, RevisionEpisode, review
from assay.environments.rubric.scenarios import COMPLEXITIES, KINDS, NUM_EACH, scenario_rows
from assay.errors import ConfigError, DataError, WorldError
from assay.types import Message, Rollout, Score, Task
from assay.verifiers import Criterion, Verifier, criteria_of, read_criteria
from assay.verifiers.criteria import rubric_score

ROW = {"prompt": "Explain tides.", "criteria": [{"criterion": "Names the moon.", "weight": 2}]}


class Words(Verifier):
    """Finds a criterion met where the response has its last word."""

    @property
    def gives_verdicts(self) -> bool:
        return False

    async def __call__(self, rollout: Rollout, task: Task) -> Score:
        if "silence" in rollout.response:
            return Score.not_measured("the judge said nothing")
        criteria = criteria_of(task)
        words = [each.text.rstrip(".").split()[-1] for each in criteria]
        return rubric_score(criteria, [float(word in rollout.response) for word in words])


def file_of(tmp_path: Path, *rows: Any) -> Rubric:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Rubric(path=str(path), test_only=True)


def first(source: Rubric, horizon: float | None = None, split: Any = "test") -> Task:
    return next(source.tasks(split, horizon=horizon))


def test_our_own_tasks_say_what_their_criteria_ask_for() -> None:
    rows = list(scenario_rows())
    assert len(rows) == len({row["prompt"] for _, row in rows}) == len(KINDS) * len(COMPLEXITIES) * NUM_EACH == 800
    assert list(scenario_rows()) == rows
    for name, row in rows:
        criteria = read_criteria(row["criteria"], name)
        assert len(criteria) == row["complexity"]
        assert [each.is_good for each in criteria] == [True] * (len(criteria) - 1) + [False]
        for each in criteria:
            if each.name.startswith("fact") and not each.text.startswith("Recommends"):
                fact = each.text.removeprefix("Says that ").rstrip(".")
                assert fact.casefold() in row["reference"].casefold(), name
        # Every number of a reference but a right sum in place of a wrong one is in the prompt.
        if not name.startswith("review"):
            assert set(re.findall(r"\d+", row["reference"])) <= set(re.findall(r"\d+", row["prompt"])), name


def test_reviewed_lists_have_the_mistakes_that_are_named_and_no_other() -> None:
    for name, row in scenario_rows():
        if not name.startswith("review"):
            continue
        lines = re.findall(r"^(\d+) x (\w+) at (\d+) euros: (\d+) euros$", row["prompt"], re.MULTILINE)
        wrong = {thing for count, thing, price, total in lines if int(count) * int(price) != int(total)}
        named = {match[1] for match in re.finditer(r"\d+ x (\w+) at", row["reference"])}
        assert wrong == named, name
        assert re.search(r"the line of the (\w+) is wrong", row["criteria"][-1]["criterion"])[1] not in wrong  # pyright: ignore[reportOptionalSubscript]


def test_dials_and_levels() -> None:
    source = Rubric()
    assert source.levels() == tuple((float(c), float(h)) for h in (1, 2) for c in (2, 3, 4, 5, 6))
    once, twice = ([*itertools.islice(source.tasks("test", complexity=4, horizon=h), 5)] for h in (1, 2))
    assert [task.prompt for task in once] == [task.prompt for task in twice]
    assert not {task.task_id for task in once} & {task.task_id for task in twice}
    assert {len(criteria_of(task)) for task in once} == {4}
    assert [source.turns_of(task) for task in (once[0], twice[0])] == [1, 2]
    assert isinstance(source.episode(once[0]), SingleTurn)
    with pytest.raises(DataError, match="horizon is a whole number from 1 to 4"):
        first(source, 5)
    assert source.notes == ("rubric: 645 train, 68 validation, 87 test tasks from its own generator",)


def test_files_of_others(tmp_path: Path) -> None:
    chat = {"prompt": [{"role": "system", "content": "Short."}, {"role": "user", "content": "Rest?"}], "id": 7}
    points = {"rubrics": [{"criterion": "Says yes", "points": 5}, {"criterion": "Scares", "points": -3}]}
    source = file_of(tmp_path, {**ROW, "reference": "The moon.", "complexity": 9}, {**chat, **points})
    assert source.levels() == ((2.0, 1.0), (9.0, 1.0))
    health, tides = (next(source.tasks("test", complexity=c)) for c in (2, 9))
    assert health.prompt[0] == Message("system", "Short.")
    assert [each.weight for each in criteria_of(health)] == [5.0, -3.0]
    assert (tides.answer, health.metadata["id"]) == ("The moon.", "7")
    assert first(source, 3).horizon == 3


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"prompt": "a"}, r"line 2 has no criteria; give a list"),
        ({**ROW, "prompt": " "}, r"line 2 has no prompt; give a text or a list of messages"),
        ({**ROW, "prompt": []}, r"line 2 has no prompt"),
        ({**ROW, "prompt": [{"role": "assistant", "content": "a"}]}, r"line 2: its prompt ends with 'assistant'"),
        ({**ROW, "prompt": "b", "reference": 3}, r"line 2: its reference is 3; give a response as text"),
        ({**ROW, "prompt": "b", "complexity": "hard"}, r"line 2: its complexity is 'hard'; give a number"),
        ({"prompt": "b", "criteria": [{"criterion": "x"}]}, r"line 2, criterion 1 has no weight"),
        (
            {"prompt": "b", "criteria": [{"criterion": "x", "weight": -1}]},
            r"line 2: none of its 1 criteria has a weight",
        ),
        (
            {**ROW, "criteria": [{"criterion": "x", "weight": 1}]},
            r"line 2 asks what .*line 1 asks and is judged otherwise",
        ),
    ],
)
def test_wrong_rows_are_refused_with_their_line(tmp_path: Path, row: Any, error: str) -> None:
    with pytest.raises(DataError, match=error):
        first(file_of(tmp_path, ROW, row))


def played(source: Rubric, horizon: int, *versions: str) -> list[EpisodeStep]:
    task = first(source, horizon)
    episode = source.episode(task)

    async def play() -> list[EpisodeStep]:
        assert await episode.start() == task.prompt
        return [await episode.step(Message("assistant", each)) for each in versions]

    return asyncio.run(play())


def test_the_script_says_the_same_after_every_version_but_the_last(tmp_path: Path) -> None:
    first_step, second, third = played(file_of(tmp_path, ROW), 3, "a", "b", "c")
    assert first_step.messages == second.messages == (Message("user", REVISE),)
    assert (first_step.done, second.done, third) == (False, False, EpisodeStep(done=True))


def test_the_judges_review_names_what_speaks_against_a_version(tmp_path: Path) -> None:
    criteria = [*ROW["criteria"], {"criterion": "Blames the wind.", "weight": -1}]
    source = file_of(tmp_path, {**ROW, "criteria": criteria}).model_copy(update={"judge": Words(), "feedback": "judge"})
    one, two = played(source, 3, "the wind", "the moon")
    assert one.messages[0].content.splitlines() == [
        "A reviewer has read your answer.",
        "A good answer does this, and yours does not yet:",
        "- Names the moon.",
        "A good answer does not do this, and yours does:",
        "- Blames the wind.",
        "Write the whole answer anew.",
    ]
    assert two == EpisodeStep(done=True), "nothing speaks against it: the episode is over"
    with pytest.raises(WorldError, match="no review of version 1: the judge said nothing"):
        played(source, 2, "silence")
    asyncio.run(check_episode(source.episode, first(source, 2), max_turns=4))


def test_a_review_goes_by_halves() -> None:
    rubric = [Criterion("a", "A", 1.0), Criterion("b", "B", -1.0)]
    assert review(rubric, Score.graded(0, parts={"a": 0.5, "b": 0.4})) is None
    assert "- B" in (review(rubric, Score.graded(0, parts={"a": 0.5, "b": 0.5})) or "")


def test_the_last_version_counts() -> None:
    task = first(Rubric(), 2)
    assert isinstance(Rubric().episode(task), RevisionEpisode)
    asyncio.run(check_episode(Rubric().episode, task, max_turns=4))


def test_a_judge_without_agreement_is_refused_before_anything_is_sampled() -> None:
    source = make_environment("rubric", {"judge": {"name": "rubric", "model": "m"}})
    with pytest.raises(ConfigError, match="no measured agreement with people"):
        _ = source.notes

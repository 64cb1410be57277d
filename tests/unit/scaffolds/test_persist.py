"""A notebook that is handed on from one episode of a stream of tasks to the next."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.config import validate
from assay.endpoints.responder import Reply
from assay.engines.engine import Sampling
from assay.environments import Episode, EpisodeStep
from assay.errors import ConfigError
from assay.evaluation import EvalRow, evaluate
from assay.recipe import RunConfig
from assay.scaffolds import Notes, make_scaffold, with_handed_on
from assay.types import Message, Score, Task, Tool
from assay.verifiers import EpisodeScore

TASKS = [Task("counting", (Message("user", f"Task {i}."),), "x") for i in range(5)]


class Counting(Episode):
    """Ends after two turns, or breaks in its second where it is told to."""

    def __init__(self, task: Task, broken: Sequence[str] = ()) -> None:
        self.task = task
        self.heard: list[str] = []
        self.breaks = task.prompt[0].content in broken

    async def start(self) -> tuple[Message, ...]:
        return self.task.prompt

    async def step(self, message: Message) -> EpisodeStep:
        self.heard.append(message.content)
        if len(self.heard) < 2:
            return EpisodeStep((Message("user", "And now?"),))
        if self.breaks:
            raise RuntimeError("the world is down")
        return EpisodeStep(done=True)

    async def score(self) -> Score:
        return Score.solved(float(len(self.heard)))


class Noting:
    """Writes a note that names the task, and answers later tasks sooner than earlier ones."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}

    async def respond(
        self,
        messages: Sequence[Message],
        sampling: Sampling,
        *,
        request_id: str,
        seed: int,
        tools: Sequence[Tool] = (),
    ) -> Reply:
        first = messages[0].content
        number = int(first.split("Task ")[1].split(".")[0])
        await asyncio.sleep(0.002 * (10 - number))
        if len(messages) == 1:
            self.shown[request_id] = first
        sample = request_id.split("/")[-2]
        return Reply(f"Note: n{number}.{sample}.{len(messages)}\nleft", "stop")

    async def close(self) -> None: ...


def measured(
    responder: Noting, scaffold: Notes, *, done: Sequence[EvalRow] = (), broken: Sequence[str] = (), samples: int = 2
) -> list[EvalRow]:
    rows: list[EvalRow] = []
    result = asyncio.run(
        evaluate(
            TASKS,
            engine=responder,
            verifiers={"strict": EpisodeScore()},
            sampling=Sampling(temperature=1.0),
            seed=3,
            samples_per_task=samples,
            make_episode=lambda task: scaffold.around(Counting(task, broken), task),
            max_turns=5,
            on_row=rows.append,
            done=done,
            hands_on=scaffold if scaffold.persists else None,
        )
    )
    assert sorted(row.key for row in rows) == sorted(row.key for row in result.rows if row not in done)
    return list(result.rows)


def notebooks(responder: Noting) -> dict[tuple[int, int], list[str]]:
    """The notes that each episode began with, by task and sample."""
    found: dict[tuple[int, int], list[str]] = {}
    for request_id, text in responder.shown.items():
        _, task, sample, _ = request_id.split("/")
        found[int(task), int(sample)] = [line[2:] for line in text.splitlines() if line.startswith("- ")]
    return found


def expected(task: int, sample: int, without: Sequence[int] = ()) -> list[str]:
    return [f"n{i}.{sample}.{turn}" for i in range(task) if i not in without for turn in (1, 3)]


def test_a_stream_hands_its_notebook_on_in_the_order_of_its_tasks() -> None:
    responder = Noting()
    measured(responder, Notes(persist=True))
    assert notebooks(responder) == {(task, sample): expected(task, sample) for task in range(5) for sample in (0, 1)}
    alone = Noting()
    measured(alone, Notes())
    assert set(map(tuple, notebooks(alone).values())) == {()}
    few = Noting()
    measured(few, Notes(persist=True, max_notes=3))
    assert notebooks(few)[4, 1] == expected(4, 1)[-3:]


def test_an_interrupted_evaluation_goes_on_with_the_notebooks() -> None:
    whole = measured(Noting(), Notes(persist=True))
    kept = [row for row in whole if row.task_index < (3 if row.sample == 0 else 1)]
    kept = [EvalRow.from_dict(json.loads(json.dumps(row.to_dict()))) for row in kept]
    responder = Noting()
    assert measured(responder, Notes(persist=True), done=kept) == whole
    assert notebooks(responder) == {
        (task, sample): expected(task, sample) for sample, first in ((0, 3), (1, 1)) for task in range(first, 5)
    }


def test_what_breaks_hands_on_what_it_was_handed_and_is_tried_again_while_none_came_after_it() -> None:
    responder = Noting()
    rows = measured(responder, Notes(persist=True), broken=("Task 1.", "Task 4."), samples=1)
    assert [row.measured for row in rows] == [True, False, True, True, False]
    assert notebooks(responder)[4, 0] == expected(4, 0, without=[1])
    again = Noting()
    rows = measured(again, Notes(persist=True), done=rows, samples=1)
    assert [row.measured for row in rows] == [True, False, True, True, True]
    assert notebooks(again) == {(4, 0): expected(4, 0, without=[1])}


def test_what_is_handed_on_is_what_the_episode_kept() -> None:
    """The notebook by the rows, and the one that the model is shown inside, are one and the same."""
    scaffold = Notes(persist=True, last_turns=0, max_notes=4)
    said = ["Note: a", "left", "note:b\nNOTE: c\nleft", "Note: \nNote: d\nNote: e"]

    class World(Counting):
        async def step(self, message: Message) -> EpisodeStep:
            return EpisodeStep((Message("user", "go on"),))

    async def play() -> str:
        task = with_handed_on(TASKS[0], ("old",))
        episode = scaffold.around(World(task), task)
        shown = await episode.start()
        assert shown[0].content.endswith("Your notes:\n- old")
        for text in said:
            shown = (await episode.step(Message("assistant", text))).messages
        return shown[0].content

    notebook = scaffold.handed_on(("old",), said)
    assert notebook == ("b", "c", "d", "e")
    assert "Your notes:\n- b\n- c\n- d\n- e\n\ngo on" in asyncio.run(play())


def test_training_refuses_it_with_the_reason(tiny_model: Path) -> None:
    settings: dict[str, Any] = {"model": {"source": str(tiny_model)}, "scaffold": {"name": "notes", "persist": True}}
    with pytest.raises(ConfigError, match=r"scaffold\.persist of notes is for `assay eval`"):
        validate(RunConfig, settings)
    validate(RunConfig, {**settings, "scaffold": {"name": "notes"}})


def test_the_command_takes_settings_of_scaffolds(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSAY_HOME", str(tmp_path))
    options = ["--environment", "chain", "--complexity", "1", "--horizon", "1", "--num-tasks", "2"]
    command = ["eval", str(tiny_model), *options, "--max-new-tokens", "4", "--output", str(tmp_path / "out")]
    once = [*command, "--scaffold", "notes", "--scaffold-set", "notes.persist=true"]
    said = CliRunner().invoke(app, once, catch_exceptions=False, env={"COLUMNS": "300"}).output
    assert "1 streams of 2 episodes, one after the other" in said
    record = json.loads((tmp_path / "out" / "scores.json").read_text())["settings"]["scaffold"]
    assert record["persist"] is True
    assert "2 of 2 samples were there before" in CliRunner().invoke(app, once, catch_exceptions=False).output
    for wrong, match in (
        (["--scaffold-set", "notes.persist=true"], "--scaffold-set notes: give NAME.KEY=VALUE"),
        (["--scaffold", "notes", "--scaffold-set", "persist=true"], "--scaffold-set persist: give"),
        (["--scaffold", "notes", "--scaffold-set", "notes.persists=true"], "persists"),
    ):
        with pytest.raises(ConfigError, match=match):
            CliRunner().invoke(app, [*command[:-1], str(tmp_path / "other"), *wrong], catch_exceptions=False)


@pytest.mark.parametrize("name", ["plain", "react", "plan", "reflect", "notes"])
def test_nothing_persists_unless_it_is_said(name: str) -> None:
    assert not make_scaffold(name).persists

"""The rubric environment: what no rule can judge, judged criterion by criterion."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from assay.config import FileText
from assay.environments.dials import whole_dial
from assay.environments.environment import Level
from assay.environments.episode import Episode, SingleTurn
from assay.environments.file_environment import FileEnvironment
from assay.environments.messages import read_message
from assay.environments.rubric.episode import RevisionEpisode
from assay.environments.rubric.scenarios import scenario_rows
from assay.errors import DataError
from assay.types import Message, Split, Task
from assay.verifiers import AnyVerifier, MeasuredJudge, RubricPeople, Verifier, read_criteria
from assay.verifiers.criteria import conversation_text

MAX_VERSIONS = 4
LISTED_VERSIONS = (1.0, 2.0)
"""Horizons that `levels` lists of our own tasks; those of a file are measured at 1 unless more is asked for."""
_CRITERIA = ("criteria", "rubrics", "rubric")
_REFERENCES = ("reference", "reference_answer")
_FORM = '{"prompt": "...", "criteria": [{"criterion": "Says that ...", "weight": 2}]}'


class Rubric(FileEnvironment):
    """Explain, summarise, advise, review: open-ended tasks, each with criteria that have weights, and a judge.

    Complexity is the number of criteria (2 to 6 of our own tasks). Horizon, 1 to 4, is the number of versions that are
    written: after each but the last the model is shown feedback. The score is that of the last version: the weights of
    the criteria that it meets, divided by the positive ones, held to [0, 1].

    Without `path` the tasks are our own: 800 made-up minutes, machines, offers and plans, whose facts, and so whose
    criteria, are known. A file has rows with `prompt` (a text or messages) and `criteria` (a list of {criterion,
    weight}, each with a name or without; a weight below 0 is for something bad), and may have `reference` (a good
    response), `complexity` and `id`. HealthBench's `rubrics` with `points` are read too.
    """

    horizon_unit: ClassVar[str] = "versions written"

    name: Literal["rubric"] = "rubric"
    path: FileText = ""
    """File of tasks, as `rows` takes one; empty for our own."""
    judge: AnyVerifier = RubricPeople()
    """Who judges: "rubric" (a model at an endpoint), "rubric_reward_model", or "rubric_people" (a file of labels). The
    first two are used with their measured agreement with people alone."""
    feedback: Literal["script", "judge"] = "script"
    """What the model is shown between versions. script: the same words for every answer. judge: the criteria that the
    judge finds against it, which tells the model what it is judged by."""

    def files(self) -> Mapping[str, Sequence[Path]]:
        return super().files() if self.path else {}

    @property
    def rewards(self) -> Mapping[str, Verifier]:
        return {"strict": self.judge}

    @property
    def notes(self) -> tuple[str, ...]:
        judged = self.judge.agreement_notes() if isinstance(self.judge, MeasuredJudge) else ()
        return (*super().notes, *judged)

    def rows(self, source: str, notes: list[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return super().rows(source, notes) if source else scenario_rows()

    @property
    def max_turns(self) -> int:
        return MAX_VERSIONS

    def turns_of(self, task: Task) -> int:
        return _versions(task)

    def levels(self) -> tuple[Level, ...]:
        """Every number of criteria that there is; of our own tasks with one version and with two."""
        complexities = dict.fromkeys(complexity for complexity, _ in super().levels())
        return tuple((c, h) for h in (LISTED_VERSIONS[:1] if self.path else LISTED_VERSIONS) for c in complexities)

    def tasks(
        self, split: Split, *, complexity: float | None = None, horizon: float | None = None, seed: int = 0
    ) -> Iterator[Task]:
        """See `Environment.tasks`; a horizon of None is one version."""
        versions = whole_dial(self.name, "horizon", horizon, 1, MAX_VERSIONS)
        return (_with_versions(task, versions) for task in super().tasks(split, complexity=complexity, seed=seed))

    def episode(self, task: Task) -> Episode:
        if _versions(task) == 1:
            return SingleTurn(task)
        return RevisionEpisode(task, _versions(task), self.judge if self.feedback == "judge" else None)

    def make_task(self, row: Mapping[str, Any], place: str) -> Task:
        given = next((row[key] for key in _CRITERIA if row.get(key) is not None), None)
        criteria = read_criteria(given, place)
        reference = next((row[key] for key in _REFERENCES if row.get(key) is not None), "")
        if not isinstance(reference, str):
            raise DataError(f"{place}: its reference is {reference!r:.60}; give a response as text, or leave it out")
        complexity = row.get("complexity")
        if complexity is not None and (isinstance(complexity, bool) or not isinstance(complexity, int | float)):
            raise DataError(f"{place}: its complexity is {complexity!r:.60}; give a number, or leave it out")
        prompt = _prompt(row.get("prompt"), place)
        metadata = {"row": place, "canonical": conversation_text(prompt)}
        if row.get("id") is not None:
            metadata["id"] = str(row["id"])
        world = {"criteria": [each.to_dict() for each in criteria], "versions": 1}
        return Task(
            domain=self.name,
            prompt=prompt,
            answer=reference,
            complexity=float(len(criteria) if complexity is None else complexity),
            horizon=1.0,
            metadata={**metadata, "world": world},
        )


def _prompt(value: Any, place: str) -> tuple[Message, ...]:
    if isinstance(value, str) and value.strip():
        return (Message("user", value),)
    if not (isinstance(value, list) and value and all(isinstance(m, Mapping) and "role" in m for m in value)):
        raise DataError(f"{place} has no prompt; give a text or a list of messages: {_FORM}")
    messages = tuple(read_message(each, f"{place}: prompt") for each in value)
    if messages[-1].role != "user":
        raise DataError(f"{place}: its prompt ends with {messages[-1].role!r}; it must end with the user")
    return messages


def _versions(task: Task) -> int:
    return task.metadata["world"]["versions"]


def _with_versions(task: Task, versions: int) -> Task:
    """The task with so many versions to be written: another one, since it is judged by the last."""
    world = {**task.metadata["world"], "versions": versions}
    return dataclasses.replace(task, horizon=float(versions), metadata={**task.metadata, "world": world})

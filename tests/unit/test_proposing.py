"""The sampler of steps that propose and attempt: what each proposal earns, and what is not known of it."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pytest

from assay.components import make_component
from assay.curriculum import CurriculumSettings, ProposeCurriculum
from assay.environments import Environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.proposals import Proposals
from assay.errors import SandboxError, WorldError
from assay.run.proposing import UNSETTLED, ProposingSampler
from assay.types import PROPOSAL, Completion, Ending, EndingKind, Group, Message, Rollout, Score, Task, Turn

FINISHED, CUT_OFF = Ending(EndingKind.FINISHED), Ending(EndingKind.TRUNCATED, "length")
SUMS = Arithmetic(example=True, instruction="")


class Stub:
    """A sampler whose policy proposes these texts, and solves each task as often as it is told."""

    def __init__(self, curriculum: ProposeCurriculum, texts: Sequence[str], solved: Mapping[str, int]) -> None:
        self.curriculum, self.texts, self.solved = curriculum, texts, solved
        self.ending, self.drops, self.fails = FINISHED, False, False
        self.next_id = 0
        self.dropped: list[Group] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing is open."""

    async def next_groups(self, num_groups: int) -> list[Group]:
        if self.fails and not self.curriculum.asking:
            raise WorldError("the machine went away")
        groups = [self.play() for _ in range(num_groups)]
        asked = PROPOSAL in groups[0].task.metadata
        if self.drops and not asked:  # as one that refuses groups without a signal
            self.dropped, groups = groups, [self.play() for _ in range(num_groups)]
        return groups

    def play(self) -> Group:
        group_id, self.next_id = self.next_id, self.next_id + 1
        task = self.curriculum.next_task(group_id)
        if PROPOSAL in task.metadata:
            said, scores = self.texts, [UNSETTLED] * len(self.texts)
        else:
            count = self.solved.get(str(task.metadata.get("expression")), 0)
            said, scores = ["x"] * 4, [Score.solved()] * count + [Score.failed()] * (4 - count)
        rollouts = tuple(self.rollout(task, group_id, member, text) for member, text in enumerate(said))
        return Group(group_id, task, rollouts, tuple(scores))

    def rollout(self, task: Task, group_id: int, member: int, text: str) -> Rollout:
        turn = Turn((), False, Completion((1,), (-1.0,), "stop", ((0, 0),)), Message("assistant", text))
        return Rollout(task.task_id, group_id, member, (turn,), self.ending)

    def take_dropped(self) -> list[Group]:
        dropped, self.dropped = self.dropped, []
        return dropped

    def counters(self) -> dict[str, float]:
        return {"rollout/retried_count": 1.0, "rollout/left_out_share": 0.25}

    def state(self) -> dict[str, Any]:
        return {"next_id": self.next_id}

    def load_state(self, state: Mapping[str, Any]) -> None:
        self.next_id = state["next_id"]


def make(
    texts: Sequence[str], solved: Mapping[str, int], environment: Environment = SUMS, keep: Any = None, **options: Any
) -> tuple[ProposingSampler, Stub, ProposeCurriculum]:
    settings = make_component(CurriculumSettings, "propose", {"levels": [{"complexity": 2}], **options})
    curriculum = settings.begin(environment, 0)
    assert isinstance(curriculum, ProposeCurriculum)
    stub = Stub(curriculum, texts, solved)
    keep = keep or (lambda group: True)
    return ProposingSampler(stub, curriculum, min_group_size=2, keep=keep), stub, curriculum


def step(sampler: ProposingSampler, num_groups: int = 4) -> list[Group]:
    return asyncio.run(sampler.next_groups(num_groups))


def test_proposals_earn_by_how_often_their_tasks_are_solved() -> None:
    texts = ["27 + 85", "82 - 45", "85 + 27", "9**9**9", "27 + 86", "12 + 14", "99 + 98"]
    sampler, _, _ = make(texts, {"27 + 85": 2, "82 - 45": 1, "12 + 14": 4})
    asked, *tried = step(sampler, 5)
    # 4 k (n - k) / (n (n - 1)): 16/12, 1, a double, no expression, held out, trivial, hopeless.
    assert [score.value for score in asked.scores] == pytest.approx([4 / 3, 1.0, -0.5, -1.0, -0.5, 0.0, 0.0])
    assert [score.reason for score in asked.scores] == ["", "", "double", "no expression", "held out", "", ""]
    assert asked.is_graded
    assert [group.task.metadata["expression"] for group in tried] == ["27 + 85", "82 - 45", "12 + 14", "99 + 98"]
    assert not any(PROPOSAL in group.task.metadata for group in tried)
    found = sampler.counters()
    shares = {
        name: found[f"propose/{name}_share"] for name in ("read", "settled", "new", "kept", "attempted", "solved")
    }
    assert shares == pytest.approx(
        {"read": 6 / 7, "settled": 6 / 7, "new": 4 / 7, "kept": 2 / 7, "attempted": 1.0, "solved": 7 / 16}
    )
    assert found["propose/refused_count/held_out"] == 1.0
    assert found["propose/level_count/c2_h1"] == 3.0
    assert found["propose/level_count/c3_h1"] == 1.0
    assert found["rollout/retried_count"] == 2.0  # of both halves
    assert found["rollout/left_out_share"] == 0.25


def test_the_reward_of_absolute_zero() -> None:
    sampler, *_ = make(["27 + 85", "12 + 14", "99 + 98"], {"27 + 85": 1, "12 + 14": 4}, reward="difficulty")
    assert [score.value for score in step(sampler)[0].scores] == [0.75, 0.0, 0.0]
    assert step(sampler)[0].scores[0].reason == "double"


def test_a_proposal_that_nobody_attempted_is_not_measured() -> None:
    sampler, _, curriculum = make(["27 + 85", "12 + 14", "99 + 98"], {"27 + 85": 2, "12 + 14": 2})
    asked, *_ = step(sampler, 3)
    assert [score.value for score in asked.scores] == [pytest.approx(4 / 3), pytest.approx(4 / 3), None]
    assert asked.scores[2].reason == "its task was not attempted in this step"
    found = sampler.counters()
    assert found["propose/attempted_share"] == pytest.approx(2 / 3)
    assert found["propose/kept_share"] == 1.0  # of the two of which it is known
    curriculum.observe([asked, *_])
    assert curriculum.metrics()["propose/buffer_count"] == 3.0


def test_attempts_of_dropped_groups_count() -> None:
    sampler, stub, _ = make(["27 + 85", "12 + 14"], {"27 + 85": 4})
    stub.drops = True
    asked, *_ = step(sampler, 3)
    assert [score.value for score in asked.scores] == [0.0, 0.0]
    assert len(sampler.take_dropped()) == 2
    assert sampler.take_dropped() == []


def test_a_proposal_that_was_cut_off_is_no_proposal() -> None:
    sampler, stub, _ = make(["27 + 85", "12 + 14"], {})
    stub.ending = CUT_OFF
    assert [score.reason for score in step(sampler)[0].scores] == ["cut off", "cut off"]


@pytest.mark.parametrize("options", [{"reward": "none"}, {"keep": lambda group: not group.is_graded}])
def test_proposals_that_are_not_trained_on_are_dropped_and_their_tasks_attempted(options: dict[str, Any]) -> None:
    sampler, _, _ = make(["27 + 85", "12 + 14"], {"27 + 85": 2}, **options)
    tried = step(sampler)
    assert [group.task.metadata["expression"] for group in tried][:2] == ["27 + 85", "12 + 14"]
    assert len(tried) == 3
    (dropped,) = sampler.take_dropped()
    assert PROPOSAL in dropped.task.metadata


def test_an_executor_that_fails_leaves_the_proposal_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, _, curriculum = make(["27 + 85", "12 + 14"], {})

    async def fails(text: str) -> Task:
        raise SandboxError("the sandbox failed")

    monkeypatch.setattr(curriculum.proposals, "settle", fails)
    tried = step(sampler)
    assert len(tried) == 3  # nothing to compare: the proposing group is a dropped one
    (dropped,) = sampler.take_dropped()
    assert [score.measured for score in dropped.scores] == [False, False]
    found = sampler.counters()
    assert math.isnan(found["propose/read_share"])
    assert math.isnan(found["propose/kept_share"])


class Words(Proposals):
    """Any text is a task."""

    instruction = "Write."

    def shown(self, task: Task) -> str:
        return task.answer

    async def settle(self, text: str) -> Task:
        return Task("words", (Message("user", text),), text, metadata={"canonical": text, "expression": text})

    def text_of(self, task: Task) -> str:
        return task.answer


class Texts(Arithmetic):
    """Sums, of which any text may be proposed."""

    def proposals(self) -> Proposals:
        return Words()


def test_what_the_run_is_measured_on_is_refused_by_form_and_by_text() -> None:
    held = "one two three four five six seven eight nine ten eleven twelve thirteen"
    sampler, _, _ = make([f"zero {held} fourteen", "held", "fresh"], {}, Texts())
    task = Task("words", (Message("user", "held out"),), held, metadata={"canonical": "held"})
    sampler.held_out = lambda: [task]
    assert [score.reason for score in step(sampler)[0].scores][:2] == ["overlaps", "held out"]


def test_a_step_that_failed_between_its_halves_goes_on_with_its_proposals() -> None:
    texts, solved = ["27 + 85", "82 - 45", "85 + 27"], {"27 + 85": 2, "82 - 45": 1}
    whole, _, _ = make(texts, solved)
    sampler, stub, curriculum = make(texts, solved)
    stub.fails = True
    with pytest.raises(WorldError):
        step(sampler)
    state = json.loads(json.dumps({"sampler": sampler.state(), "curriculum": curriculum.state()}))
    again, _, resumed = make(texts, solved)
    again.load_state(state["sampler"])
    resumed.load_state(state["curriculum"])
    unbroken = step(whole)
    assert [group.to_dict() for group in step(again)] == [group.to_dict() for group in unbroken]
    stub.fails = False
    assert [group.to_dict() for group in step(sampler)] == [group.to_dict() for group in unbroken]
    assert sampler.state() == whole.state()

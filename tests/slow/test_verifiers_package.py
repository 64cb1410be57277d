"""verifiers itself: its tasksets as environments, and scores that are not measured.

pytest -m slow tests/slow/test_verifiers_package.py
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.real import play, run_raw, use_adapter
from assay.environments import check_environment, check_episode
from assay.environments.arithmetic import Arithmetic
from assay.environments.export import export_environment
from assay.environments.second_try import SecondTry
from assay.environments.verifiers import Verifiers
from assay.errors import DataError
from assay.types import Task, Verdict

pytestmark = pytest.mark.slow

TASKSETS = """
from collections.abc import Iterable

import verifiers.v1 as vf


class SumData(vf.TaskData):
    answer: str


class SumTask(vf.Task[SumData]):
    @vf.reward(weight=0.75)
    async def right(self, trace: vf.Trace) -> float:
        return float(self.data.answer == trace.last_reply)

    @vf.reward(weight=0.25)
    async def short(self, trace: vf.Trace) -> float:
        if trace.last_reply == "raise":
            raise ValueError("the judge is out")
        if trace.last_reply == "nan":
            return float("nan")
        return float(len(trace.last_reply) < 5)

    @vf.metric
    async def letters(self, trace: vf.Trace) -> float:
        return len(trace.last_reply)


class SumConfig(vf.TasksetConfig):
    count: int = 30


class Sums(vf.Taskset[SumTask, SumConfig]):
    def load(self) -> Iterable[SumTask]:
        for n in range(self.config.count):
            data = SumData(prompt=f"{n} + {n}?", system_prompt="a number", answer=str(2 * n))
            yield SumTask(data, self.config.task)


class BoxTask(vf.Task[SumData]):
    async def setup(self, trace, runtime):
        await runtime.write("x", b"")


class Boxes(vf.Taskset[BoxTask, SumConfig]):
    def load(self):
        yield BoxTask(SumData(prompt="?", answer=""), self.config.task)


class Silent(vf.Taskset[SumTask, SumConfig]):
    def load(self):
        yield SumTask(SumData(answer=""), self.config.task)
"""


@pytest.fixture(autouse=True, scope="module")
def tasksets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("verifiers") / "tasksets.py"
    file.write_text(TASKSETS)
    with pytest.MonkeyPatch.context() as patch:
        use_adapter("verifiers", patch)
        yield file


def sums(file: Path, **options: Any) -> tuple[Verifiers, Task]:
    environment = Verifiers(taskset=f"{file}:Sums", **options)
    return environment, next(environment.tasks("train"))


def test_a_taskset_as_it_is(tasksets: Path) -> None:
    environment, task = sums(tasksets)
    assert (task.prompt[0].role, task.prompt[0].content) == ("system", "a number")
    assert task.answer == task.metadata["data"]["answer"]
    (step,), score = play(environment, task, [task.answer])
    assert step.done
    assert score is not None
    assert (score.verdict, score.value) == (Verdict.SOLVED, 1.0)
    assert score.parts == {"right": 1.0, "short": 1.0, "letters": float(len(task.answer))}
    _, wrong = play(environment, task, ["-1"])
    assert wrong is not None
    assert (wrong.verdict, wrong.value) == (Verdict.FAILED, 0.25)
    _, thought = play(environment, task, [f"<think>hm</think>{task.answer}"])
    assert thought is not None
    assert thought.verdict is Verdict.SOLVED
    lenient, _ = sums(tasksets, solved_at=0.25)
    _, passed = play(lenient, task, ["-1"])
    assert passed is not None
    assert (passed.verdict, passed.value) == (Verdict.SOLVED, 0.25)


def test_a_scoring_function_that_raises_has_measured_nothing(tasksets: Path) -> None:
    raw = run_raw(
        "verifiers",
        f"""
import asyncio, sys
sys.path.insert(0, {str(tasksets.parent)!r})
import verifiers.v1 as vf
from tasksets import Sums, SumConfig
from verifiers.v1.graph import prepare_turn
task = next(iter(Sums(SumConfig())))
trace = vf.Trace(task=vf.TraceTask(type="t", data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig()))
reply = vf.AssistantMessage(content="raise")
answer = vf.Response(id="", created=0, model="", message=reply, finish_reason="stop")
prepare_turn(trace, [vf.UserMessage(content="?")]).commit(answer)
try:
    asyncio.run(task.score(trace))
except Exception as error:
    print(type(error).__name__, trace.reward, trace.rewards)
""",
    )
    assert raw.strip() == "TaskError 0 {'right': None, 'short': None}", "the package says 0, and loses what it knew"
    environment, task = sums(tasksets)
    for reply, says in (("raise", "ValueError: the judge is out"), ("nan", "the reward is nan")):
        _, score = play(environment, task, [reply])
        assert score is not None
        assert (score.verdict, score.value) == (Verdict.NOT_MEASURED, None)
        assert says in score.reason


def test_tasks_that_need_more_than_an_answer_are_refused(tasksets: Path) -> None:
    for name, says in (
        ("Boxes", "BoxTask.setup prepares a runtime"),
        ("Silent", "SumTask has no prompt"),
        ("SumTask", "is no Taskset"),
        ("Nothing", "no attribute 'Nothing'"),
    ):
        with pytest.raises(DataError, match=says):
            next(Verifiers(taskset=f"{tasksets}:{name}").tasks("train"))
    for taskset, config, says in (
        ("a_package_that_is_not_there", {}, "not found.*-m pip install NAME"),
        ("/nowhere.py:T", {}, "no file"),
        (f"{tasksets}:Sums", {"counts": 3}, "counts"),
    ):
        with pytest.raises(DataError, match=says):
            next(Verifiers(taskset=taskset, config=config).tasks("train"))


def test_what_the_protocol_promises(tasksets: Path) -> None:
    environment, task = sums(tasksets)
    asyncio.run(check_environment(environment, num_tasks=3))
    asyncio.run(check_episode(environment.episode, task))
    few = Verifiers(taskset=f"{tasksets}:Sums", config={"count": 5000}, max_tasks=450)
    assert sum(len(list(few.tasks(split))) for split in ("train", "validation", "test")) == 450
    first = [task.task_id for task in itertools.islice(few.tasks("train", seed=1), 5)]
    assert first != [task.task_id for task in itertools.islice(few.tasks("train", seed=2), 5)]


def test_an_environment_of_assay_as_its_taskset(tmp_path: Path) -> None:
    assert export_environment(Arithmetic(), "verifiers", tmp_path / "out", num_tasks=2) == 2
    printed = run_raw(
        "verifiers",
        f"""
import asyncio, sys
sys.path.insert(0, {str(tmp_path / "out")!r})
import verifiers.v1 as vf
from verifiers.v1.graph import prepare_turn
from verifiers.v1.utils.loaders import load_taskset
async def main():
    for number, task in enumerate(load_taskset(vf.TasksetConfig(id="taskset"))):
        trace = vf.Trace(task=vf.TraceTask(type="t", data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig()))
        reply = vf.AssistantMessage(content=task.data.row["answer"] if number == 0 else "no")
        answer = vf.Response(id="", created=0, model="", message=reply, finish_reason="stop")
        prepare_turn(trace, list(task.data.prompt)).commit(answer)
        await task.score(trace)
        print("SEEN", number, trace.reward)
asyncio.run(main())
""",
    )
    assert "SEEN 0 1.0" in printed
    assert "SEEN 1 0.0" in printed


def test_several_turns_under_another_harness_are_not_measured(tmp_path: Path) -> None:
    export_environment(SecondTry(), "verifiers", tmp_path / "out", num_tasks=1)
    printed = run_raw(
        "verifiers",
        f"""
import asyncio, sys
sys.path.insert(0, {str(tmp_path / "out")!r})
import verifiers.v1 as vf
from verifiers.v1.utils.loaders import load_taskset
task, = load_taskset(vf.TasksetConfig(id="taskset"))
trace = vf.Trace(task=vf.TraceTask(type="t", data=task.data), agent=vf.AgentInfo(config=vf.AgentConfig()))
try:
    asyncio.run(task.score(trace))
except Exception as error:
    print("SEEN", type(error).__name__, error, trace.rewards)
""",
    )
    assert "SEEN TaskError" in printed
    assert "leave --env.agent.harness.id out" in printed
    assert "{'reward': None}" in printed

"""inspect-ai itself: its tasks as environments, and what its scorers accept that is wrong.

pytest -m slow tests/slow/test_inspect.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from adapters.real import run_raw, said, use_adapter
from assay.environments import EpisodeStep, check_episode
from assay.environments.export import export_environment
from assay.environments.inspect import Inspect
from assay.environments.second_try import SecondTry
from assay.errors import ConfigError, DataError
from assay.types import Message, Score, Task, Verdict

pytestmark = pytest.mark.slow

TASKS = '''
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import Score, accuracy, exact, match, scorer
from inspect_ai.solver import generate, solver, system_message, use_tools
from inspect_ai.tool import tool


@task
def texts(target="-5", numeric=False, samples=1):
    data = [Sample(input=f"question {n}", target=target) for n in range(samples)]
    return Task(dataset=data, solver=[system_message("be brief"), generate()],
                scorer=match(numeric=True) if numeric else exact())


@tool
def add():
    async def execute(x: int, y: int):
        """Add two numbers.

        Args:
            x: One.
            y: The other.
        """
        return x + y

    return execute


@task
def tools():
    data = [Sample(input="what is 2 + 3?", target="5")]
    return Task(dataset=data, solver=[use_tools(add()), generate()], scorer=exact())


@scorer(metrics=[accuracy()])
def faulty(how="raise"):
    async def score(state, target):
        if how == "raise":
            raise ValueError("the judge is out")
        return Score(value=float("nan") if how == "nan" else {"a": 1, "b": 0} if how == "several" else 0.3)

    return score


@task
def judged(how="raise"):
    return Task(dataset=[Sample(input="say something", target="x")], solver=generate(), scorer=faulty(how))


@task
def two_scorers():
    return Task(dataset=[Sample(input="say", target="x")], solver=generate(), scorer=[exact(), match()])


@solver
def again():
    async def solve(state, generate):
        state = await generate(state)
        state.messages = state.messages[-1:]
        return await generate(state)

    return solve


@task
def rewritten():
    return Task(dataset=[Sample(input="say", target="x")], solver=again(), scorer=exact())
'''
SPLITS = ("train", "validation", "test")


@pytest.fixture(autouse=True, scope="module")
def tasks_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("inspect") / "tasks.py"
    file.write_text(TASKS)
    with pytest.MonkeyPatch.context() as patch:
        use_adapter("inspect", patch)
        yield file


def first(environment: Inspect) -> Task:
    for split in SPLITS:
        try:
            return next(environment.tasks(split))  # type: ignore[arg-type]
        except DataError as error:
            if "is empty" not in str(error):
                raise
    raise AssertionError


def play(
    environment: Inspect, task: Task, replies: Sequence[str | Message]
) -> tuple[list[Message], list[EpisodeStep], Score | None]:
    async def played() -> Any:
        episode, steps = environment.episode(task), []
        try:
            shown = list(await episode.start())
            for reply in replies:
                message = Message("assistant", reply) if isinstance(reply, str) else reply
                steps.append(await episode.step(message))
                if steps[-1].done:
                    break
            return shown, steps, await episode.score()
        finally:
            await episode.close()

    return asyncio.run(played())


def verdict(file: Path, target: str, reply: str, *, numeric: bool = False) -> tuple[Verdict, str]:
    environment = Inspect(task=f"{file}@texts", arguments={"target": target, "numeric": numeric})
    _, steps, score = play(environment, first(environment), [reply])
    assert steps[-1].done
    assert score is not None
    return score.verdict, score.reason


def test_a_task_as_it_is(tasks_file: Path) -> None:
    environment = Inspect(task=f"{tasks_file}@texts")
    task = first(environment)
    assert [(message.role, message.content) for message in task.prompt] == [
        ("system", "be brief"),
        ("user", "question 0"),
    ]
    assert task.answer == "-5"
    assert verdict(tasks_file, "-5", "-5") == (Verdict.SOLVED, "")
    assert verdict(tasks_file, "-5", "6") == (Verdict.FAILED, "wrong")
    asyncio.run(check_episode(environment.episode, task, max_turns=2))


@pytest.mark.parametrize(
    ("target", "reply", "numeric"),
    [("-5", "5", False), ("1/2", "12", False), ("34", "3*4", True)],
)
def test_what_its_scorers_accept_that_is_wrong(tasks_file: Path, target: str, reply: str, numeric: bool) -> None:
    raw = run_raw(
        "inspect",
        f"""
import asyncio
from inspect_ai.model import ModelName, ModelOutput
from inspect_ai.scorer import Target, exact, match
from inspect_ai.solver import TaskState
state = TaskState(ModelName("a/b"), 1, 1, "?", [], output=ModelOutput.from_content("b", {reply!r}))
scorer = match(numeric=True) if {numeric} else exact()
print(asyncio.run(scorer(state, Target({target!r}))).value)
""",
    )
    assert raw.strip() in ("C", "1.0"), "the package accepts it"
    found, reason = verdict(tasks_file, target, reply, numeric=numeric)
    assert (found, reason) == (Verdict.FAILED, f"only {'match' if numeric else 'exact'} of inspect-ai accepts it")


@pytest.mark.parametrize(
    ("target", "reply", "numeric"),
    [
        ("-5", " -5. ", False),
        ("1/2", "1/2", False),
        ("Paris", "the Paris!", False),
        ("well-known", "well known", False),
        ("34", "so it is 34", True),
        ("34", "17 * 2 = 34.0", True),
        ("1234", "$1,234", True),
        ("-5", "The answer is -5.", True),
    ],
)
def test_right_answers_stand(tasks_file: Path, target: str, reply: str, numeric: bool) -> None:
    assert verdict(tasks_file, target, reply, numeric=numeric) == (Verdict.SOLVED, "")


def test_a_sample_whose_own_target_is_rejected_is_left_out(tasks_file: Path) -> None:
    environment = Inspect(task=f"{tasks_file}@texts", arguments={"target": "A"})
    with pytest.raises(DataError, match="exact rejects its own target 'A'"):
        first(environment)


def test_tools(tasks_file: Path) -> None:
    environment = Inspect(task=f"{tasks_file}@tools")
    task = first(environment)
    function = {"name": "add", "arguments": {"x": 2, "y": 3}}
    call = Message("assistant", "", ({"type": "function", "id": "c1", "function": function},))
    shown, steps, score = play(environment, task, [call, "5"])
    assert [message.role for message in shown] == ["user"]
    (answer,) = steps[0].messages
    assert (answer.role, answer.content, answer.tool_call_id, answer.name) == ("tool", "5", "c1", "add")
    assert score is not None
    assert score.verdict is Verdict.SOLVED

    async def tools() -> Any:
        episode = environment.episode(task)
        await episode.start()
        await episode.close()
        return episode.tools

    (tool,) = asyncio.run(tools())
    assert (tool.name, tool.description) == ("add", "Add two numbers.")
    assert tool.parameters["properties"]["x"]["type"] == "integer"
    short = environment.model_copy(update={"turns": 1})
    _, steps, score = play(short, task, [call, "5"])
    assert len(steps) == 1, "inspect-ai ends the sample at its limit, and scores it"
    assert score is not None
    assert score.verdict is Verdict.FAILED


def test_unknown_is_not_zero(tasks_file: Path) -> None:
    for how, says in (("raise", "the judge is out"), ("nan", "NaN")):
        environment = Inspect(task=f"{tasks_file}@judged", arguments={"how": how})
        _, _, score = play(environment, first(environment), ["hello"])
        assert score is not None
        assert score.verdict is Verdict.NOT_MEASURED
        assert says in score.reason
    environment = Inspect(task=f"{tasks_file}@judged", arguments={"how": "part"})
    _, _, score = play(environment, first(environment), ["hello"])
    assert score is not None
    assert (score.verdict, score.value) == (Verdict.FAILED, 0.3)


def test_what_a_person_must_change(tasks_file: Path) -> None:
    for name, says in (
        ("two_scorers", "choose the one that counts by scorer="),
        ("rewritten", "rewrites the conversation"),
    ):
        environment = Inspect(task=f"{tasks_file}@{name}")
        with pytest.raises(DataError, match=says):
            play(environment, first(environment), ["x", "x"])
    chosen = Inspect(task=f"{tasks_file}@two_scorers", scorer="match")
    _, _, score = play(chosen, first(chosen), ["so: x"])
    assert score is not None
    assert (score.verdict, score.evidence) == (Verdict.SOLVED, "match")
    several = Inspect(task=f"{tasks_file}@judged", arguments={"how": "several"})
    with pytest.raises(DataError, match="of which no reward is made"):
        play(several, first(several), ["x"])
    for task, says in (("/nowhere.py@t", "no file"), (f"{tasks_file}@nothing", "is not made|names 0 tasks")):
        with pytest.raises((ConfigError, DataError), match=says):
            first(Inspect(task=task))


def test_splits_are_of_inputs(tasks_file: Path) -> None:
    environment = Inspect(task=f"{tasks_file}@texts", arguments={"samples": 12})
    found = {}
    for split in SPLITS:
        try:
            found[split] = {said(EpisodeStep(task.prompt)) for task in environment.tasks(split)}  # type: ignore[arg-type]
        except DataError as error:
            assert "is empty" in str(error)  # noqa: PT017
            found[split] = set()
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 12
    one, other = ([t.task_id for t in environment.tasks("train", seed=seed)] for seed in (0, 1))
    assert one != other
    assert sorted(one) == sorted(other)


def test_an_environment_of_assay_as_its_task(tmp_path: Path) -> None:
    assert export_environment(SecondTry(), "inspect", tmp_path / "out", num_tasks=3) == 3
    printed = run_raw(
        "inspect",
        f"""
import os, sys
os.environ["INSPECT_DISPLAY"] = "none"
sys.path.insert(0, {str(tmp_path / "out")!r})
import assay_player
from inspect_ai import eval
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from task import assay
rows = assay_player.read_tasks()
outputs = []
for said in (rows[0]["answer"], "no", rows[1]["answer"], "no", "no"):
    output = ModelOutput.from_content("m", said)
    output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    outputs.append(output)
model = get_model("mockllm/model", custom_outputs=outputs)
log, = eval(assay(), model=model, max_samples=1, log_dir={str(tmp_path / "logs")!r})
values = [next(iter(sample.scores.values())).value for sample in log.samples]
print("SEEN", log.status, [value["solved"] for value in values], [len(sample.messages) for sample in log.samples])
""",
    )
    assert "SEEN success [1.0, 1.0, 0.0] [2, 4, 4]" in printed

"""Episodes of several turns, exported, as verifiers and inspect-ai themselves play them.

pytest -m slow tests/slow/test_exports.py
"""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from adapters.real import run_raw, use_adapter
from adapters.script_server import Answer, Scripts, serving
from assay.engines.engine import Sampling
from assay.environments import Environment, make_environment, rewards_of
from assay.environments.export import export_environment
from assay.rollout.runner import run_rollout
from assay.types import Message, Score, Task, Verdict

pytestmark = pytest.mark.slow

NUM_TASKS = 2
ENTER = """
def enter(output):
    if sys.path[0] == output:
        return
    sys.path[:0] = [output]
    for name in ("taskset", "task", "assay_player"):
        sys.modules.pop(name, None)
"""
VERIFIERS = """
import asyncio, json, sys, time
import verifiers.v1 as vf
from verifiers.v1.clients import EvalClientConfig, ModelContext
from verifiers.v1.utils.loaders import load_environment, resolve_env_config

def seen(trace):
    return {
        "ok": trace.ok, "rewards": {k: None if v is None else v.value for k, v in trace.rewards.items()},
        "solved": trace.metrics.get("solved"), "turns": trace.num_turns, "branches": trace.num_branches,
        "tools": [tool.name for tool in trace.tools], "stop": trace.stop_condition,
        "errors": [error.message for error in trace.errors], "score": trace.info.get("assay"),
    }

async def main():
    for output, model, settings, cancelled, only in RUNS:
        enter(output)
        env = load_environment(resolve_env_config({"taskset": {"id": "taskset"}, "agent": settings}))
        ctx = ModelContext(model=model, client=EvalClientConfig(base_url=URL, api_key_var="NO_KEY"))
        async with env.serving():
            for number, task in enumerate(env.taskset.load()):
                if only is not None and number != only:
                    continue
                live = []
                playing = asyncio.create_task(env.run_episode(task, ctx, on_trace=live.append))
                while cancelled and not (live and live[0].num_turns):
                    await asyncio.sleep(0.01)
                if cancelled:
                    playing.cancel()
                    await asyncio.wait([playing])
                    continue
                (trace,) = (await playing).traces
                print("SEEN", json.dumps({"model": model, **seen(trace)}))
asyncio.run(main())
"""
INSPECT = """
import asyncio, json, os, sys, urllib.request
os.environ["INSPECT_DISPLAY"] = "none"
import anyio
from inspect_ai import eval_async
from inspect_ai.model import ModelOutput, ModelUsage, get_model
from inspect_ai.tool import ToolCall

def on_the_wire(message):
    calls = [
        {"type": "function", "id": call.id,
         "function": {"name": call.function, "arguments": json.dumps(call.arguments)}}
        for call in getattr(message, "tool_calls", None) or ()
    ]
    named = {"tool_call_id": message.tool_call_id} if message.role == "tool" else {}
    return {"role": message.role, "content": message.text, **named, **({"tool_calls": calls} if calls else {})}

def asks(model, cancelled):
    async def answer(messages, tools, tool_choice, config):
        if cancelled and any(message.role == "assistant" for message in messages):
            cancelled.set()
            await anyio.sleep(3600)
        tools = [
            {"type": "function", "function": {
                "name": tool.name, "description": tool.description,
                "parameters": tool.parameters.model_dump(exclude_none=True)}}
            for tool in tools
        ]
        body = {"model": model, "messages": [on_the_wire(message) for message in messages], "tools": tools}
        request = urllib.request.Request(URL + "/chat/completions", json.dumps(body).encode())
        choice = json.load(urllib.request.urlopen(request))["choices"][0]
        said = choice["message"]
        output = ModelOutput.from_content("m", said["content"], stop_reason=choice["finish_reason"])
        output.message.tool_calls = [
            ToolCall(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
            for call in said.get("tool_calls", ())
        ] or None
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output
    return answer

async def main():
    for output, name, settings, cancels, only in RUNS:
        enter(output)
        from task import assay
        cancelled = asyncio.Event() if cancels else None
        model = get_model("mockllm/model", custom_outputs=asks(name, cancelled), memoize=False)
        ids = None if only is None else only + 1
        playing = asyncio.create_task(eval_async(
            assay(), model=model, sample_id=ids, max_samples=1, log_dir=output + "/logs", fail_on_error=False,
            **settings
        ))
        if cancelled:
            await cancelled.wait()
            playing.cancel()
            await asyncio.wait([playing])
            continue
        (log,) = await playing
        for sample in log.samples:
            value = next(iter(sample.scores.values())).value if sample.scores else None
            print("SEEN", json.dumps({
                "model": name, "ok": sample.error is None, "rewards": value and {"reward": value["reward"]},
                "solved": value and value["solved"], "score": sample.metadata.get("score"),
                "turns": sum(message.role == "assistant" for message in sample.messages),
                "errors": [sample.error.message] if sample.error else [], "stop": sample.limit and sample.limit.type,
            }))
asyncio.run(main())
"""
SOURCES = {"verifiers": VERIFIERS, "inspect": INSPECT}

WORLD = """
from typing import Literal

from assay.environments import Environment, Episode, EpisodeStep
from assay.types import Message, Score, Task
from assay.verifiers import EpisodeScore


class Counts(Environment):
    name: Literal["counts"] = "counts"
    log: str

    @property
    def max_turns(self):
        return 9

    def turns_of(self, task):
        return 4

    def tasks(self, split, *, complexity=None, horizon=None, seed=0):
        for how in ("raises", "goes on"):
            yield Task("counts", (Message("user", how),), "")

    def episode(self, task):
        return CountsEpisode(self.log, task.prompt)

    @property
    def rewards(self):
        return {"strict": EpisodeScore()}


class CountsEpisode(Episode):
    def __init__(self, log, prompt):
        self.log, self.prompt, self.turns = log, prompt, 0

    def note(self, text):
        with open(self.log, "a") as file:
            print(text, file=file)

    async def start(self):
        self.note("start")
        return self.prompt

    async def step(self, message):
        self.turns += 1
        if self.turns == 2 and self.prompt[0].content == "raises":
            raise RuntimeError("the world fell over")
        return EpisodeStep((Message("user", "again"),))

    async def score(self):
        return Score.failed("unfinished", parts={"turns": self.turns})

    async def close(self):
        self.note("close")
"""


@pytest.fixture(params=["verifiers", "inspect"])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    use_adapter(request.param, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    return request.param


Run = tuple[str, str, dict[str, Any], bool, int | None]
"""A run of the package: of the export in this folder, by this model, with these settings of the package; whether it is
cancelled once the model has spoken; the number of the task that it plays, None for all."""


def run(package: str, runs: list[Run], answer: Answer) -> list[dict[str, Any]]:
    """What the package saw of each episode, by its own lights."""
    with serving(answer) as (url, _):
        printed = run_raw(package, f"URL, RUNS = {url!r}, {runs!r}\nimport sys\n{ENTER}{SOURCES[package]}")
    return [json.loads(line.removeprefix("SEEN ")) for line in printed.splitlines() if line.startswith("SEEN ")]


def here(environment: Environment, task: Task, script: str) -> Score:
    """The score that the runner here gives to a script."""

    async def played() -> Score:
        player = getattr(environment, script)(task)
        rollout = await run_rollout(
            task,
            environment.episode,
            player,
            None,
            Sampling(),
            run_seed=0,
            group_id=0,
            member=0,
            max_turns=environment.turns_of,
        )
        return await rewards_of(environment)["strict"](rollout, task)

    return asyncio.run(played())


def test_a_script_scores_there_what_it_scores_here(package: str, tmp_path: Path) -> None:
    expected, answers, runs = list[tuple[str, str, Score]](), dict[str, Scripts](), list[Run]()
    for name in ("chain", "maze", "clarify", "database", "adapt"):
        environment, folder = make_environment(name, {}), str(tmp_path / name)
        tasks = list(itertools.islice(environment.tasks("test"), NUM_TASKS))
        export_environment(environment, package, Path(folder), num_tasks=NUM_TASKS)  # type: ignore[arg-type]
        for script in ("expert", "weak"):
            runs.append((folder, f"{name}/{script}", {}, False, None))
            answers[f"{name}/{script}"] = Scripts(environment, script, tasks)
            expected += [(name, script, here(environment, task, script)) for task in tasks]
    seen = run(package, runs, lambda body: answers[body["model"]](body))
    for (name, script, score), each in zip(expected, seen, strict=True):
        assert (each["model"], each["ok"]) == (f"{name}/{script}", True), each
        assert each["rewards"] == {"reward": score.value}, each
        assert each["solved"] == (score.verdict is Verdict.SOLVED), each
        assert each["score"]["parts"] == dict(score.parts), each
        assert each["solved"] == (script == "expert"), "the expert solves each of these tasks, the weak script none"
        if script == "expert":
            assert each["turns"] > 1, each
        if package == "verifiers":
            assert each["branches"] == 1, "the conversation goes on, as it was said"
            assert each["tools"] == (["query"] if name == "database" else [])


def test_what_breaks_is_not_scored_and_every_episode_is_closed(package: str, tmp_path: Path) -> None:
    world, log, folder = tmp_path / "world.py", tmp_path / "log", str(tmp_path / "out")
    world.write_text(WORLD)
    environment = make_environment(f"{world}:Counts", {"log": str(log)})
    export_environment(environment, package, Path(folder))  # type: ignore[arg-type]
    limit = {"verifiers": {"max_turns": 2}, "inspect": {"message_limit": 4}}[package]
    runs: list[Run] = [(folder, "m", {}, False, None), (folder, "m", {}, True, 1), (folder, "m", limit, False, 1)]
    broken, whole, cut = run(package, runs, lambda body: Message("assistant", "1"))
    assert not broken["ok"]
    assert "the world fell over" in broken["errors"][0]
    assert not broken["rewards"], "no score, and none of 0"
    assert (whole["ok"], whole["turns"], whole["rewards"]) == (True, 4, {"reward": 0.0})
    assert whole["score"]["parts"] == {"turns": 4.0}
    assert (cut["ok"], cut["rewards"], cut["score"]["parts"]) == (True, {"reward": 0.0}, {"turns": 2.0})
    assert cut["stop"] == {"verifiers": "max_turns", "inspect": "message"}[package]
    assert log.read_text().split() == ["start", "close"] * 4

"""openenv itself: a real server, over its WebSocket.

pytest -m slow tests/slow/test_openenv.py
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from adapters.real import play, run_raw, said, use_adapter
from assay.adapters import interpreter_of
from assay.environments import check_episode
from assay.environments.openenv import OpenEnv
from assay.errors import AdapterError, DataError
from assay.types import Message, Verdict

pytestmark = pytest.mark.slow

SERVER = '''
import random
import sys

import uvicorn
from openenv.core.env_server import Action, Environment, Observation, State, create_fastapi_app


class Guess(Action):
    text: str


class Move(Action):
    row: int
    column: int


class Seen(Observation):
    text: str = ""


class Counter(Environment):
    """Pays 1 at the third step, where the secret is said, and goes on after it."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self):
        super().__init__()
        self.steps = 0
        self.secret = 0

    def reset(self, seed=None, episode_id=None, **more):
        self.steps = 0
        self.secret = random.Random(seed).randint(10, 99)
        return Seen(text=f"say {self.secret} at the third step")

    def step(self, action, timeout_s=None, **more):
        self.steps += 1
        said = str(self.secret) == action.text if isinstance(action, Guess) else action.row == self.secret
        return Seen(text=f"step {self.steps}", reward=float(said and self.steps >= 3), done=self.steps >= 3)

    @property
    def state(self):
        return State(step_count=self.steps)


action = Guess if sys.argv[2] == "text" else Move
app = create_fastapi_app(Counter, action, Seen, max_concurrent_envs=int(sys.argv[3]))
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error")
'''


class Server:
    """A server on this machine, which goes away and comes back at one address."""

    def __init__(self, script: Path, action: str = "text", sessions: int = 8) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [str(interpreter_of("openenv")), str(script), str(self.port), action, str(sessions)]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command)
        for _ in range(1200):
            try:
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
                opener.open(f"{self.url}/schema", timeout=5).close()
                return
            except OSError:
                assert self._process.poll() is None
                time.sleep(0.1)
        raise AssertionError

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("openenv") / "server.py"
    file.write_text(SERVER)
    with pytest.MonkeyPatch.context() as patch:
        use_adapter("openenv", patch)
        yield file


@pytest.fixture(scope="module")
def server(script: Path) -> Iterator[Server]:
    server = Server(script)
    yield server
    server.stop()


def test_an_episode_keeps_its_session_and_ends_when_it_is_done(server: Server) -> None:
    raw = run_raw(
        "openenv",
        f"""
import asyncio, json, urllib.request
from openenv.core import GenericEnvClient
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
def post(path, body):
    request = urllib.request.Request("{server.url}" + path, json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    return json.load(opener.open(request))["observation"]["text"]
post("/reset", {{"seed": 1}})
print(post("/step", {{"action": {{"text": "a"}}}}), post("/step", {{"action": {{"text": "a"}}}}))
async def main():
    async with GenericEnvClient(base_url="{server.url}") as env:
        secret = (await env.reset(seed=1)).observation["text"].split()[1]
        for _ in range(5):
            taken = await env.step({{"text": secret}})
            print(taken.observation["text"], taken.reward, taken.done)
asyncio.run(main())
""",
    ).splitlines()
    assert raw[0] == "step 1 step 1", "over plain HTTP every step is a first step"
    assert raw[-1] == "step 5 1.0 True", "it goes on stepping and paying after done"
    environment = OpenEnv(url=server.url)
    task = next(environment.tasks("train"))
    secret = task.prompt[0].content.split()[1]
    steps, score = play(environment, task, ["a", "b", f"<think>so</think>{secret}", secret, secret])
    assert [said(step) for step in steps] == ["step 1", "step 2", ""]
    assert [step.reward for step in steps] == [0.0, 0.0, 1.0]
    assert score is not None
    assert (score.verdict, score.value, score.parts) == (Verdict.SOLVED, 1.0, {"return": 1.0})
    _, lost = play(environment, task, ["a", "b", "c"])
    _, unfinished = play(environment, task, ["a"])
    assert lost is not None
    assert unfinished is not None
    assert (lost.reason, unfinished.reason) == ("lost", "unfinished")
    asyncio.run(check_episode(environment.episode, task, max_turns=3))


def test_a_server_that_goes_away_breaks_its_episodes_and_comes_back(script: Path) -> None:
    server = Server(script)
    environment = OpenEnv(url=server.url, seconds=20.0)
    task = next(environment.tasks("train"))

    async def interrupted() -> None:
        episode = environment.episode(task)
        try:
            await episode.start()
            assert said(await episode.step(Message("assistant", "a"))) == "step 1"
            server.stop()
            server.start()
            with pytest.raises(AdapterError, match=r"went away|Connection"):
                await episode.step(Message("assistant", "b"))
        finally:
            await episode.close()

    asyncio.run(interrupted())
    steps, _ = play(environment, task, ["a", "b"])
    assert [said(step) for step in steps] == ["step 1", "step 2"]
    server.stop()
    with pytest.raises(AdapterError, match="no OpenEnv server answers"):
        play(environment, task, ["a"])


def test_an_action_of_several_fields_is_a_tool_call(script: Path) -> None:
    server = Server(script, "fields", 1)
    environment = OpenEnv(url=server.url)
    task = next(environment.tasks("train"))
    secret = int(task.prompt[0].content.split()[1])

    def act(arguments: Any, name: str = "act") -> Message:
        function = {"name": name, "arguments": arguments}
        return Message("assistant", "", ({"type": "function", "id": "c", "function": function},))

    async def played() -> list[str]:
        episode, texts = environment.episode(task), []
        try:
            await episode.start()
            assert [tool.name for tool in episode.tools] == ["act"]
            assert set(episode.tools[0].parameters["properties"]) == {"row", "column"}
            for message in (
                Message("assistant", "hello"),
                act({}, "fly"),
                act({"row": 1}),
                act({"row": 1, "column": 2, "x": 3}),
                act({"row": "one", "column": 2}),
                act({"row": secret, "column": 0}),
            ):
                step = await episode.step(message)
                assert not step.done
                texts.append(said(step))
        finally:
            await episode.close()
        return texts

    texts = asyncio.run(played())
    assert [text.split(".")[0] for text in texts[:4]] == [
        "Call the tool act to act",
        "There is no tool 'fly'; call act",
        "An action has the field 'column', which is missing; its fields are row, column",
        "An action has no field 'x'; its fields are row, column",
    ]
    assert "not valid" in texts[4]
    assert texts[5] == "step 1", "nothing before it was a step"
    # One session at a time: a second episode waits until the first is closed.
    for _ in range(2):
        _, score = play(environment, task, ["x"])
        assert score is not None
    with pytest.raises(DataError, match=r"an action at .* has row, column"):
        next(OpenEnv(url=server.url, action_field="text").tasks("train"))
    server.stop()

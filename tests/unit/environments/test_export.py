from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assay.environments import Environment, make_environment
from assay.environments.arithmetic import Arithmetic
from assay.environments.export import export_environment
from assay.environments.second_try import SecondTry
from assay.environments.served import Served
from assay.errors import ConfigError


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Exports an environment, and imports the file by which another package plays it."""

    def export(environment: Environment) -> ModuleType:
        assert export_environment(environment, "inspect", tmp_path / "out", num_tasks=3) == 3
        spec = importlib.util.spec_from_file_location("assay_player", tmp_path / "out" / "assay_player.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    source = Path(__file__).parents[3] / "src"
    monkeypatch.setenv("PYTHONPATH", str(source))
    return export


def test_an_exported_environment_is_played_and_scored_by_its_own_reward(exported: Any) -> None:
    module = exported(SecondTry())
    assert module.MAX_TURNS == 2

    async def play() -> None:
        player = module.player()
        rows = module.read_tasks()
        assert len(rows) == 3
        one, _ = await asyncio.gather(player.start("one", rows[0]), player.start("other", rows[1]))
        assert one["messages"] == [{"role": "user", "content": rows[0]["prompt"][0][1]}]
        said = {"role": "assistant", "content": "no idea"}
        again = await player.reply("one", said, "stop")
        assert (again["keep"], again["messages"][0]["role"]) == (2, "user")
        right = {"role": "assistant", "content": rows[0]["answer"]}
        score = (await player.reply("one", right, "stop"))["score"]
        assert (score["verdict"], score["value"]) == ("solved", 1.0)
        await player.reply("other", said, "stop")
        assert (await player.cut("other", "time"))["score"]["verdict"] == "failed"
        await player.close("one")
        with pytest.raises(module.NotMeasuredError, match="no episode 'one'"):
            await player.reply("one", right, "stop")
        player._process.send_signal(signal.SIGSTOP)  # or it may answer before it ends
        waiting = asyncio.create_task(player.start("late", rows[2]))
        await asyncio.sleep(0)
        player._process.kill()
        with pytest.raises(module.NotMeasuredError, match="process ended"):
            await waiting
        with pytest.raises(module.NotMeasuredError, match="process has ended"):
            await player.reply("other", said, "stop")
        await player.close("other")
        begun = await player.start("anew", rows[2])
        assert begun["messages"], "a process that died is started again"
        player._process.stdin.close()
        await player._process.wait()

    asyncio.run(play())


def test_a_process_that_no_longer_reads_leaves_an_episode_unmeasured(exported: Any) -> None:
    module = exported(Arithmetic())

    async def play() -> None:
        player = module.player()
        row = module.read_tasks()[0]
        await player.start("one", row)
        player._process.send_signal(signal.SIGSTOP)  # or it may be seen to end before it is asked
        player._process.stdin.transport.abort()
        await asyncio.sleep(0.05)  # the pipe is known to be gone
        waiting = asyncio.create_task(player.reply("one", {"role": "assistant", "content": "1"}, "stop"))
        await asyncio.sleep(0)
        player._process.kill()
        with pytest.raises(module.NotMeasuredError, match="process ended"):
            await waiting

    asyncio.run(play())


def test_what_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_environment(Arithmetic(example=True), "verifiers", folder, num_tasks=5, split="validation")
    assert sorted(path.name for path in folder.iterdir()) == [
        "assay_player.py",
        "environment.json",
        "tasks.jsonl",
        "taskset.py",
    ]
    described = json.loads((folder / "environment.json").read_text())
    name = described["environment"].pop("name")
    assert make_environment(name, described["environment"]) == Arithmetic(example=True)
    assert described["command"][0] == sys.executable
    with pytest.raises(ConfigError, match="not empty"):
        export_environment(Arithmetic(), "inspect", folder)
    with pytest.raises(ConfigError, match="asks the model itself"):
        export_environment(Served(command="true"), "verifiers", tmp_path / "other")
    with pytest.raises(ConfigError, match="there are inspect, verifiers"):
        export_environment(Arithmetic(), "trl", tmp_path / "other")  # type: ignore[arg-type]

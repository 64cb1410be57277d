"""Real packages for tests: adapters installed once for this Python, and kept beside it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from assay.adapters import install, interpreter_of
from assay.environments import Environment, EpisodeStep
from assay.types import Message, Score, Task

HOME = Path(os.environ.get("ASSAY_TEST_HOME") or Path(sys.prefix) / "assay-home")


def use_adapter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install an adapter where it is not, and let this test find it."""
    monkeypatch.setenv("ASSAY_HOME", str(HOME))
    install(name)


def run_raw(name: str, code: str) -> str:
    """What a script prints that uses the package itself, without Assay."""
    done = subprocess.run([str(interpreter_of(name)), "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def play(environment: Environment, task: Task, replies: Sequence[str]) -> tuple[list[EpisodeStep], Score | None]:
    """The steps and the score of one episode."""

    async def played() -> tuple[list[EpisodeStep], Score | None]:
        episode, steps = environment.episode(task), []
        try:
            await episode.start()
            for reply in replies:
                steps.append(await episode.step(Message("assistant", reply)))
                if steps[-1].done:
                    break
            return steps, await episode.score()
        finally:
            await episode.close()

    return asyncio.run(played())


def said(step: EpisodeStep) -> str:
    return "\n".join(message.content for message in step.messages)

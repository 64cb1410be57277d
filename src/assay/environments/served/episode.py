"""ServedEpisode: one attempt by an agent's program, from its start to its report."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from assay.environments.driven import DrivenEpisode
from assay.environments.served.agent import Agent, environment_of
from assay.errors import ConfigError, WorldError
from assay.host import current_host
from assay.seeds import derive_seed
from assay.serving.conversation import Conversation
from assay.serving.session import AgentSession, ending_of
from assay.types import Ending, EndingKind, Score, Task

if TYPE_CHECKING:
    from assay.environments.served.environment import Served
    from assay.serving.server import Gateway

_TICK_SECONDS = 0.5
"""Seconds between two looks at whether an agent has gone silent."""
_SHOWN = 100
"""Characters at the end of an agent's output that a failure shows: of a traceback, the exception."""


class ServedEpisode(DrivenEpisode):
    """One attempt at a task: a process, a session of the run's gateway, and the score that was reported there."""

    def __init__(self, environment: Served, task: Task) -> None:
        self._environment = environment
        self._task = task
        self._session: AgentSession | None = None
        self._why_unreported = "the agent reported no reward"

    async def drive(self, conversation: Conversation) -> Ending:
        """See `DrivenEpisode.drive`.

        Raises:
            ConfigError: the program cannot be started, or the library that serves is not installed.
            WorldError: the agent failed, or hung, before it had asked anything.
        """
        gateway = _gateway()
        await gateway.start()
        most = self._environment.max_processes
        places = current_host().hold(("agents", most), lambda: asyncio.Semaphore(most), lambda held: None)
        async with places:
            now = asyncio.get_running_loop().time
            session = self._session = AgentSession(secrets.token_urlsafe(24), conversation, now)
            gateway.add(session)
            try:
                with tempfile.TemporaryDirectory(prefix="served-agent-") as folder:
                    return await self._play(gateway, session, Path(folder))
            finally:
                gateway.remove(session)

    async def score(self) -> Score | None:
        """Return the agent's report as a score; where there is none, what the environment says that is worth, or not
        measured: of an agent that has heard the model, with the suspicion that this was the model's doing."""
        session = self._session
        if session is None:
            return Score.not_measured(self._why_unreported)
        if session.report is not None:
            if session.conversation.turns:
                return session.score
            self._why_unreported = f"the agent reported {session.report.reward:g} and had heard nothing from the model"
        if self._environment.unreported is None or not session.conversation.turns:
            suspected = 0.0 if session.conversation.turns else None
            return Score.not_measured(self._why_unreported, evidence=session.notes, suspected=suspected)
        return Score.failed("unreported", self._environment.unreported, evidence=self._why_unreported)

    async def _play(self, gateway: Gateway, session: AgentSession, folder: Path) -> Ending:
        environment, file = self._environment, folder / "task.json"
        file.write_text(task_text(self._task), encoding="utf-8")
        variables = environment_of(
            environment.python,
            {
                "OPENAI_BASE_URL": gateway.base_url(session.key),
                "OPENAI_API_KEY": gateway.token,
                "ASSAY_REWARD_URL": gateway.reward_url(session.key),
                "ASSAY_TASK_FILE": str(file),
                # A proxy of this machine's would not find the way back here.
                **{name: f"{os.environ.get(name, '')},{gateway.host}".strip(",") for name in ("NO_PROXY", "no_proxy")},
                **environment.variables,
            },
        )
        try:
            agent = await Agent.start(environment.words(), variables, Path(environment.folder), file)
        except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
            raise ConfigError(f"the agent {environment.command!r} cannot be started: {error}") from error
        try:
            return await self._until_over(session, agent)
        finally:
            await agent.stop()

    async def _until_over(self, session: AgentSession, agent: Agent) -> Ending:
        exited, changed = asyncio.create_task(agent.wait()), asyncio.create_task(session.changed.wait())
        try:
            silent = _Silence(session)
            while not (exited.done() or changed.done()):
                before = asyncio.get_running_loop().time()
                await asyncio.wait((exited, changed), timeout=_TICK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if silent.after(asyncio.get_running_loop().time() - before) > self._environment.idle_seconds:
                    return self._cut_off(session, agent)
            if not changed.done():
                return self._left(session, exited.result(), agent)
            ending = ending_of(session)
            # Told of a limit, an agent may still report what it has earned; once it has reported, it ends by itself.
            reported = asyncio.create_task(session.reported.wait())
            waited_for = (exited,) if session.limit is None else (exited, reported)
            await asyncio.wait(waited_for, timeout=self._environment.grace_seconds, return_when=asyncio.FIRST_COMPLETED)
            reported.cancel()
            assert ending is not None, "what has changed is one of the three that end a session"
            return ending
        finally:
            for task in (exited, changed):
                task.cancel()
            await asyncio.gather(exited, changed, return_exceptions=True)

    def _left(self, session: AgentSession, code: int, agent: Agent) -> Ending:
        """The ending where the agent is gone without a report."""
        heard = bool(session.conversation.turns)
        self._why_unreported = f"the agent ended with exit code {code} and reported no reward"
        if heard and (code == 0 or self._environment.unreported is not None):
            return Ending(EndingKind.FINISHED, f"exit code {code}" if code else "no report")
        if heard:
            # Played again with the same words of the model, it may be that it does not fail.
            return Ending(EndingKind.BROKEN, f"{self._why_unreported}{_printed(agent)}", "environment")
        raise WorldError(f"the agent ended with exit code {code} and had asked nothing{_printed(agent)}")

    def _cut_off(self, session: AgentSession, agent: Agent) -> Ending:
        """The ending where the agent has gone silent."""
        seconds = f"{self._environment.idle_seconds:g} seconds (environment.idle_seconds)"
        self._why_unreported = f"the agent asked nothing for {seconds} and reported no reward"
        if session.conversation.turns:
            return Ending(EndingKind.TRUNCATED, "time")
        raise WorldError(f"the agent asked nothing for {seconds}{_printed(agent)}")


class _Silence:
    """Counts the seconds since an agent last asked something, those left out in which this event loop stood still."""

    def __init__(self, session: AgentSession) -> None:
        self._session = session
        self._num_asked = 0
        self._seconds = 0.0

    def after(self, seconds: float) -> float:
        """Return the seconds of silence, after so many more have passed."""
        if self._session.num_open or self._session.num_asked != self._num_asked:
            self._num_asked, self._seconds = self._session.num_asked, 0.0
        else:
            self._seconds += min(seconds, 2 * _TICK_SECONDS)
        return self._seconds


def _gateway() -> Gateway:
    """The gateway of the run.

    Raises:
        ConfigError: the library that serves is not installed.
    """
    try:
        from assay.serving.server import Gateway
    except ImportError as error:
        raise ConfigError(
            f"agents are served with starlette and uvicorn ({error}): pip install 'assay[serve]'"
        ) from None
    return current_host().hold("gateway", lambda: Gateway(secrets.token_urlsafe(32)), Gateway.close)


def _printed(agent: Agent) -> str:
    said = " ".join(agent.said.split())
    return f"; it printed {agent.num_printed} bytes, at the end: {said[-_SHOWN:]}" if said else "; it printed nothing"


def task_text(task: Task) -> str:
    """Return a task as the JSON that an agent reads: "messages", "answer", "metadata" and so on, and a seed that is the
    same for every attempt at it."""
    data = {**task.to_dict(), "task_id": task.task_id, "messages": [message.to_dict() for message in task.prompt]}
    del data["prompt"]
    return json.dumps({**data, "seed": derive_seed("agent", task.task_id) % 2**31})

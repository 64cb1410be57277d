"""Captures: sessions of anybody's agents with `assay serve --capture`, as rollouts that `assay show` shows."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

from assay.engines.engine import Engine, Sampling
from assay.errors import boundary_of
from assay.observe.store import RunStore
from assay.render.renderer import Renderer
from assay.seeds import derive_seed
from assay.serving.conversation import Conversation, ConversationLimits
from assay.serving.session import AgentSession, ending_of
from assay.types import Ending, EndingKind, Group, Message, Rollout, Task

LOOK_SECONDS = 0.1
"""Seconds between two looks at which sessions have ended."""
_NO_MESSAGE = (Message("user", ""),)


class Captures:
    """Makes the sessions of a server, and writes down each once it has ended.

    Args:
        sampling: how every request is sampled, whatever it asks for: what is trained on later needs to know it.
        idle_seconds: a session in which nothing is asked for so long is cut off.
        folder: where run.sqlite is written; one that is there is added to.
        model_folder: the folder of the model's tokenizer, with which `assay show` spells tokens.
        on_end: told of each session that has ended.
    """

    def __init__(
        self,
        engine: Engine,
        renderer: Renderer,
        sampling: Sampling,
        *,
        seed: int,
        idle_seconds: float,
        folder: Path,
        model_folder: Path,
        on_end: Callable[[AgentSession, Ending], None],
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._seed = seed
        self._idle_seconds = idle_seconds
        self._on_end = on_end
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(
            json.dumps({"status": "captured", "model_folder": str(model_folder)}), encoding="utf-8"
        )
        self._store = RunStore(folder)
        self._num_written = 1 + max((group for _, group, _ in self._store.rollout_places()), default=-1)

    def open(self, key: str) -> AgentSession:
        """A session for a key that nobody has asked with yet."""
        conversation = Conversation(
            self._engine,
            self._renderer,
            self._sampling,
            name=f"session/{key}",
            seed_of=lambda number: derive_seed(self._seed, "capture", key, number),
            limits=ConversationLimits(),
        )
        return AgentSession(key, conversation, time.monotonic)

    async def write_ended(
        self, sessions: Callable[[], tuple[AgentSession, ...]], remove: Callable[[AgentSession], None]
    ) -> None:
        """Write sessions down as they end, until cancelled; those still open then are cut off.

        Args:
            sessions: the open sessions.
            remove: takes one out of them.
        """
        try:
            while True:
                for session in sessions():
                    if (ending := self._ended(session)) is not None:
                        remove(session)
                        self._write(session, ending)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            for session in sessions():
                remove(session)
                self._write(session, self._ended(session) or Ending(EndingKind.TRUNCATED, "closed"))
            self._store.close()

    def _ended(self, session: AgentSession) -> Ending | None:
        if session.num_open:
            return None
        try:
            ending = ending_of(session)
        except Exception as error:
            return Ending(EndingKind.BROKEN, str(error)[:300], boundary_of(error, "engine"))
        if ending is not None and session.report is not None:
            return ending
        return (ending or Ending(EndingKind.TRUNCATED, "time")) if session.idle_seconds > self._idle_seconds else None

    def _write(self, session: AgentSession, ending: Ending) -> None:
        conversation = session.conversation
        task = Task("served", conversation.opening or _NO_MESSAGE, "", metadata={"session": session.key})
        turns = tuple(conversation.turns)
        rollout = Rollout(task.task_id, self._num_written, 0, turns, ending, session.score)
        group = Group(self._num_written, task, (rollout,), (session.score,))
        self._store.record_groups(0, [group], self._renderer.decode)
        self._store.commit()
        self._num_written += 1
        self._on_end(session, ending)

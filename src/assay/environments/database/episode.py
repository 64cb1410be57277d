"""DatabaseEpisode: queries against a database of its own, and then an answer or a changed state."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from assay.environments.database.sql import BoundedDatabase, QueryFailure
from assay.environments.database.world import DatabaseWorld
from assay.environments.episode import EpisodeStep
from assay.environments.tools import ToolEpisode, ToolFailure
from assay.types import Message, Score, Task, Tool
from assay.verifiers.text import normalise

QUERY = Tool(
    "query",
    "Runs one SQL statement (SQLite) and returns its rows.",
    {
        "type": "object",
        "properties": {"sql": {"type": "string", "description": "SELECT, INSERT, UPDATE or DELETE."}},
        "required": ["sql"],
        "additionalProperties": False,
    },
)
MAX_ANSWER_CHARACTERS = 200


@dataclass
class DatabaseEpisode(ToolEpisode):
    """Solved where the last message says the answer and nothing has been changed that was not asked for, or where the
    database is in the state that was asked for."""

    task: Task
    world: DatabaseWorld
    tools: Sequence[Tool] = (QUERY,)
    _database: BoundedDatabase | None = field(default=None, init=False)
    _answer: str | None = field(default=None, init=False)
    _num_queries: int = field(default=0, init=False)

    async def start(self) -> tuple[Message, ...]:
        self._database = BoundedDatabase(self.world.script)
        return self.task.prompt

    async def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        assert self._database is not None
        self._num_queries += 1
        try:
            return await asyncio.to_thread(self._database.run, arguments["sql"])
        except QueryFailure as failure:
            raise ToolFailure(str(failure)) from None

    async def answer(self, message: Message) -> EpisodeStep:
        self._answer = message.content
        return EpisodeStep(done=True)

    async def score(self) -> Score:
        """By the answer and by the state of the database, read from outside."""
        assert self._database is not None
        parts = {"queries": float(self._num_queries)}
        fresh = BoundedDatabase(self.world.script)
        try:
            if self.world.changed:
                fresh.run(self.world.changed)
            state_is_right = self._database.rows(self.world.tables) == fresh.rows(self.world.tables)
        finally:
            fresh.close()
        if not state_is_right:
            return Score.failed("wrong state" if self.world.changed else "changed", parts=parts)
        if self.world.changed:
            return Score.solved(parts=parts)
        if self._answer is None:
            return Score.failed("no answer", parts=parts)
        if not same_answer(self._answer, self.world.answer):
            return Score.failed("wrong", parts=parts, evidence=self._answer[:80])
        return Score.solved(parts=parts, evidence=self._answer[:80])

    async def close(self) -> None:
        if self._database is not None:
            self._database.close()


def same_answer(said: str, answer: str) -> bool:
    """Return whether a message is the answer: the whole of it, apart from case, white space and a full stop."""
    if len(said) > MAX_ANSWER_CHARACTERS:
        return False
    return normalise(said).strip().removesuffix(".").strip().casefold() == answer.casefold()


@dataclass
class Follower:
    """The expert: follows one column after the other, and answers with what it finds."""

    world: DatabaseWorld
    _hop: int = field(default=0, init=False)
    _told: bool = field(default=False, init=False)

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if self.world.changed:
            if self._told:
                return Message("assistant", "done")
            self._told = True
            last = self.world.path[-1]["to"]
            return _query(f"UPDATE {last} SET name = 'New' WHERE id = ({self._chain('id')})")
        if not self._told:
            self._told = True
            if self.world.answer.isdecimal():
                return _query(self._count())
            return _query(self._chain("name"))
        return Message("assistant", messages[-1].content.split("\n")[1])

    @property
    def _joined(self) -> str:
        """Every person with where their columns lead."""
        joins = (f"JOIN {hop['to']} ON {hop['table']}.{hop['to']}_id = {hop['to']}.id" for hop in self.world.path)
        return f"person {' '.join(joins)}"

    def _chain(self, column: str) -> str:
        """One statement that looks up where the person's columns lead."""
        last = self.world.path[-1]["to"]
        return f"SELECT {last}.{column} FROM {self._joined} WHERE person.name = '{self.world.start}'"

    def _count(self) -> str:
        """One statement that counts the persons who are led to the same place."""
        last = self.world.path[-1]["to"]
        return f"SELECT COUNT(*) FROM {self._joined} WHERE {last}.id = ({self._chain('id')})"


@dataclass
class Walker:
    """The expert of several turns: one query a hop, each with what the one before has found."""

    world: DatabaseWorld
    _hop: int = field(default=0, init=False)

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        path = self.world.path
        hop = self._hop
        self._hop += 1
        if self.world.changed and hop > len(path):
            return Message("assistant", "done")
        found = messages[-1].content.split("\n")[1] if hop else ""
        if hop == 0:
            return _query(f"SELECT {path[0]['to']}_id FROM person WHERE name = '{self.world.start}'")
        if hop < len(path):
            return _query(f"SELECT {path[hop]['to']}_id FROM {path[hop]['table']} WHERE id = {found}")
        last = path[-1]["to"]
        if self.world.changed:
            done = hop > len(path)
            return (
                Message("assistant", "done") if done else _query(f"UPDATE {last} SET name = 'New' WHERE id = {found}")
            )
        if hop == len(path):
            return _query(f"SELECT name FROM {last} WHERE id = {found}")
        return Message("assistant", found)


@dataclass
class Guesser:
    """The weak script: names the first row of the last table, without following anything."""

    world: DatabaseWorld
    _asked: bool = field(default=False, init=False)

    def reply(self, messages: Sequence[Message], tools: Sequence[Tool]) -> Message:
        if not self._asked:
            self._asked = True
            return _query(f"SELECT name FROM {self.world.path[-1]['to']} ORDER BY id LIMIT 1")
        return Message("assistant", messages[-1].content.split("\n")[1])


def _query(sql: str) -> Message:
    function = {"name": "query", "arguments": {"sql": sql}}
    return Message("assistant", "", ({"type": "function", "id": "", "function": function},))

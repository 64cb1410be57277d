"""Every answer that was paid for, on disk before it is used, so that none is paid for twice."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

from assay.endpoints.chat import most_tokens
from assay.endpoints.responder import Reply
from assay.errors import RunFolderError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, input_tokens INTEGER, output_tokens INTEGER,
    url TEXT, model TEXT
) WITHOUT ROWID
"""
_FAILED_SCHEMA = """
CREATE TABLE IF NOT EXISTS failed (
    url TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL
)
"""
_OF_MODEL = "(url IS NULL OR (url = ? AND model = ?))"
"""A row of a file of an earlier version does not say whose it is: it counts as anybody's."""


class Replies:
    """Replies by the key of their request, in one SQLite file that several processes may share.

    Args:
        path: made if missing, folders too; None keeps them in memory only.

    Raises:
        RunFolderError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite itself takes turns between threads: a judge may be asked from several.
            self._connection = sqlite3.connect(
                ":memory:" if path is None else path, timeout=60, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            # A reply that was used is on the disk, whatever happens to this machine.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(_SCHEMA)
            self._connection.execute(_FAILED_SCHEMA)
            self._add_columns()
        except (OSError, sqlite3.Error) as error:
            raise RunFolderError(f"replies cannot be kept in {path}: {error}; name another file") from None

    def _add_columns(self) -> None:
        """Add the columns that a file of an earlier version lacks."""
        there = {row[1] for row in self._connection.execute("PRAGMA table_info(replies)")}
        for column in ("url", "model"):
            if column not in there:
                with contextlib.suppress(sqlite3.OperationalError):  # another process was faster
                    self._connection.execute(f"ALTER TABLE replies ADD COLUMN {column} TEXT")

    def get(self, key: str) -> Reply | None:
        """The kept reply to a request; None where it was never answered, or what is kept cannot be read."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            data = json.loads(row[0])
            return Reply(**{**data, "tool_calls": tuple(data.get("tool_calls", ()))})
        except (ValueError, TypeError, AttributeError):
            return None

    def put(self, key: str, body: dict[str, Any], reply: Reply, url: str) -> None:
        """Keeps a reply. It survives the process, and the machine's power, from then on.

        Args:
            url: of the server.

        Raises:
            RunFolderError: the disk is full, or the file gone.
        """
        # ASCII: JSON escapes what SQLite's text cannot hold.
        tokens = (reply.input_tokens, reply.output_tokens)
        self._insert("replies", key, json.dumps(body), json.dumps(vars(reply)), *tokens, url, _model(body))

    def put_failed(self, url: str, body: dict[str, Any]) -> None:
        """Keeps that a try failed which may have been paid for.

        Raises:
            RunFolderError: the disk is full, or the file gone.
        """
        self._insert("failed", url, _model(body), *most_tokens(body))

    def _insert(self, table: str, *row: Any) -> None:
        try:
            self._connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        except sqlite3.Error as error:
            raise RunFolderError(f"a reply could not be kept in {self.path}: {error}; make room, then go on") from None

    def __len__(self) -> int:
        return self._connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0]

    def tokens(self, url: str, model: str) -> tuple[int, int]:
        """(prompt, sampled) tokens of the replies kept of one model at one server, where both numbers are known."""
        query = f"""SELECT TOTAL(input_tokens), TOTAL(output_tokens) FROM replies
            WHERE input_tokens IS NOT NULL AND output_tokens IS NOT NULL AND {_OF_MODEL}"""
        inputs, outputs = self._connection.execute(query, (url, model)).fetchone()
        return int(inputs), int(outputs)

    def unknown_tokens(self, url: str, model: str) -> tuple[int, int]:
        """(prompt, sampled) tokens, at most, of the other replies of that model, and of its failed tries."""
        query = "SELECT TOTAL(input_tokens), TOTAL(output_tokens) FROM failed WHERE url = ? AND model = ?"
        inputs, outputs = self._connection.execute(query, (url, model)).fetchone()
        query = f"SELECT request FROM replies WHERE (input_tokens IS NULL OR output_tokens IS NULL) AND {_OF_MODEL}"
        for (request,) in self._connection.execute(query, (url, model)):
            most = most_tokens(json.loads(request))
            inputs, outputs = inputs + most[0], outputs + most[1]
        return int(inputs), int(outputs)

    def close(self) -> None:
        self._connection.close()


def _model(body: dict[str, Any]) -> str:
    # SQLite's text cannot hold lone surrogates.
    return str(body.get("model", "")).encode("utf-8", "replace").decode()

"""Every answer that was paid for, on disk before it is used, so that none is paid for twice."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

from assay.endpoints.responder import Reply
from assay.errors import RunFolderError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, input_tokens INTEGER, output_tokens INTEGER
) WITHOUT ROWID
"""


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
        except (OSError, sqlite3.Error) as error:
            raise RunFolderError(f"replies cannot be kept in {path}: {error}; name another file") from None

    def get(self, key: str) -> Reply | None:
        """The kept reply to a request; None where it was never answered, or what is kept cannot be read."""
        row = self._connection.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        try:
            return Reply(**json.loads(row[0]))
        except (ValueError, TypeError):
            return None

    def put(self, key: str, body: dict[str, Any], reply: Reply) -> None:
        """Keeps a reply. It survives the process, and the machine's power, from then on.

        Raises:
            RunFolderError: the disk is full, or the file gone.
        """
        # ASCII: JSON escapes what SQLite's text cannot hold.
        row = (key, json.dumps(body), json.dumps(vars(reply)), reply.input_tokens, reply.output_tokens)
        try:
            self._connection.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            raise RunFolderError(f"a reply could not be kept in {self.path}: {error}; make room, then go on") from None

    def __len__(self) -> int:
        return self._connection.execute("SELECT COUNT(*) FROM replies").fetchone()[0]

    def tokens(self) -> tuple[int, int]:
        """(prompt, sampled) tokens of all replies kept, where their number is known."""
        query = "SELECT TOTAL(input_tokens), TOTAL(output_tokens) FROM replies"
        inputs, outputs = self._connection.execute(query).fetchone()
        return int(inputs), int(outputs)

    def close(self) -> None:
        self._connection.close()

"""BoundedDatabase: a real SQLite database in memory, for statements that nobody trusts.

Only reading and writing the rows of its own tables is allowed: SQLite asks an authorizer for every action that a
statement would take, and this one refuses whatever it does not know. Steps of its virtual machine, sizes of values and
of the whole database, and rows of a result are bounded, so that endless recursion ends and gigabytes are never made.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

MAX_STATEMENT_CHARACTERS = 10_000
MAX_STEPS = 5_000_000
"""Steps of SQLite's virtual machine that one statement may take: some tenths of a second."""
MAX_ROWS = 50
"""Rows of a result that are shown."""
MAX_RESULT_ROWS = 1_000
"""Rows of a result that are compared with another."""
MAX_VALUE_BYTES = 100_000
"""Bytes of a value, and of a statement's row."""
MAX_PAGES = 2_000
"""Pages of 4 kB that the database may have: 8 MB."""
_STEPS_BETWEEN_LOOKS = 10_000

_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_RECURSIVE,
    }
)
"""Actions of a statement that are carried out. Among the others: ATTACH, PRAGMA, transactions, and every CREATE, ALTER
and DROP."""
_REFUSED_FUNCTIONS = frozenset({"load_extension", "randomblob", "random", "fts3_tokenizer", "writefile", "readfile"})
"""Functions that are refused: those that reach outside, and those that no seed can repeat."""


class QueryFailure(Exception):  # noqa: N818, it is no fault of the program's
    """Raised where a statement is refused, wrong, or too much; its text is for whoever wrote it."""


class BoundedDatabase:
    """A database made by a script of our own, then open to statements of others.

    Args:
        script: statements that make and fill the tables.
        read_only: True to refuse every statement that would change a row.
    """

    def __init__(self, script: str, *, read_only: bool = False) -> None:
        # A statement may run in another thread than the one that made the database, one at a time.
        self._connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._connection.executescript(script)
        self._connection.execute(f"PRAGMA max_page_count={MAX_PAGES}")
        self._connection.execute("PRAGMA temp_store=MEMORY")
        for limit, value in (
            (sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES),
            (sqlite3.SQLITE_LIMIT_SQL_LENGTH, MAX_STATEMENT_CHARACTERS * 4),
            (sqlite3.SQLITE_LIMIT_COLUMN, 100),
            (sqlite3.SQLITE_LIMIT_EXPR_DEPTH, 100),
            (sqlite3.SQLITE_LIMIT_COMPOUND_SELECT, 50),
            (sqlite3.SQLITE_LIMIT_VDBE_OP, 25_000),
            (sqlite3.SQLITE_LIMIT_ATTACHED, 0),
            (sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 1),
            (sqlite3.SQLITE_LIMIT_WORKER_THREADS, 0),
        ):
            self._connection.setlimit(limit, value)
        self._connection.set_authorizer(_authorize_reading if read_only else _authorize)
        self._looks = 0
        self._connection.set_progress_handler(self._look, _STEPS_BETWEEN_LOOKS)

    def run(self, statement: str) -> str:
        """Run one statement and return its result as text: the columns' names, then a line for each row.

        Raises:
            QueryFailure: it is refused, wrong, or too much. Nothing of it is kept.
        """
        names, rows, changed = self._execute(statement, MAX_ROWS)
        if not names:
            return f"ok, {max(changed, 0)} rows changed"
        lines = [" | ".join(names), *(" | ".join(map(_shown, row)) for row in rows[:MAX_ROWS])]
        if len(rows) > MAX_ROWS:
            lines.append(f"... more than {MAX_ROWS} rows")
        return "\n".join(lines if rows else [*lines, "(no rows)"])

    def select(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement that asks for rows, and return them in their order.

        Raises:
            QueryFailure: it is refused, wrong, or too much, asks for nothing, or gives more than `MAX_RESULT_ROWS`.
        """
        names, rows, _ = self._execute(statement, MAX_RESULT_ROWS)
        if not names:
            raise QueryFailure("the statement asks for no rows")
        if len(rows) > MAX_RESULT_ROWS:
            raise QueryFailure(f"more than {MAX_RESULT_ROWS:,} rows")
        return rows

    def _execute(self, statement: str, most: int) -> tuple[list[str], list[tuple[object, ...]], int]:
        """The columns' names, at most one row more than `most`, and the number of changed rows."""
        if len(statement) > MAX_STATEMENT_CHARACTERS:
            raise QueryFailure(f"the statement has {len(statement):,} characters; at most {MAX_STATEMENT_CHARACTERS:,}")
        self._looks = 0
        try:
            cursor = self._connection.execute(statement)
            rows = cursor.fetchmany(most + 1)
            names = [column[0] for column in cursor.description or ()]
            changed = cursor.rowcount
            cursor.close()
        except sqlite3.Warning as error:
            raise QueryFailure(f"{error}") from None
        except sqlite3.Error as error:
            raise QueryFailure(self._explain(error)) from None
        except (ValueError, OverflowError, UnicodeError) as error:
            raise QueryFailure(f"{type(error).__name__}: {error}") from None
        return names, rows, changed

    def rows(self, tables: Iterable[str]) -> dict[str, list[tuple[object, ...]]]:
        """Every row of our own tables, in a fixed order: the state of the database."""
        self._looks = 0
        return {table: sorted(self._connection.execute(f"SELECT * FROM {table}"), key=repr) for table in tables}

    def close(self) -> None:
        """Free the memory."""
        self._connection.close()

    def _look(self) -> int:
        self._looks += 1
        return int(self._looks * _STEPS_BETWEEN_LOOKS > MAX_STEPS)

    def _explain(self, error: sqlite3.Error) -> str:
        text = str(error)[:300]
        if "interrupted" in text:
            return f"the statement took more than {MAX_STEPS:,} steps and was stopped"
        if "not authorized" in text or "prohibited" in text or "authorization" in text:
            return f"{text}: only SELECT, INSERT, UPDATE and DELETE on the tables that there are"
        if "full" in text:
            return "the database would be larger than it may be"
        return text


def _authorize(action: int, first: str | None, second: str | None, database: str | None, source: str | None) -> int:
    if action not in _ALLOWED:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REFUSED_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    writes = action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
    if (writes or action == sqlite3.SQLITE_READ) and (first or "").lower().startswith("sqlite_"):
        return sqlite3.SQLITE_DENY if writes else sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK


def _authorize_reading(
    action: int, first: str | None, second: str | None, database: str | None, source: str | None
) -> int:
    if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
        return sqlite3.SQLITE_DENY
    return _authorize(action, first, second, database, source)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return "NULL" if value is None else str(value).replace("\n", " ")[:200]


def made_of(tables: Sequence[tuple[str, Sequence[str], Sequence[Sequence[object]]]]) -> str:
    """Return a script that makes tables of (name, column definitions, rows)."""
    lines: list[str] = []
    for name, columns, rows in tables:
        lines.append(f"CREATE TABLE {name} ({', '.join(columns)});")
        lines += [f"INSERT INTO {name} VALUES ({', '.join(map(_literal, row))});" for row in rows]
    return "\n".join(lines)


def _literal(value: object) -> str:
    return str(value) if isinstance(value, int) else "'" + str(value).replace("'", "''") + "'"

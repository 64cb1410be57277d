"""The run store: every step, rollout, evaluation and event of a run, in one SQLite file that anyone can query.

One transaction a step: a run that is killed leaves whole steps. The tables:

| table           | one row for                                 | key                                     |
|-----------------|---------------------------------------------|-----------------------------------------|
| steps           | a metric at a step; NULL where it was NaN   | step, metric                            |
| rollouts        | an attempt at a task, with its score        | step, group_id, member                  |
| turns           | a turn of a rollout                         | step, group_id, member, turn            |
| evaluations     | accuracy and mean reward, 95 % intervals    | step, split, decoding, reading, level   |
| evaluation_rows | a raw result of an evaluation, as JSON      | step, split, decoding, position         |
| events          | something worth a line: a skip, a new level | id                                      |

Blobs of a rollout are little-endian: `token_ids` int32 [L]; `loss_mask` bits [L], most significant first;
`token_logprobs` and `trainer_logprobs` float32 [N], for the N tokens whose mask bit is set, in order.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from assay.errors import RunFolderError
from assay.observe.metrics import OF_THE_MACHINE
from assay.observe.records import (
    ALARM_EVIDENCE,
    EvaluationRecord,
    EventRecord,
    LevelShare,
    OutcomeCount,
    RolloutRecord,
    StepRewards,
    TurnRecord,
)
from assay.observe.store_rows import floats, number, plain_text, rollout_record, rollout_row, to_json, turn_rows
from assay.statistics import Interval
from assay.types import PROPOSAL, Group, Message

STORE_NAME = "run.sqlite"
"""Name of the file in a run folder."""

BEFORE_TRAINING = -1
"""The step of what was measured before the first update."""

_FORMAT = 3
_READABLE = (1, 2, 3)
"""Formats that can be read; 1 had no turns, 1 and 2 no mean rewards of evaluations."""
_MEAN_REWARDS = ("mean_reward", "reward_low", "reward_high")
_SCHEMA = """
CREATE TABLE steps (
    step INTEGER NOT NULL, metric TEXT NOT NULL, value REAL,
    PRIMARY KEY (step, metric)
) WITHOUT ROWID;
CREATE TABLE rollouts (
    step INTEGER NOT NULL, group_id INTEGER NOT NULL, member INTEGER NOT NULL,
    task_id TEXT NOT NULL, domain TEXT NOT NULL, level TEXT NOT NULL, complexity REAL, horizon REAL,
    prompt TEXT NOT NULL, answer TEXT NOT NULL, response TEXT NOT NULL,
    ending TEXT NOT NULL, ending_reason TEXT NOT NULL, boundary TEXT NOT NULL,
    verdict TEXT NOT NULL, value REAL, reason TEXT NOT NULL, evidence TEXT NOT NULL, parts TEXT NOT NULL,
    num_turns INTEGER NOT NULL, num_tokens INTEGER NOT NULL, version INTEGER NOT NULL, fork_starts TEXT NOT NULL,
    token_ids BLOB NOT NULL, loss_mask BLOB NOT NULL, token_logprobs BLOB NOT NULL, trainer_logprobs BLOB,
    PRIMARY KEY (step, group_id, member)
);
CREATE TABLE turns (
    step INTEGER NOT NULL, group_id INTEGER NOT NULL, member INTEGER NOT NULL, turn INTEGER NOT NULL,
    extends_previous INTEGER NOT NULL, num_context_tokens INTEGER NOT NULL, num_tokens INTEGER NOT NULL,
    finish_reason TEXT NOT NULL, version INTEGER NOT NULL,
    message TEXT NOT NULL, env_messages TEXT NOT NULL, env_reward REAL, state TEXT NOT NULL,
    PRIMARY KEY (step, group_id, member, turn)
) WITHOUT ROWID;
CREATE TABLE evaluations (
    step INTEGER NOT NULL, split TEXT NOT NULL, decoding TEXT NOT NULL, reading TEXT NOT NULL, level TEXT NOT NULL,
    accuracy REAL, low REAL, high REAL, num_tasks INTEGER NOT NULL, num_not_measured INTEGER NOT NULL,
    mean_reward REAL, reward_low REAL, reward_high REAL,
    PRIMARY KEY (step, split, decoding, reading, level)
) WITHOUT ROWID;
CREATE TABLE evaluation_rows (
    step INTEGER NOT NULL, split TEXT NOT NULL, decoding TEXT NOT NULL, position INTEGER NOT NULL, row TEXT NOT NULL,
    PRIMARY KEY (step, split, decoding, position)
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY, step INTEGER NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
);
CREATE INDEX events_by_step ON events (step);
"""
_IN_SHORT = """DROP INDEX IF EXISTS rollouts_by_outcome;
CREATE INDEX IF NOT EXISTS rollouts_in_short ON rollouts (
    step, group_id, member, domain, level, verdict, value, ending, ending_reason, boundary, reason, num_turns,
    num_tokens
);"""
"""What curves, counts and lists of rollouts read, without the texts and tokens between: some 3 % of the table. The
index that it takes the place of had no domain and no boundary."""
_TABLES = ("steps", "rollouts", "turns", "evaluations", "evaluation_rows", "events")


class RunStore:
    """Writes or reads `run.sqlite`. One writer; any number of readers beside it.

    Args:
        path: the file, or the run folder it is in. Created with its tables where it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = _file(path)
        self._connection = sqlite3.connect(self.path, timeout=30.0)
        try:
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and not self._has_tables():
                self._connection.execute("PRAGMA journal_mode=WAL")
                with self._connection:
                    self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version={_FORMAT}; COMMIT;")
            self._check_format()
            if self._format == 2:
                self._add_mean_rewards()
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if self._format > 1:
                self._connection.executescript(f"BEGIN; {_IN_SHORT} COMMIT;")
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise RunFolderError(f"{self.path} cannot be used as a run store: {error}") from None

    @classmethod
    def open_readonly(cls, path: Path) -> RunStore:
        """The store of a run, running or ended, for reading.

        Raises:
            RunFolderError: there is none, or it is no store of this version.
        """
        store = cls.__new__(cls)
        store.path = _file(path)
        if not store.path.is_file():
            raise RunFolderError(f"no run store at {store.path}; pass the folder of a run that has started")
        address = store.path.resolve().as_uri()
        try:
            try:
                store._connection = sqlite3.connect(f"{address}?mode=ro", uri=True, timeout=30.0)
                store._connection.execute("SELECT 1 FROM sqlite_master")
            except sqlite3.OperationalError:
                # A folder that may not be written to cannot hold the shared memory that reading a WAL store needs.
                store._connection = sqlite3.connect(f"{address}?immutable=1", uri=True)
            store._check_format()
        except sqlite3.DatabaseError as error:
            raise RunFolderError(_unreadable(store.path, error)) from None
        return store

    def __enter__(self) -> RunStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self.close()
        if isinstance(error, sqlite3.DatabaseError):
            raise RunFolderError(_unreadable(self.path, error)) from error

    def close(self) -> None:
        """Closes the file; what was not committed is dropped."""
        self._connection.close()

    # ---- writing ----

    def record_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one step by name; NaN is stored as NULL."""
        rows = [(step, name, number(value)) for name, value in metrics.items()]
        self._write_many("INSERT OR REPLACE INTO steps VALUES (?, ?, ?)", rows)

    def record_groups(
        self,
        step: int,
        groups: Sequence[Group],
        decode: Callable[[Sequence[int]], str],
        trainer_logprobs: Mapping[tuple[int, int], Sequence[float]] | None = None,
    ) -> None:
        """The rollouts that a step trained on, those that were not measured included.

        Args:
            decode: the renderer's `decode`, for the texts.
            trainer_logprobs: (group_id, member) to one log-probability for each sampled token of that
                rollout, in order (forks one after the other); members may be missing.
        """
        given = trainer_logprobs or {}
        rows = [
            rollout_row(step, group, rollout, score, decode, given.get((group.group_id, rollout.member)))
            for group in groups
            for rollout, score in zip(group.rollouts, group.scores, strict=True)
        ]
        self._insert("rollouts", rows)
        self._insert("turns", [row for group in groups for each in group.rollouts for row in turn_rows(step, each)])

    def record_evaluation(
        self,
        step: int,
        *,
        split: str,
        decoding: str,
        reading: str,
        accuracy: float | None,
        low: float | None,
        high: float | None,
        num_tasks: int,
        num_not_measured: int = 0,
        level: str = "all",
        mean_reward: Interval | None = None,
    ) -> None:
        """Record what was measured after the update of `step` (BEFORE_TRAINING: before the first), with 95 % intervals:
        an accuracy, None where scores are numbers without a verdict, and a mean reward, None where it is not known."""
        shares = (None if value is None else number(value) for value in (accuracy, low, high))
        mean = (None,) * 3 if mean_reward is None else (mean_reward.value, mean_reward.low, mean_reward.high)
        row = (step, split, decoding, reading, level, *shares, num_tasks, num_not_measured, *mean)
        self._insert("evaluations", [row])

    def record_evaluation_rows(self, step: int, split: str, decoding: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """The raw results behind an evaluation, one JSON object each."""
        self._write_many(
            "INSERT OR REPLACE INTO evaluation_rows VALUES (?, ?, ?, ?, ?)",
            [(step, split, decoding, i, to_json(row)) for i, row in enumerate(rows)],
        )

    def record_event(self, step: int, kind: str, text: str) -> None:
        """Record an event worth a line: kind is a word ("level", "skip", "drop", "checkpoint")."""
        self._write_many("INSERT INTO events (step, kind, text) VALUES (?, ?, ?)", [(step, kind, plain_text(text))])

    def commit(self) -> None:
        """Ends the transaction: what was recorded since the last commit survives the process."""
        with self._disk():
            self._connection.commit()

    def sync(self) -> None:
        """Commits, and makes it survive a power cut too: for the moment before a checkpoint counts as written."""
        self.commit()
        with self._disk():
            self._connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()

    def rollback(self, step: int) -> None:
        """Forgets everything at or after `step`: a checkpoint at step s holds the effect of the steps before s."""
        self._connection.rollback()
        for table in _TABLES:
            self._write_many(f"DELETE FROM {table} WHERE step >= ?", [(step,)])
        self.commit()

    # ---- reading ----

    def select(
        self, statement: str, values: Sequence[Any] = (), *, seconds: float | None = None
    ) -> list[dict[str, Any]]:
        """Rows of a SELECT over the tables above, as dictionaries.

        Args:
            seconds: the time that it may take; None for as long as it takes.

        Raises:
            RunFolderError: it takes longer, or the store cannot be read (any more).
        """
        if seconds is not None:
            deadline = time.monotonic() + seconds
            self._connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
        try:
            return list(self._rows(statement, values))
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                raise RunFolderError(f"{self.path}: no answer within {seconds:g} s; ask for less at once") from None
            raise RunFolderError(f"{self.path} cannot be read: {error}") from None
        finally:
            self._connection.set_progress_handler(None, 0)

    def metrics(self) -> dict[str, list[tuple[int, float | None]]]:
        """Name to [(step, value)] in step order; None where the value was NaN."""
        series: dict[str, list[tuple[int, float | None]]] = {}
        for step, name, value in self._connection.execute(
            "SELECT step, metric, value FROM steps ORDER BY metric, step"
        ):
            series.setdefault(name, []).append((step, value))
        return series

    def first_metrics(self) -> set[str]:
        """Names of what the first step recorded: what kind of run it is, without reading the others."""
        found = self._connection.execute("SELECT metric FROM steps WHERE step = (SELECT MIN(step) FROM steps)")
        return {name for (name,) in found}

    def comparable_metrics(self) -> dict[str, list[tuple[int, float | None]]]:
        """The metrics that a run at the same seed must repeat bit for bit."""
        return {name: points for name, points in self.metrics().items() if not name.startswith(OF_THE_MACHINE)}

    def num_steps(self) -> int:
        """Steps recorded so far."""
        return self._connection.execute("SELECT COUNT(DISTINCT step) FROM steps").fetchone()[0]

    def rollouts(
        self,
        step: int | None = None,
        group: int | None = None,
        member: int | None = None,
        limit: int | None = None,
    ) -> list[RolloutRecord]:
        """Rollouts of a step, a group or a member, in order; all of them where nothing is given."""
        chosen = {"step": step, "group_id": group, "member": member}
        wanted = {name: value for name, value in chosen.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in wanted) or "1"
        rows = self._rows(
            f"SELECT * FROM rollouts WHERE {where} ORDER BY step, group_id, member LIMIT ?",
            (*wanted.values(), -1 if limit is None else limit),
        )
        return [rollout_record(row) for row in rows]

    def turns(self, step: int, group: int, member: int) -> list[TurnRecord]:
        """The turns of a rollout, in order; none where the store is of before turns were kept."""
        if self._format < 2:
            return []
        rows = self._rows(
            "SELECT * FROM turns WHERE step = ? AND group_id = ? AND member = ? ORDER BY turn", (step, group, member)
        )
        return [
            TurnRecord(
                **{
                    **row,
                    "extends_previous": bool(row["extends_previous"]),
                    "message": Message.from_dict(json.loads(row["message"])),
                    "env_messages": tuple(map(Message.from_dict, json.loads(row["env_messages"]))),
                }
            )
            for row in rows
        ]

    def rollout_places(self) -> list[tuple[int, int, int]]:
        """(step, group, member) of every rollout."""
        return self._connection.execute("SELECT step, group_id, member FROM rollouts ORDER BY 1, 2, 3").fetchall()

    def group_places(self) -> list[tuple[int, int]]:
        """(step, group) of every group."""
        return self._connection.execute("SELECT DISTINCT step, group_id FROM rollouts ORDER BY 1, 2").fetchall()

    def trained_task_ids(self) -> set[str]:
        """Ids of the tasks that rollouts were of."""
        return {task_id for (task_id,) in self._connection.execute("SELECT DISTINCT task_id FROM rollouts")}

    def evaluations(self) -> list[EvaluationRecord]:
        """Every accuracy and mean reward, in step order."""
        rows = self._rows("SELECT * FROM evaluations ORDER BY step, split, decoding, reading, level")
        return [EvaluationRecord(**row) for row in rows]

    def evaluation_rows(self, step: int, split: str, decoding: str) -> list[dict[str, Any]]:
        """The raw results behind one evaluation."""
        rows = self._rows(
            "SELECT row FROM evaluation_rows WHERE step = ? AND split = ? AND decoding = ? ORDER BY position",
            (step, split, decoding),
        )
        return [json.loads(row["row"]) for row in rows]

    def events(self) -> list[EventRecord]:
        """Every event, in the order it was recorded, but for the evidence of alarms, which is `alarms`."""
        query = "SELECT step, kind, text FROM events WHERE kind != ? ORDER BY step, id"
        return [EventRecord(**row) for row in self._rows(query, (ALARM_EVIDENCE,))]

    def alarms(self) -> list[dict[str, Any]]:
        """What the run's watch saw, in order: `signal`, `says`, `where`, `step`, `rate`, `usual`, `allowed`, and
        `examples` with their `step`, `group`, `member`, `task_id` and `response`."""
        rows = self._rows("SELECT text FROM events WHERE kind = ? ORDER BY step, id", (ALARM_EVIDENCE,))
        return [json.loads(row["text"]) for row in rows]

    def outcomes(self, step: int | None = None) -> list[OutcomeCount]:
        """Rollouts by how they ended and what they earned, the most frequent first."""
        boundary = "boundary" if self._format > 1 else "''"
        rows = self._rows(
            f"SELECT ending, ending_reason, verdict, reason, COUNT(*) AS count, {boundary} AS boundary FROM rollouts "
            "WHERE ? IS NULL OR step = ? "
            "GROUP BY ending, ending_reason, verdict, reason, 6 ORDER BY count DESC, ending, verdict, reason",
            (step, step),
        )
        return [OutcomeCount(**row) for row in rows]

    def level_shares(self, *, by_group: bool = False) -> list[LevelShare]:
        """Rollouts by step and level; or one entry for each group. Levels without a verdict are of rewards alone."""
        group = ", group_id" if by_group else ""
        rows = self._rows(
            "SELECT step, level, SUM(verdict = 'solved') AS solved, SUM(verdict != 'graded') AS measured, "
            "AVG(value) AS reward, COUNT(*) AS num_rewards FROM rollouts "
            f"WHERE verdict != 'not_measured' AND domain != ? GROUP BY step, level{group} ORDER BY step, level{group}",
            (PROPOSAL,),
        )
        return [LevelShare(**row) for row in rows]

    def step_rewards(self) -> list[StepRewards]:
        """Rewards and response lengths, step by step, of attempts alone: what proposals earn is another thing."""
        means = (
            "SELECT step, AVG(num_tokens), AVG(num_turns) FROM rollouts WHERE domain != ? GROUP BY step ORDER BY step"
        )
        lengths = {step: (tokens, turns) for step, tokens, turns in self._connection.execute(means, (PROPOSAL,))}
        groups: dict[int, list[list[float]]] = {step: [] for step in lengths}
        for step, *group in self._connection.execute(
            "SELECT step, AVG(value), COUNT(value), MIN(value), MAX(value), SUM(verdict = 'graded') FROM rollouts "
            "WHERE value IS NOT NULL AND domain != ? "
            "GROUP BY step, group_id ORDER BY step, group_id",
            (PROPOSAL,),
        ):
            groups[step].append(group)
        return [
            StepRewards(
                step,
                tuple(mean for mean, *_ in found),
                *lengths[step],
                int(sum(count for _, count, *_ in found)),
                (
                    min((lowest for _, _, lowest, *_ in found), default=math.nan),
                    max((highest for *_, highest, _ in found), default=math.nan),
                ),
                bool(found) and all(count == graded for _, count, _, _, graded in found),
            )
            for step, found in groups.items()
        ]

    def logprob_gaps(self) -> dict[int, float]:
        """Return, by step, the mean absolute difference of sampler's and trainer's log-probabilities, in nats a
        token."""
        sums: dict[int, list[float]] = {}
        for step, sampler, trainer in self._connection.execute(
            "SELECT step, token_logprobs, trainer_logprobs FROM rollouts "
            "WHERE trainer_logprobs IS NOT NULL ORDER BY step"
        ):
            difference = np.abs(floats(sampler) - floats(trainer)).astype(np.float64)
            # NaN where nobody sampled: a demonstration.
            known = difference[np.isfinite(difference)]
            total = sums.setdefault(step, [0.0, 0.0])
            total[0] += float(known.sum())
            total[1] += len(known)
        return {step: total / count for step, (total, count) in sums.items() if count}

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query of one's own, for what no method here answers."""
        return self._connection.execute(sql, values).fetchall()

    # ---- inside ----

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[dict[str, Any]]:
        cursor = self._connection.execute(query, values)
        names = [column[0] for column in cursor.description]
        return (dict(zip(names, row, strict=True)) for row in cursor)

    def _insert(self, table: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._write_many(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", rows)

    def _write_many(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        with self._disk():
            self._connection.executemany(statement, rows)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise RunFolderError(f"cannot write {self.path}: {error}; make room for it, then resume the run") from error

    def _has_tables(self) -> bool:
        return bool(self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0])

    def _add_mean_rewards(self) -> None:
        """Brings a store of format 2 to format 3, so that its run can be gone on with."""
        with self._disk():
            columns = "".join(f"ALTER TABLE evaluations ADD COLUMN {name} REAL; " for name in _MEAN_REWARDS)
            self._connection.executescript(f"BEGIN; {columns} PRAGMA user_version=3; COMMIT;")
        self._format = _FORMAT

    def _check_format(self) -> None:
        self._format: int = self._connection.execute("PRAGMA user_version").fetchone()[0]
        if self._format not in _READABLE:
            self._connection.close()
            readable = ", ".join(map(str, _READABLE))
            raise RunFolderError(
                f"{self.path} has store format {self._format}; this version of Assay reads formats {readable}"
            )


def _unreadable(path: Path, error: sqlite3.DatabaseError) -> str:
    return (
        f"{path} cannot be read as a run store: {error}. It may be half copied, or of another version: copy it once "
        "more, or ask sqlite3 to .recover it"
    )


def _file(path: Path) -> Path:
    path = Path(path)
    return path / STORE_NAME if path.is_dir() else path

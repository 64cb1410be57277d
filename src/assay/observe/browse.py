"""Looking through the rollouts of a run a page at a time: the store answers, whatever the number of rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from assay.observe.store import RunStore

RolloutOrder = Literal["step", "newest", "reward", "tokens"]
_ORDERS: dict[str, str] = {
    "step": "step, group_id, member",
    "newest": "step DESC, group_id DESC, member DESC",
    "reward": "value IS NULL, value DESC, step, group_id, member",
    "tokens": "num_tokens DESC, step, group_id, member",
}
ORDERS: tuple[str, ...] = tuple(_ORDERS)
"""Orders of rollouts: oldest first, newest first, best paid first, longest first."""
MOST_COUNTED = 1000
"""Rollouts with a text that are counted; of more it is said that there are more."""
TEXT_SECONDS = 10.0
"""Time that a search through the texts may take."""
_EXCERPT = 200


@dataclass(frozen=True)
class RolloutFilter:
    """Which rollouts are wanted. What is None, or empty, does not matter."""

    verdict: str | None = None
    ending: str | None = None
    level: str | None = None
    low: float | None = None
    """The smallest reward."""
    high: float | None = None
    """The largest reward."""
    first_step: int | None = None
    last_step: int | None = None
    text: str = ""
    """Text that the prompt, the response, the answer or the evidence holds, in small letters or large."""

    def condition(self) -> tuple[str, list[Any]]:
        """Return it as SQL, with the values of its marks."""
        parts, values = ["1"], []
        for column, wanted in (("verdict = ?", self.verdict), ("ending = ?", self.ending), ("level = ?", self.level)):
            if wanted:
                parts.append(column)
                values.append(wanted)
        bounds = (
            ("value >= ?", self.low),
            ("value <= ?", self.high),
            ("step >= ?", self.first_step),
            ("step <= ?", self.last_step),
        )
        for column, bound in bounds:
            if bound is not None:
                parts.append(column)
                values.append(bound)
        if self.text:
            escaped = self.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            columns = ("prompt", "response", "answer", "evidence")
            parts.append("(" + " OR ".join(f"{column} LIKE ? ESCAPE '\\'" for column in columns) + ")")
            values += [f"%{escaped}%"] * len(columns)
        return " AND ".join(parts), values


@dataclass(frozen=True)
class RolloutLine:
    """A rollout in a list. Its excerpt is what a model wrote: hostile until shown to be safe."""

    step: int
    group_id: int
    member: int
    task_id: str
    level: str
    verdict: str
    value: float | None
    ending: str
    num_turns: int
    num_tokens: int
    excerpt: str
    """The beginning of the response."""


@dataclass(frozen=True)
class RolloutChoices:
    """What the rollouts of a run can be told apart by."""

    num: int
    verdicts: Sequence[str]
    endings: Sequence[str]
    levels: Sequence[str]


def rollout_choices(store: RunStore) -> RolloutChoices:
    """Return the outcomes, endings and levels that there are."""
    rows = store.select("SELECT verdict, ending, level, COUNT(*) AS num FROM rollouts GROUP BY verdict, ending, level")
    verdicts, endings, levels = (tuple(sorted({row[name] for row in rows})) for name in ("verdict", "ending", "level"))
    return RolloutChoices(sum(row["num"] for row in rows), verdicts, endings, levels)


def count_rollouts(store: RunStore, wanted: RolloutFilter) -> int:
    """Return how many there are; of a filter with a text no more than `MOST_COUNTED`, and one more where there are
    more.

    Raises:
        RunFolderError: a search through the texts takes too long.
    """
    where, values = wanted.condition()
    bounded = f"SELECT 1 FROM rollouts WHERE {where}" + (f" LIMIT {MOST_COUNTED + 1}" if wanted.text else "")
    seconds = TEXT_SECONDS if wanted.text else None
    return store.select(f"SELECT COUNT(*) AS num FROM ({bounded})", values, seconds=seconds)[0]["num"]


def rollout_lines(
    store: RunStore, wanted: RolloutFilter, order: str = "step", offset: int = 0, limit: int = 50
) -> list[RolloutLine]:
    """Return a page of the rollouts that are wanted.

    Raises:
        RunFolderError: as `count_rollouts`.
        ValueError: there is no such order.
    """
    if order not in _ORDERS:
        raise ValueError(f"there is no order {order!r}; there are {', '.join(ORDERS)}")
    where, values = wanted.condition()
    # The page is found in the index, and only its own rows are read.
    by = _ORDERS[order]
    rows = store.select(
        f"SELECT step, group_id, member, task_id, level, verdict, value, ending, num_turns, num_tokens, "
        f"substr(response, 1, {_EXCERPT}) AS excerpt FROM rollouts WHERE rowid IN "
        f"(SELECT rowid FROM rollouts WHERE {where} ORDER BY {by} LIMIT ? OFFSET ?) ORDER BY {by}",
        [*values, limit, offset],
        seconds=TEXT_SECONDS if wanted.text else None,
    )
    return [RolloutLine(**row) for row in rows]


def neighbours(
    store: RunStore, wanted: RolloutFilter, place: tuple[int, int, int]
) -> tuple[tuple[int, int, int] | None, tuple[int, int, int] | None]:
    """Return the places (step, group, member) of the rollouts before and after one, of those that are wanted."""
    where, values = wanted.condition()
    found: list[tuple[int, int, int] | None] = []
    for sign, direction in (("<", "DESC"), (">", "ASC")):
        rows = store.select(
            f"SELECT step, group_id, member FROM rollouts WHERE (step, group_id, member) {sign} (?, ?, ?) AND {where} "
            f"ORDER BY step {direction}, group_id {direction}, member {direction} LIMIT 1",
            [*place, *values],
            seconds=TEXT_SECONDS,
        )
        found.append(tuple(rows[0].values()) if rows else None)  # pyright: ignore[reportArgumentType]
    return found[0], found[1]

"""The chart of a run: its records, read once and as far as the rules look at them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from assay.doctor.finding import TranscriptPlace
from assay.observe.folder import read_json
from assay.observe.records import ALARM, EventRecord
from assay.observe.store import RunStore

MOST_ROLLOUTS = 20_000
"""The newest rollouts that are looked at; older ones are left to the metrics."""
MOST_PROMPTS = 64
"""Groups whose first prompt is read token by token."""
LEAST_LATE_STEPS = 3
_EXCERPT = 300


@dataclass(frozen=True)
class Attempt:
    """A rollout without its tokens."""

    step: int
    group: int
    member: int
    task_id: str
    level: str
    ending: str
    ending_reason: str
    boundary: str
    verdict: str
    value: float | None
    reason: str
    num_turns: int
    num_tokens: int
    version: int
    response: str

    @property
    def place(self) -> TranscriptPlace:
        return TranscriptPlace(self.step, self.group, self.member, self.response[:_EXCERPT])

    @property
    def is_cut_off(self) -> bool:
        """True where the token limit ended it."""
        return self.ending == "truncated" and self.ending_reason == "length"


@dataclass(frozen=True)
class Prompt:
    """The first prompt of a group."""

    place: TranscriptPlace
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True)
class Chart:
    """What a run has written down of itself, and its settings."""

    folder: Path
    settings: Mapping[str, Any]
    """As config.json has them; empty where it cannot be read."""
    metrics: Mapping[str, Sequence[tuple[int, float | None]]]
    attempts: Sequence[Attempt]
    """The newest, in order."""
    prompts: Sequence[Prompt]
    seen_in_test: Sequence[tuple[str, str]]
    """(task id, split) of each task that was trained on and measured."""
    num_rollouts: int
    """Number of rollouts of the whole run, those that were not read included."""
    alarms: Sequence[EventRecord] = ()
    """Alarms of the watch."""

    @cached_property
    def steps(self) -> list[int]:
        """Steps that the attempts are of."""
        return sorted({attempt.step for attempt in self.attempts})

    @cached_property
    def late_steps(self) -> list[int]:
        """The last quarter of the steps, and at least three: what the run is like now."""
        return self.steps[-max(LEAST_LATE_STEPS, len(self.steps) // 4) :]

    @cached_property
    def late(self) -> list[Attempt]:
        """The attempts of the late steps."""
        since = self.late_steps[0] if self.late_steps else 0
        return [attempt for attempt in self.attempts if attempt.step >= since]

    @cached_property
    def late_groups(self) -> list[list[Attempt]]:
        """The measured attempts of each group of the late steps that has at least two."""
        groups: dict[tuple[int, int], list[Attempt]] = {}
        for attempt in self.late:
            if attempt.value is not None:
                groups.setdefault((attempt.step, attempt.group), []).append(attempt)
        return [group for group in groups.values() if len(group) > 1]

    def setting(self, path: str, otherwise: Any = None) -> Any:
        """Return the value of a setting by its dotted name."""
        value: Any = self.settings
        for key in path.split("."):
            if not isinstance(value, Mapping) or key not in value:
                return otherwise
            value = value[key]
        return value

    def series(self, name: str) -> list[tuple[int, float]]:
        """Return (step, value) of a metric where it was measured."""
        return [(step, value) for step, value in self.metrics.get(name, []) if value is not None]

    def late_median(self, name: str) -> float | None:
        """Return the median of a metric over its last quarter, and at least three steps; None where it was not
        measured."""
        values = [value for _, value in self.series(name)]
        return statistics.median(values[-max(LEAST_LATE_STEPS, len(values) // 4) :]) if values else None

    def since(self, holds: Callable[[Attempt], bool]) -> int | None:
        """Return the first step of those, at the end of the run, in which most attempts fulfil a condition."""
        first = None
        for step, attempts in reversed(list(self._by_step())):
            if 2 * sum(map(holds, attempts)) < len(attempts):
                break
            first = step
        return first

    def _by_step(self) -> Iterator[tuple[int, list[Attempt]]]:
        by_step: dict[int, list[Attempt]] = {}
        for attempt in self.attempts:
            by_step.setdefault(attempt.step, []).append(attempt)
        return iter(by_step.items())


def read_chart(folder: Path) -> Chart:
    """The chart of a run that is going on or has ended.

    Raises:
        RunFolderError: the folder has no store, or one that cannot be read.
    """
    settings = read_json(folder / "config.json").get("settings")
    with RunStore.open_readonly(folder) as store:
        return Chart(
            folder,
            settings if isinstance(settings, dict) else {},
            store.metrics(),
            [Attempt(*row) for row in reversed(store.query(_ATTEMPTS, (MOST_ROLLOUTS,)))],
            [_prompt(*row) for row in store.query(_PROMPTS, (MOST_PROMPTS,))],
            [(str(task_id), str(split)) for task_id, split in store.query(_SEEN)],
            store.query("SELECT COUNT(*) FROM rollouts")[0][0],
            [event for event in store.events() if event.kind == ALARM],
        )


def _prompt(step: int, group: int, member: int, text: str, response: str, ids: bytes, mask: bytes) -> Prompt:
    tokens = np.frombuffer(ids, dtype="<i4")
    sampled = np.flatnonzero(np.unpackbits(np.frombuffer(mask, dtype=np.uint8))[: len(tokens)])
    own = tokens[: int(sampled[0])] if len(sampled) else tokens
    return Prompt(TranscriptPlace(step, group, member, response[:_EXCERPT]), text, tuple(own.tolist()))


_ATTEMPTS = (
    f"SELECT {', '.join('group_id' if each.name == 'group' else each.name for each in dataclasses.fields(Attempt))} "
    "FROM rollouts ORDER BY step DESC, group_id DESC, member DESC LIMIT ?"
)
_PROMPTS = (
    "SELECT step, group_id, member, prompt, response, token_ids, loss_mask FROM rollouts "
    "WHERE member = 0 ORDER BY step DESC, group_id DESC LIMIT ?"
)
_SEEN = (
    "SELECT DISTINCT json_extract(row, '$.task_id') AS id, split FROM evaluation_rows "
    "WHERE id IN (SELECT DISTINCT task_id FROM rollouts)"
)

"""The Tracker protocol: where a run's numbers go beside its own folder, and the queue that keeps training from waiting.

Steps are updates made: 0 is before training. A point holds everything known of a step, its evaluation included, and is
sent once: a step that a resumed run repeats is not sent again.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import math
import queue
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol

from assay.components import Chosen, Component
from assay.errors import ConfigError

_CLOSE_SECONDS = 60.0
"""Seconds that the end of a run waits for a tracker to take what is left."""
_MAX_WAITING = 10_000
"""Points in a queue; further ones are lost and counted."""
_SECRET = re.compile(
    r"(?:^|_)(?:api_?key|secret|password|passphrase|credentials?|(?:access|auth|hf|bearer)?_?token)$", re.I
)
_USER_IN_URL = re.compile(r"(?<=://)[^/\s]+@")


@dataclass(frozen=True)
class RunStart:
    """Description of a run that a tracker gets before the first point."""

    folder: Path
    name: str
    settings: Mapping[str, Any]
    """The recipe with its defaults, versions and machine; without secrets."""
    memory: Mapping[str, str]
    """The mapping that `start` returned when the run began; empty for a new run."""


class Tracker(Protocol):
    """Takes a run's numbers. `start` is called in the main thread, the rest one after the other in another one."""

    @property
    def name(self) -> str: ...

    @property
    def place(self) -> str:
        """Names where the runs are kept, without secrets: elsewhere nobody knows a run by what `start` returned."""
        ...

    def start(self, run: RunStart) -> Mapping[str, str]:
        """Begins or goes on with a run; returns what it must be given to go on with it later.

        Raises:
            ConfigError: the library is not installed, nobody is logged in, or nobody answers.
        """
        ...

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one point: every metric is finite, and no step comes twice or out of order."""
        ...

    def finish(self, step: int, summary: Mapping[str, float], status: str) -> None:
        """The run ends.

        Args:
            status: "finished", "interrupted" or "failed".
        """
        ...


class TrackerSettings(Component):
    """Base class of trackers of one's own: frozen settings that open one for a run."""

    kind: ClassVar[str] = "tracker"

    def open(self) -> Tracker:
        """The tracker of one run."""
        raise NotImplementedError(f"{type(self).__name__} opens no tracker: write its method `open`")


AnyTracker = Annotated[TrackerSettings, Chosen()]
"""The type of a settings field that holds the settings of a tracker."""


class TrackerQueue:
    """Hands points to a tracker in a thread of its own. What fails there is counted and never stops training.

    Args:
        memory: the file that keeps, between the legs of a resumed run, what the tracker returned, its place and its
            last step. What was kept of another place counts for nothing: the run begins there anew.
    """

    def __init__(self, tracker: Tracker, memory: Path) -> None:
        self.tracker = tracker
        self.num_failures = 0
        """Points that were lost."""
        self._memory = memory
        self._problem: str | None = None
        self._told = False
        self._kept: dict[str, str] = {}
        self._last_step = -1
        self._place = ""
        self._closed = False
        self._queue: queue.Queue[tuple[int, Mapping[str, float], str | None]] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._work, name=f"tracker-{tracker.name}", daemon=True)

    def start(self, folder: Path, name: str, settings: Mapping[str, Any]) -> None:
        """Raises ConfigError as `Tracker.start`."""
        self._place = self.tracker.place
        with contextlib.suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            kept = json.loads(self._memory.read_text(encoding="utf-8"))
            if kept["place"] == self._place:
                self._kept, self._last_step = dict(kept["memory"]), int(kept["last_step"])
        self._kept = dict(self.tracker.start(RunStart(folder, name, without_secrets(settings), self._kept)))
        self._remember()
        self._thread.start()
        atexit.register(self.close)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Leaves out what is not finite, and steps that were sent before the run was resumed."""
        finite = {name: float(value) for name, value in metrics.items() if math.isfinite(value)}
        if step > self._last_step and finite:
            self._last_step = step
            self._put(step, finite, None)

    def finish(self, summary: Mapping[str, Any], status: str) -> None:
        """Hands over the summary and waits for what is left, but not for ever."""
        if not self._closed:
            self._closed = True
            atexit.unregister(self.close)
            self._put(max(self._last_step, 0), numbers_in(summary), status)
            self._thread.join(_CLOSE_SECONDS)
            if self._thread.is_alive():
                self._fail(f"did not take the end of the run within {_CLOSE_SECONDS:g} s")

    def close(self) -> None:
        """Ends a run that failed."""
        self.finish({}, "failed")

    def take_problem(self) -> str | None:
        """The first problem, told once."""
        if self._problem is None or self._told:
            return None
        self._told = True
        return self._problem

    def _put(self, step: int, metrics: Mapping[str, float], status: str | None) -> None:
        try:
            self._queue.put_nowait((step, metrics, status))
        except queue.Full:
            self._fail("has not taken the last points: its queue is full")

    def _work(self) -> None:
        status = None
        while status is None:
            step, metrics, status = self._queue.get()
            try:
                if status is None:
                    self.tracker.write(step, metrics)
                    self._remember(step)
                else:
                    self.tracker.finish(step, metrics, status)
            except Exception as error:
                self._fail(shown(error))

    def _fail(self, problem: str) -> None:
        self.num_failures += 1
        if self._problem is None:
            self._problem = f"{self.tracker.name}: {problem}; training goes on, what it does not take is lost there"

    def _remember(self, step: int | None = None) -> None:
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        aside = self._memory.with_suffix(".tmp")
        last_step = self._last_step if step is None else step
        aside.write_text(
            json.dumps({"place": self._place, "memory": self._kept, "last_step": last_step}), encoding="utf-8"
        )
        aside.replace(self._memory)


def load_library(name: str) -> Any:
    """The library of a tracker.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"tracking.{name}: {name} cannot be loaded ({error}); install it with: pip install 'assay[{name}]'"
        ) from None


def without_users(text: str) -> str:
    """The same text, less user and password in addresses."""
    return _USER_IN_URL.sub("", text)


def shown(error: BaseException) -> str:
    """An error of a library in one line, for people and records: bounded, and less user and password in addresses."""
    # In this order: a cut could part a password from the @ that it is known by.
    return without_users(f"{type(error).__name__}: {error}")[:300]


def without_secrets(data: Any) -> Any:
    """The same settings, less what is named like a secret, and less user and password in addresses."""
    if isinstance(data, Mapping):
        return {
            key: "(secret)" if isinstance(value, str) and _SECRET.search(str(key)) else without_secrets(value)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        return [without_secrets(value) for value in data]
    return without_users(data) if isinstance(data, str) else data


def numbers_in(data: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """The finite numbers of a nested mapping under dotted names; lists are left out."""
    found: dict[str, float] = {}
    for key, value in data.items():
        if isinstance(value, Mapping):
            found |= numbers_in(value, f"{prefix}{key}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            found[f"{prefix}{key}"] = float(value)
    return found


def flat(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping under dotted names."""
    found: dict[str, Any] = {}
    for key, value in data.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found

"""The live console of a run: a panel that is redrawn on a terminal, one aligned line a step anywhere else. It is never
silent for long: what is under way, and the time left, are told from a thread of its own."""

from __future__ import annotations

import contextlib
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import TextIO

from rich.console import Console as RichConsole
from rich.console import Group as RichGroup
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from assay.observe.activity import LOOK_SECONDS, SILENT_SECONDS, under_way, watching
from assay.observe.sparkline import sparkline
from assay.observe.visible import visible

_STEPS_REMEMBERED = 20
"""Steps whose mean duration predicts the time left."""
_NARROW_COLUMNS = 64
_MAX_LEVELS_SHOWN = 6
_PROGRESS_PARTS = 4
_REDRAW_SECONDS = 0.25


@dataclass(frozen=True)
class StepView:
    """Numbers of one step for a person to read. NaN where something was not measured."""

    step: int
    """Number of the step, from 0."""
    reward: float = math.nan
    """Mean reward of the step's tasks, dropped groups included."""
    reward_low: float = math.nan
    reward_high: float = math.nan
    """95 % interval of the mean reward."""
    solved: Mapping[str, float] = field(default_factory=dict)
    """Share of each level's rollouts with a verdict that were solved in this step, by level."""
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Mean reward of each level whose rewards are numbers without a verdict, by level."""
    tokens_per_second: float = math.nan
    """Sampled tokens over the seconds of the whole step."""
    response_tokens: float = math.nan
    """Mean length of a response."""
    entropy: float = math.nan
    """Mean of the policy's next-token entropy, in nats."""
    logprob_gap: float = math.nan
    """Mean absolute difference of sampler's and trainer's log-probabilities, in nats a token."""
    staleness: tuple[float, float] | None = None
    """How many versions old the trained-on tokens are, in the mean and at most; None of a synchronous run."""
    learning_rate: float = math.nan
    loss: float = math.nan
    """The loss, of a step whose responses are given: their rewards are the labels, and say nothing."""
    pair_accuracy: float = math.nan
    """Share of the step's pairs that the model has in the right order."""
    pair_margin: float = math.nan
    """Mean difference of the model's rewards of a pair."""
    elapsed_seconds: float = math.nan
    """Seconds of the time budget that are spent so far, earlier legs of a resumed run included."""


@dataclass
class _Part:
    """A part of the run under way, which counts what it has done."""

    label: str
    began: float
    done_before: int
    done: int
    total: int
    in_step: bool
    """False for a phase beside the steps."""

    def text(self, now: float, *, bar: bool) -> str:
        """Return how far it has come, with the time left of it at its pace."""
        shown = f" {_bar(self.done / max(self.total, 1), 20)}" if bar else ""
        done = self.done - self.done_before
        left = f", left of it {duration((now - self.began) / done * (self.total - self.done))}" if done else ""
        return f"{self.label} {self.done}/{self.total}{shown}{left}"


class Console:
    """Shows a run while it runs.

    Args:
        num_steps: where the run ends; None where only time ends it.
        budget_seconds: time the run may take; None where only steps end it.
        levels: names of the levels, in order of difficulty: the order they are shown in.
        stream: where to write; standard output by default.
        width: columns; the terminal's own by default.
        live: whether to draw the panel; by default where the stream is a terminal that can move its cursor.
    """

    def __init__(
        self,
        num_steps: int | None = None,
        budget_seconds: float | None = None,
        levels: Sequence[str] = (),
        *,
        stream: TextIO | None = None,
        width: int | None = None,
        live: bool | None = None,
    ) -> None:
        self._num_steps = num_steps
        self._budget_seconds = budget_seconds
        self._levels = list(levels)
        self._stream = stream if stream is not None else sys.stdout
        self._rich = RichConsole(file=self._stream, width=width, highlight=False, force_terminal=live or None)
        if live is None:
            live = self._rich.is_terminal and not self._rich.is_dumb_terminal
        self._live = Live(Text(""), console=self._rich, auto_refresh=False, vertical_overflow="crop") if live else None
        self._rewards: list[float] = []
        self._view: StepView | None = None
        self._durations: deque[float] = deque(maxlen=_STEPS_REMEMBERED)
        self._last_time: float | None = None
        self._part: _Part | None = None
        """The part of the run under way that counts what it has done: a phase beside the steps, or part of a step."""
        self._quarter = -1
        self._drawn = self._said = 0.0
        self._started = time.monotonic()
        self._lock = threading.RLock()
        self._open = ExitStack()

    def __enter__(self) -> Console:
        self._last_time = self._said = time.monotonic()
        if self._live is not None:
            self._live.start()
        self._open.enter_context(watching(self.look))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open.close()
        if self._live is not None:
            self._part = None
            self._redraw()
            self._live.stop()

    def begin(self, levels: Sequence[str], started: float) -> None:
        """Take what is known once the run is wired: its levels, in order of difficulty, and the `time.monotonic()` that
        its time budget counts from."""
        self._levels, self._started = list(levels), started

    def step(self, view: StepView) -> None:
        """Shows the step that has just ended."""
        now = time.monotonic()
        if self._last_time is not None:
            self._durations.append(now - self._last_time)
        self._last_time = now
        self._view = view
        self._part = None
        self._rewards.append(view.reward if math.isnan(view.loss) else view.loss)
        for level in (*view.solved, *view.rewards):
            if level not in self._levels:
                self._levels.append(level)
        if self._live is not None:
            self._redraw()
        else:
            self._print(self._line(view))

    def message(self, text: str) -> None:
        """A line among the steps; above the panel where there is one."""
        if self._live is not None:
            self._rich.print(Text(visible(text)), soft_wrap=True)
        else:
            self._print(visible(text))

    def progress(self, label: str, done: int, total: int) -> None:
        """Show the progress of a phase beside the steps (an evaluation); `done == total` ends it."""
        label = visible(label, keep_newlines=False)
        is_new = self._count(label, done, total, in_step=False)
        if self._live is not None:
            self._redraw()
        else:
            quarter = done * _PROGRESS_PARTS // max(total, 1)
            if is_new or quarter != self._quarter:
                self._print(f"{label}: {done}/{total}")
            self._quarter = quarter
        if done >= total:
            self._part, self._quarter = None, -1
            # A phase is not part of a step's duration.
            self._last_time = time.monotonic()

    def within_step(self, label: str, done: int, total: int) -> None:
        """Take note of how far a part of the step under way has come: shown in steps that take long enough for somebody
        to wonder."""
        self._count(label, done, total, in_step=True)
        now = time.monotonic()
        if self._live is None or self._last_time is None or now - self._last_time < SILENT_SECONDS:
            return
        if done >= total or now - self._drawn >= _REDRAW_SECONDS:
            self._redraw()

    def look(self) -> None:
        """Say what is under way, and the time left, where nothing was said for a while; a panel is drawn anew."""
        now = time.monotonic()
        # The main thread may have closed the stream.
        with contextlib.suppress(ValueError, OSError):
            if self._live is not None:
                if now - self._drawn >= LOOK_SECONDS:
                    self._redraw()
            elif now - self._said >= SILENT_SECONDS:
                left = self._left_now(now)
                told = "" if math.isnan(left) else f"  left {duration(left):>6}"
                self._print(f"{self._under_way(now)}{told}")

    def _seconds_since(self, now: float) -> float:
        """Seconds since the last step, or since the console was opened."""
        return 0.0 if self._last_time is None else now - self._last_time

    def _count(self, label: str, done: int, total: int, *, in_step: bool) -> bool:
        """Return whether the part is another one than before."""
        now, part = time.monotonic(), self._part
        same = part is not None and (part.label, part.in_step) == (label, in_step)
        if part is None or not same or done < part.done:  # fewer than before: the same part of another step
            self._part = _Part(label, now, done, done, total, in_step)
            return True
        part.done, part.total = done, total
        return False

    def _under_way(self, now: float) -> str:
        """Return what is done now, with the time left of it."""
        part, named = self._part, under_way()
        if part is not None and part.done >= part.total:
            part = None
        before = "starting" if self._view is None else f"after step {self._counter(self._view)}"
        what = [f"{before}, for {duration(self._seconds_since(now))} so far"]
        if named:
            what.append(visible(named, keep_newlines=False))
        if part is not None:
            what.append(part.text(now, bar=self._live is not None))
        return ", ".join(what)

    def _left_now(self, now: float) -> float:
        """Time until the run ends, while a step or something beside the steps is under way."""
        left = []
        steps = 0 if self._view is None else self._view.step + 1
        if steps == self._num_steps:
            return math.nan  # The closing test: its own pace tells.
        if self._num_steps is not None and self._durations:
            mean = sum(self._durations) / len(self._durations)
            left.append(max(0.0, mean * (self._num_steps - steps) - self._seconds_since(now)))
        if self._budget_seconds is not None:
            left.append(max(0.0, self._budget_seconds - (now - self._started)))
        return min(left, default=math.nan)

    def _left_shown(self, view: StepView) -> float:
        """Time left as the panel shows it, which is drawn between steps too."""
        left = self._left_now(time.monotonic())
        return self.seconds_left(view) if math.isnan(left) else left

    def seconds_left(self, view: StepView) -> float:
        """Time until the run ends by its steps or its budget, whichever is first; NaN where neither is known."""
        left = []
        if self._num_steps is not None and self._durations:
            mean = sum(self._durations) / len(self._durations)
            left.append(max(0, self._num_steps - view.step - 1) * mean)
        if self._budget_seconds is not None and not math.isnan(view.elapsed_seconds):
            left.append(max(0.0, self._budget_seconds - view.elapsed_seconds))
        return min(left, default=math.nan)

    # ---- plain lines ----

    def _line(self, view: StepView) -> str:
        facts = self._sampled_facts(view) if math.isnan(view.loss) else _of_pairs(view, "6.4f")
        fields = [f"step {self._counter(view)}", *facts, f"lr {_number(view.learning_rate, '7.1e')}"]
        left = self.seconds_left(view)
        if not math.isnan(left):
            fields.append(f"left {duration(left):>6}")
        # Last, because the levels of a step differ: what is before them stays aligned.
        shares, rewards = self._of_levels(view.solved), self._of_levels(view.rewards)
        if shares:
            fields.append("solved " + ", ".join(f"{level} {_percent(share)}" for level, share in shares))
        if len(rewards) > 1:
            fields.append("reward " + ", ".join(f"{level} {mean:.3f}" for level, mean in rewards))
        return "  ".join(fields)

    def _sampled_facts(self, view: StepView) -> list[str]:
        return [
            f"reward {_number(view.reward, '5.3f')} "
            f"[{_number(view.reward_low, '5.3f')}, {_number(view.reward_high, '5.3f')}]",
            f"{_number(view.tokens_per_second, '6.0f')} tokens/s",
            f"length {_number(view.response_tokens, '6.1f')}",
            f"entropy {_number(view.entropy, '5.3f')}",
            f"gap {_number(view.logprob_gap, '8.1e')}",
            *([] if view.staleness is None else [f"stale {_versions(view.staleness)}"]),
        ]

    def _print(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with self._lock:
            self._said = time.monotonic()
            self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
            self._stream.flush()

    # ---- the panel ----

    def _redraw(self) -> None:
        if self._live is not None:
            with self._lock:
                self._drawn = time.monotonic()
                self._live.update(self._panel(), refresh=True)

    def _panel(self) -> Panel:
        view = self._view
        narrow = self._rich.width < _NARROW_COLUMNS
        parts: list[Table | Text] = []
        if view is not None:
            parts.append(_grid(self._facts(view), 1 if narrow else 2))
            shares, rewards = self._of_levels(view.solved), self._of_levels(view.rewards)
            if len(rewards) > 1:
                parts.append(_grid([(f"reward {level}", f"{mean:.3f}") for level, mean in rewards], 1 if narrow else 2))
            if shares:
                parts.append(
                    _grid([(f"solved {level}", _bar(share, 10)) for level, share in shares], 1 if narrow else 2)
                )
            ascii_only = not _encodes(self._stream, "▁█")
            parts.append(
                Text(
                    ("reward " if math.isnan(view.loss) else "loss   ")
                    + sparkline(self._rewards, max(8, self._rich.width - 12), ascii_only=ascii_only)
                )
            )
        now = time.monotonic()
        if self._is_worth_saying(now):
            parts.append(Text(self._under_way(now), style="cyan"))
        title = f"step {self._counter(view)}" if view else "assay"
        return Panel(RichGroup(*parts), title=Text(title), title_align="left", border_style="dim")

    def _is_worth_saying(self, now: float) -> bool:
        """Return whether the panel says what is under way: all but the parts of a step that is quick."""
        if self._part is not None and not self._part.in_step:
            return True
        return self._view is None or self._seconds_since(now) >= SILENT_SECONDS

    def _facts(self, view: StepView) -> list[tuple[str, str]]:
        if not math.isnan(view.loss):
            return [
                *(tuple(fact.rsplit(" ", 1)) for fact in _of_pairs(view, ".4f")),  # pyright: ignore[reportReturnType]
                ("learning rate", _number(view.learning_rate, ".2e")),
                ("time left", duration(self._left_shown(view))),
            ]
        interval = ""
        if not math.isnan(view.reward_low):
            interval = f" [{view.reward_low:.3f}, {view.reward_high:.3f}]"
        return [
            ("reward", _number(view.reward, ".3f") + interval),
            ("time left", duration(self._left_shown(view))),
            ("tokens/s", _number(view.tokens_per_second, ",.0f")),
            ("response tokens", _number(view.response_tokens, ".1f")),
            ("entropy", _number(view.entropy, ".3f")),
            ("sampler-trainer gap", _number(view.logprob_gap, ".1e")),
            *([] if view.staleness is None else [("versions old", _versions(view.staleness))]),
            ("learning rate", _number(view.learning_rate, ".2e")),
        ]

    def _counter(self, view: StepView) -> str:
        if self._num_steps is None:
            return f"{view.step + 1:>4}"
        digits = len(str(self._num_steps))
        return f"{view.step + 1:>{digits}}/{self._num_steps}"

    def _of_levels(self, values: Mapping[str, float]) -> list[tuple[str, float]]:
        """The levels of this step in order of difficulty; the hardest few where there are many."""
        ordered = [level for level in self._levels if level in values]
        return [(level, values[level]) for level in ordered[-_MAX_LEVELS_SHOWN:]]


def duration(seconds: float) -> str:
    """Seconds as people say them: "45s", "3m20s", "2h05m"; "-" for NaN."""
    if math.isnan(seconds):
        return "-"
    whole = int(seconds + 0.5)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _versions(staleness: tuple[float, float]) -> str:
    mean, most = staleness
    return f"{_number(mean, '4.2f')} at most {most:.0f}"


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        width = form.lstrip(",").split(".")[0]
        return "-".rjust(int(width)) if width.isdigit() else "-"
    return format(value, form)


def _of_pairs(view: StepView, form: str) -> list[str]:
    """Return what there is to say of a step of given responses, each as "name value"."""
    facts = [f"loss {_number(view.loss, form)}"]
    if not math.isnan(view.pair_accuracy):
        facts += [f"accuracy {view.pair_accuracy:.3f}", f"margin {view.pair_margin:+.3f}"]
    return facts


def _percent(share: float) -> str:
    return "   -" if math.isnan(share) else f"{share:4.0%}"


def _bar(share: float, width: int) -> str:
    if math.isnan(share):
        return "-"
    filled = round(share * width)
    return f"{'#' * filled}{'.' * (width - filled)} {share:.0%}"


def _grid(facts: Sequence[tuple[str, str]], num_columns: int) -> Table:
    grid = Table.grid(padding=(0, 2), expand=False)
    for _ in range(num_columns):
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(no_wrap=True)
    for start in range(0, len(facts), num_columns):
        cells = [Text(cell) for fact in facts[start : start + num_columns] for cell in fact]
        grid.add_row(*cells)
    return grid


def _encodes(stream: TextIO, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True

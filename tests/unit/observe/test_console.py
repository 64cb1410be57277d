from __future__ import annotations

import io
import math
import re

import pytest

from assay.observe.console import Console, StepView, duration

VIEW = StepView(
    step=4,
    reward=0.5,
    reward_low=0.375,
    reward_high=0.625,
    solved={"c2 h1": 0.25, "c1 h1": 1.0},
    tokens_per_second=1234.0,
    response_tokens=12.5,
    entropy=0.75,
    logprob_gap=0.002,
    learning_rate=1e-5,
    elapsed_seconds=30.0,
)


def plain(stream: io.StringIO | io.TextIOWrapper, **options: object) -> Console:
    return Console(10, 600.0, ["c1 h1", "c2 h1"], stream=stream, **options)  # pyright: ignore[reportArgumentType]


def test_a_plain_line_says_everything_without_control_codes() -> None:
    stream = io.StringIO()
    with Console(None, 600.0, ["c1 h1", "c2 h1"], stream=stream) as console:
        console.step(VIEW)
    (line,) = stream.getvalue().splitlines()
    assert line == (
        "step    5  reward 0.500 [0.375, 0.625]    1234 tokens/s  length   12.5  entropy 0.750  gap  2.0e-03"
        "  lr 1.0e-05  left  9m30s  solved c1 h1 100%, c2 h1  25%"
    )
    assert line.isprintable()


def test_lines_are_aligned_whatever_was_measured() -> None:
    stream = io.StringIO()
    with plain(stream) as console:
        console.step(VIEW)
        console.step(StepView(step=9))
    first, second = stream.getvalue().splitlines()
    assert first.index("lr") == second.index("lr")
    assert first.startswith("step  5/10")
    assert second.startswith("step 10/10")
    assert "nan" not in second


def test_messages_stand_between_steps_and_cannot_move_the_cursor() -> None:
    stream = io.StringIO()
    with plain(stream) as console:
        console.step(VIEW)
        console.message("model said \x1b[2J")
        console.step(VIEW)
    lines = stream.getvalue().splitlines()
    assert lines[1] == "model said \\x1b[2J"
    assert len(lines) == 3


def test_a_stream_that_is_not_unicode_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="strict")
    with plain(stream) as console:
        console.step(VIEW)
        console.message("naïve")
    stream.flush()
    assert "[0.375, 0.625]" in raw.getvalue().decode("ascii")
    assert "na?ve" in raw.getvalue().decode("ascii")


def test_progress_prints_quarters_only() -> None:
    stream = io.StringIO()
    with plain(stream) as console:
        for done in range(101):
            console.progress("test split", done, 100)
    assert stream.getvalue().splitlines() == [f"test split: {done}/100" for done in (0, 25, 50, 75, 100)]


@pytest.mark.parametrize("width", [20, 40, 100])
def test_the_panel_fits_the_terminal(width: int) -> None:
    stream = io.StringIO()
    with plain(stream, live=True, width=width) as console:
        console.step(VIEW)
        console.message("level c2 \x07")
        console.progress("test split", 1, 4)
        console.progress("test split", 4, 4)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "level c2 \\x07" in text
    assert "\x07" not in text
    assert max(map(len, re.split(r"[\r\n]", text))) <= width
    assert "reward" in text
    if width == 100:
        for part in ("[0.375, 0.625]", "solved c2 h1", "test split 1/4"):
            assert part in text


def test_no_color_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    with plain(stream, live=True, width=80) as console:
        console.progress("test split", 1, 4)
    assert "test split" in stream.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", stream.getvalue())


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    stream = Terminal()
    with plain(stream) as console:
        console.step(VIEW)
    assert "\x1b" not in stream.getvalue()


def test_time_left_is_the_nearer_of_steps_and_budget() -> None:
    stream = io.StringIO()
    with Console(5, 600.0, stream=stream) as console:
        console.step(VIEW)  # step 4 of 0..4: the last one
        assert console.seconds_left(VIEW) == 0.0
    assert Console(None, 600.0, stream=stream).seconds_left(VIEW) == 570.0
    assert math.isnan(Console(None, None, stream=stream).seconds_left(VIEW))


def test_a_part_that_begins_again_in_the_next_step_has_its_own_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose rollouts were all there at once counts none of its own: the next one's count starts lower."""
    now = [100.0]
    monkeypatch.setattr("assay.observe.console.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    console = Console(10, None, stream=stream)
    console.within_step("rollouts", 64, 64)
    now[0] += 30
    console.within_step("rollouts", 4, 64)
    now[0] += 10
    console.within_step("rollouts", 24, 64)
    console.look()
    assert "rollouts 24/64, left of it 20s" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (59.4, "59s"), (200, "3m20s"), (7500, "2h05m"), (math.nan, "-")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text

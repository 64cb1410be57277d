from __future__ import annotations

import time

import pytest

from assay.cli.progress import progress, time_left


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that it is, to be set."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_a_slow_start_is_told_every_half_minute_with_the_time_left(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """Of 1,000 samples a tenth would be the first line: at 10 s each, after 17 minutes."""
    with progress("samples", 0, 1000) as advance:
        for _ in range(6):
            clock[0] += 10
            advance()
    assert capsys.readouterr().err.splitlines() == [
        "3 of 1000 samples, about 2h46m left",
        "6 of 1000 samples, about 2h45m left",
    ]


def test_where_nothing_ends_a_line_comes_all_the_same(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """With the time left by the share of the work that is done, items under way included."""
    with progress("episodes", 0, 10, lambda: "300 tokens", share=lambda: 0.5, seconds_between=0.02) as advance:
        clock[0] += 7
        for _ in range(6000):
            if lines := capsys.readouterr().err.splitlines():
                break
            time.sleep(0.01)
        assert lines[0] == "0 of 10 episodes, about 7s left, 300 tokens"
        for _ in range(10):
            advance()
    capsys.readouterr()
    time.sleep(0.05)
    assert not capsys.readouterr().err, "nothing after its end"


def test_what_was_there_before_is_no_part_of_the_pace(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("rows", 90, 100, lambda: "1 cent") as advance:
        clock[0] += 40
        advance()
        for _ in range(9):
            advance()
    first, *_, last = capsys.readouterr().err.splitlines()
    assert first == "91 of 100 rows, about 6m00s left, 1 cent"
    assert last == "100 of 100 rows, 1 cent"


@pytest.mark.parametrize(
    ("done", "left", "seconds", "said"),
    [
        (0, 5, 3.0, ""),
        (5, 0, 3.0, ""),
        (0, 0, 0.0, ""),
        (1, 1, 0.0, "about 0s left"),
        (10, 30, 15.0, "about 45s left"),
        (2, 100, 72.0, "about 1h00m left"),
    ],
)
def test_time_left(done: int, left: int, seconds: float, said: str) -> None:
    assert time_left(done, left, seconds) == said


def test_what_has_no_known_end_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    from assay.cli.progress import counted

    advance = counted("rows read", seconds=0.0)
    for _ in range(3):
        advance()
    assert capsys.readouterr().err.splitlines()[-1] == "3 rows read"
    silent = counted("rows read")
    silent()
    assert capsys.readouterr().err == ""

from __future__ import annotations

from assay.endpoints.pace import Pace


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_owed_is_paid_at_the_rate():
    clock = Clock()
    pace = Pace(60.0, clock)  # one a second
    assert pace.wait_seconds == 0
    pace.take(1)
    assert pace.wait_seconds == 1
    clock.now += 0.75
    assert pace.wait_seconds == 0.25
    clock.now += 100
    pace.take(3)
    assert pace.wait_seconds == 3, "what was not used is not saved up"
    pace.take(-1)
    assert pace.wait_seconds == 2


def test_no_limit():
    pace = Pace(None)
    pace.take(1e9)
    assert pace.wait_seconds == 0

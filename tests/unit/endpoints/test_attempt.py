from __future__ import annotations

import random
import time
from email.utils import formatdate

import pytest

from assay.endpoints.attempt import Remedy, backoff_seconds, error_of, exhausted_seconds, wait_seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 0.5 "}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:10 GMT"}, 0.0),
        ({"retry-after": "Thu, 99 Jan 1970"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None):
    assert wait_seconds(headers) == seconds


def test_retry_after_a_date():
    seconds = wait_seconds({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert seconds is not None
    assert 0 < seconds <= 30


@pytest.mark.parametrize(
    ("remaining", "reset", "seconds"),
    [
        ("0", "20ms", 0.02),
        ("0", "7.5s", 7.5),
        ("0", "7", 7.0),
        ("0", "1m2.5s", 60.0),  # never more than a minute on a hint
        ("0", "a while", 0.0),
        ("1", "30s", 0.0),
        ("", "30s", 0.0),
    ],
)
def test_limits_that_are_used_up(remaining: str, reset: str, seconds: float):
    headers = {"x-ratelimit-remaining-tokens": remaining, "x-ratelimit-reset-tokens": reset}
    assert exhausted_seconds(headers) == pytest.approx(seconds)


def test_backoff_is_full_jitter_under_a_doubling_ceiling():
    generator = random.Random(0)
    for attempt, ceiling in ((0, 0.5), (1, 1.0), (3, 4.0), (6, 32.0), (7, 60.0), (10_000, 60.0)):
        waits = [backoff_seconds(attempt, 0.5, None, generator) for _ in range(2000)]
        assert 0 <= min(waits) < 0.05 * ceiling
        assert 0.95 * ceiling < max(waits) <= ceiling
        assert sum(waits) / 2000 == pytest.approx(ceiling / 2, rel=0.1)


def test_what_the_server_asks_for_is_the_least():
    waits = [backoff_seconds(5, 0.5, 7.0, random.Random(seed)) for seed in range(100)]
    assert min(waits) >= 7
    assert max(waits) <= 8


def test_a_refusal_before_and_after_an_answer():
    assert error_of(404, {}, b"", answered_before=False).remedy is Remedy.STOP
    assert error_of(404, {}, b"", answered_before=True).remedy is Remedy.GIVE_UP
    assert error_of(401, {}, b"", answered_before=True).remedy is Remedy.STOP
    assert error_of(500, {}, b"", answered_before=False).remedy is Remedy.RETRY

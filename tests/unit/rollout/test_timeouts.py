"""Time limits count only while the clock runs."""

from __future__ import annotations

import asyncio

import pytest

from assay.rollout.timeouts import Timeouts
from simulated_clock import pass_seconds, run


async def wait_inside(timeouts: Timeouts, until: asyncio.Event, seconds: float | None = 0.05) -> str:
    try:
        async with timeouts.limit(seconds):
            await until.wait()
            return "done"
    except TimeoutError:
        return "timeout"


def test_an_operation_that_takes_too_long_is_cancelled():
    assert run(wait_inside(Timeouts(), asyncio.Event())) == "timeout"


def test_no_limit():
    async def go() -> str:
        timeouts, done = Timeouts(), asyncio.Event()
        work = asyncio.create_task(wait_inside(timeouts, done, None))
        timeouts.pause()
        timeouts.resume()
        await asyncio.sleep(0.01)
        done.set()
        return await work

    assert run(go()) == "done"


def test_time_that_blocks_the_loop_while_paused_does_not_count():
    async def go(pause: bool) -> str:
        timeouts, done = Timeouts(), asyncio.Event()
        work = asyncio.create_task(wait_inside(timeouts, done))
        await asyncio.sleep(0)
        if pause:
            timeouts.pause()
        pass_seconds(0.1)
        await asyncio.sleep(0.01)
        if pause:
            timeouts.resume()
        done.set()
        return await work

    assert run(go(pause=True)) == "done"
    assert run(go(pause=False)) == "timeout"


def test_what_is_left_of_the_limit_runs_on_after_a_pause():
    async def go() -> str:
        timeouts = Timeouts()
        timeouts.pause()
        work = asyncio.create_task(wait_inside(timeouts, asyncio.Event()))  # begins while paused
        await asyncio.sleep(0.1)
        assert not work.done()
        timeouts.resume()
        return await asyncio.wait_for(work, 5)

    assert run(go()) == "timeout"


def test_other_errors_pass_and_leave_nothing_behind():
    async def go() -> None:
        timeouts = Timeouts()
        with pytest.raises(KeyError):
            async with timeouts.limit(1.0):
                raise KeyError("x")
        timeouts.pause()
        timeouts.resume()
        assert not timeouts._remaining_seconds

    run(go())


def test_the_clock_stands_still_while_paused():
    async def go() -> tuple[float, float]:
        timeouts = Timeouts()
        began = timeouts.now()
        timeouts.pause()
        pass_seconds(0.05)
        paused = timeouts.now() - began
        timeouts.resume()
        pass_seconds(0.05)
        return paused, timeouts.now() - began

    paused, after = run(go())
    assert paused == 0.0
    assert after == pytest.approx(0.05)

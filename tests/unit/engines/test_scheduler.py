"""Arrival order, and slots without gaps."""

from __future__ import annotations

import asyncio

from assay.engines import Sampling
from assay.engines.local.request import Request
from assay.engines.local.scheduler import Scheduler


def make_requests(names: str) -> list[Request]:
    loop = asyncio.new_event_loop()
    try:
        return [Request(name, (1,), Sampling(), 0, loop.create_future()) for name in names]
    finally:
        loop.close()


def names(requests: list[Request]) -> str:
    return "".join(request.request_id for request in requests)


def test_admitted_in_order_of_arrival_while_slots_are_free() -> None:
    scheduler = Scheduler(3)
    a, b, c, d, e = requests = make_requests("abcde")
    for request in requests:
        scheduler.add(request)
    assert names(scheduler.admit()) == "abc"
    assert scheduler.admit() == []
    assert scheduler.release(a) == (2, 0), "the last one moves into the gap"
    assert names(scheduler.running) == "cb"
    assert [request.slot for request in scheduler.running] == [0, 1]
    assert a.slot is None
    assert names(scheduler.admit()) == "d"
    assert scheduler.release(d) is None, "the last row needs no move"
    assert scheduler.release(e) is None, "one that waits has no row"
    assert scheduler.admit() == []
    assert scheduler.find("b") is b
    assert scheduler.find("a") is None
    assert names(scheduler.clear()) == "cb"
    assert not scheduler.has_work
    assert c.slot == 0


def test_the_only_request_leaves() -> None:
    scheduler = Scheduler(1)
    (only,) = make_requests("a")
    scheduler.add(only)
    scheduler.admit()
    assert scheduler.release(only) is None
    assert scheduler.running == []

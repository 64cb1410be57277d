from __future__ import annotations

import asyncio

import pytest

from assay.host import Host, current_host


def test_equal_keys_share_what_is_held_and_the_last_opened_is_closed_first() -> None:
    closed: list[str] = []

    async def closes_later(value: str) -> None:
        closed.append(value)

    async def run() -> None:
        outside = current_host()
        async with Host() as host:
            assert current_host() is host, "an empty host too"
            assert current_host().hold(("a", 1), lambda: "first", closed.append) == "first"
            assert current_host().hold(("a", 1), lambda: "another", closed.append) == "first"
            host.hold(("b", 2), lambda: "second", closes_later)
            host.hold(("c", 3), lambda: "third", closed.append)
            assert len(host) == 3
            assert [value for _, value in host.held(str)] == ["first", "second", "third"]
            host.release(("c", 3))
            host.release(("never", "held"))
            assert closed == ["third"]
            # What begins inside is inside, also in a task of its own and in a thread.
            assert await asyncio.create_task(_current()) is host
            assert await asyncio.to_thread(current_host) is host
        assert closed == ["third", "second", "first"]
        assert len(host) == 0
        assert current_host() is outside

    asyncio.run(run())


async def _current() -> Host:
    return current_host()


def test_what_fails_to_close_keeps_nothing_else_open() -> None:
    closed: list[str] = []

    def fails(value: str) -> None:
        raise OSError("it will not close")

    host = Host()
    host.hold("first", lambda: "first", closed.append)
    host.hold("second", lambda: "second", fails)
    host.hold("third", lambda: "third", closed.append)
    with pytest.raises(OSError, match="it will not close"):
        host.close()
    assert closed == ["third", "first"]
    host.close()
    assert len(host) == 0

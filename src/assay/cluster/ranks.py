"""The ranks of the learner as Ray actors. One that dies, hangs or never comes ends them all, within a bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from assay.cluster.connect import Bundle, RayConnection
from assay.errors import AssayError, RankError

GRACE_SECONDS = 5.0
"""Time to hear from the other ranks after one failed: the one that died is to be named, not the one that noticed."""
PORTS = range(20_000, 30_000)
"""Below the ports that Linux gives to connections (from 32768), and above those of Ray's own workers (to 19999)."""
Build = Callable[..., Any]
"""(rank, world, address) to the object whose methods are called, in the process of the rank."""


def free_port(host: str) -> int:
    """Return a port of this machine that is free now, of those that no process is given unasked: it is still free when
    rank 0 has started, seconds later.

    Raises:
        RankError: none is.
    """
    first = secrets.randbelow(len(PORTS))
    for offset in range(len(PORTS)):
        port = PORTS[(first + offset) % len(PORTS)]
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind((host, port))
            return port
    raise RankError(f"no port from {PORTS[0]} to {PORTS[-1]} is free at {host} for ranks to meet at")


class RankProcess:
    """One rank, in its process: holds what was built there, and calls its methods."""

    def address(self) -> str:
        """A free address of this node, for all ranks to meet at."""
        import ray

        host = ray.util.get_node_ip_address()
        return f"{host}:{free_port(host)}"

    def start(self, build: Build, rank: int, world: int, address: str) -> int:
        """Build the rank's part; returns its process id."""
        if address.startswith("127."):
            os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        self._held = build(rank, world, address)
        return os.getpid()

    def call(self, name: str, *arguments: Any) -> Any:
        return getattr(self._held, name)(*arguments)


class RankGroup:
    """All ranks, which are called together.

    Args:
        build: makes a rank's part; a function of a module, so that another process finds it.
        bundle: what a rank needs.

    Raises:
        RankError: a rank did not start within `start_seconds`.
        ClusterError: there is no place for them.
    """

    def __init__(self, connection: RayConnection, build: Build, world: int, bundle: Bundle) -> None:
        self._ray, self._settings, self.world = connection.ray, connection.settings, world
        self.is_lost = False
        """True once a rank is gone: none can be asked any more."""
        self.pids: list[int] = []
        self._lock = asyncio.Lock()
        group = connection.place([bundle] * world, f"{world} ranks of the learner")
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        remote = self._ray.remote(RankProcess)
        self._actors = [
            remote.options(
                num_cpus=bundle.get("CPU", 0),
                num_gpus=bundle.get("GPU", 0),
                # Ray's own restarts lose the weights, and its retries repeat an update.
                max_restarts=0,
                max_task_retries=0,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank),
            ).remote()
            for rank in range(world)
        ]
        seconds = self._settings.start_seconds
        [address] = self._finish([self._actors[0].address.remote()], seconds, "start")
        starts = [actor.start.remote(build, rank, world, address) for rank, actor in enumerate(self._actors)]
        self.pids = self._finish(starts, seconds, "start")

    async def call(self, name: str, *arguments: Any) -> Any:
        """Calls a method on every rank, and returns what rank 0 did; one call at a time.

        Raises:
            RankError: a rank died, or did not answer within `step_seconds`. All are ended.
        """
        async with self._lock:
            references = self._begin(name, arguments)
            finishing = asyncio.get_running_loop().run_in_executor(
                None, self._finish, references, self._settings.step_seconds, name
            )
            return (await asyncio.shield(finishing))[0]

    def call_now(self, name: str, *arguments: Any) -> Any:
        """The same, for callers that cannot await."""
        return self._finish(self._begin(name, arguments), self._settings.step_seconds, name)[0]

    def close(self) -> None:
        """Ends all ranks."""
        self.is_lost = True
        for actor in self._actors:
            self._ray.kill(actor, no_restart=True)

    def _begin(self, name: str, arguments: Sequence[Any]) -> list[Any]:
        if self.is_lost:
            raise RankError("the ranks of the learner are gone")
        # Once into the store, and not once for each rank.
        stored = [self._ray.put(argument) for argument in arguments]
        return [actor.call.remote(name, *stored) for actor in self._actors]

    def _finish(self, references: Sequence[Any], seconds: float, what: str) -> list[Any]:
        """Values of all ranks; the error of the one to blame where there is one."""
        until = time.monotonic() + seconds
        pending, failures = list(references), {}
        # Closing ends the wait too: a run that is stopped at once must not wait for an update.
        while pending and time.monotonic() < until and not self.is_lost:
            ready, pending = self._ray.wait(pending, timeout=max(0.01, min(0.5, until - time.monotonic())))
            for reference in ready:
                try:
                    self._ray.get(reference)
                except Exception as error:
                    failures[references.index(reference)] = error
                    until = min(until, time.monotonic() + GRACE_SECONDS)
        silent = [references.index(reference) for reference in pending]
        if not failures and not silent:
            return self._ray.get(list(references))
        raise self._error(failures, silent, seconds, what)

    def _error(self, failures: dict[int, Exception], silent: list[int], seconds: float, what: str) -> Exception:
        exceptions = self._ray.exceptions
        ours = [error for error in failures.values() if isinstance(error, AssayError)]
        if ours and not silent and len(ours) == len(failures):
            # All ranks ended the call, and alike: they can be asked further.
            return _original(ours[0])
        self.close()
        dead = [rank for rank, error in failures.items() if isinstance(error, exceptions.RayActorError)]
        if dead:
            return RankError(f"{_ranks(dead)} of the learner died in {what!r}")
        if ours:
            return _original(ours[0])
        failed = [f"rank {rank} of the learner failed in {what!r}: {_line(error)}" for rank, error in failures.items()]
        if silent:
            when = f"within {GRACE_SECONDS:g} s after {failed[0]}" if failed else f"within {seconds:g} s"
            return RankError(f"{_ranks(silent)} of the learner did not answer in {what!r} {when}")
        return RankError(failed[0])


def _line(error: Exception) -> str:
    """The last line of what an error says."""
    return (str(error).strip().splitlines() or [""])[-1][:300]


def _original(error: Exception) -> Exception:
    """The error that was raised on the rank, without the traceback of another process in its text."""
    return getattr(error, "cause", None) or error


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank {numbers[0]}" if len(numbers) == 1 else f"ranks {', '.join(map(str, sorted(numbers)))}"

"""A connection to Ray, and places for processes on it; every wait is bounded, and says what is missing."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.cluster.settings import ClusterSettings
from assay.errors import ClusterError

LOOPBACK = "127.0.0.2"
"""Address of a cluster of our own on this machine. Ray would turn 127.0.0.1 into the address that others see."""
STORE_BYTES = 200 * 2**20
"""Smallest object store of a cluster of our own; with larger models three copies of the weights."""
ANSWER_SECONDS = 5.0
"""The longest that the port of an address is waited for."""
TRY_SECONDS = 41.0
"""The longest of one try of Ray's to connect to an address whose port is open."""

Bundle = Mapping[str, float]
"""What one process needs: {"CPU": 1.0, "GPU": 1.0}."""


def import_ray() -> Any:
    """Return Ray.

    Raises:
        ClusterError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ClusterError(
            "cluster.learner and cluster.engines need Ray, which is not installed: pip install 'assay[cluster]', or "
            "leave them out to train in one process"
        )
    if "ray" not in sys.modules:
        # Read when Ray is imported, by it and by the processes that it starts: it would report home; and it would not
        # say a word of tokens to a cluster that wants them.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's workers are niced by 15, so that on a machine that is busy they stand still.
        os.environ.setdefault("RAY_worker_niceness", "0")
        if (Path.home() / ".ray" / "auth_token").is_file():
            os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray

    return ray


class RayConnection:
    """Ray, from this process; closed with the run. A cluster of our own ends with it.

    Args:
        num_processes: how many are going to be placed on a cluster of our own.
        num_gpus: of this machine that they may use, on a cluster of our own.
        weights_bytes: of one publish.

    Raises:
        ClusterError: Ray is not installed, cannot start, or does not answer at the address.
    """

    def __init__(
        self, settings: ClusterSettings, *, num_processes: int, num_gpus: int = 0, weights_bytes: int = 0
    ) -> None:
        self.ray, self.settings = import_ray(), settings
        self._groups: list[Any] = []
        self._is_ours = not self.ray.is_initialized()
        if not self._is_ours:
            # Somebody who calls us from Python has a connection of their own, which stays theirs.
            return
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        if settings.address is None:
            options |= {
                "address": "local",
                "num_cpus": num_processes,
                "num_gpus": num_gpus,
                "include_dashboard": False,
                "object_store_memory": max(STORE_BYTES, 3 * weights_bytes),
                "_node_ip_address": LOOPBACK,
            }
        else:
            _check_answers(settings.address)
            options["address"] = settings.address
        try:
            with _tries(settings):
                self.ray.init(**options)
        except Exception as error:
            with contextlib.suppress(Exception):
                self.ray.shutdown()
            where = "on this machine" if settings.address is None else f"at cluster.address={settings.address!r}"
            raise ClusterError(
                f"Ray cannot be used {where}: {_first_line(error)}; look at `ray status`, set cluster.address to a "
                "cluster that runs, or leave it out to start one here (a cluster with tokens needs RAY_AUTH_MODE=token)"
            ) from error

    def place(self, bundles: Sequence[Bundle], what: str) -> Any:
        """Return a placement group with a place for each bundle.

        Raises:
            ClusterError: a bundle that no node can ever hold, or no room within `start_seconds`. Ray itself would wait
                for ever.
        """
        if missing := self.unplaceable(bundles):
            raise ClusterError(f"no place for {what}: {missing}")
        from ray.util.placement_group import placement_group, remove_placement_group

        group = placement_group([dict(bundle) for bundle in bundles], strategy="PACK")
        self._groups.append(group)
        if not group.wait(timeout_seconds=self.settings.start_seconds):
            remove_placement_group(group)
            self._groups.remove(group)
            free = self.ray.available_resources()
            raise ClusterError(
                f"no room for {what} within cluster.start_seconds={self.settings.start_seconds:g}: "
                f"{_told(_total(bundles))} wanted, {_told({key: free.get(key, 0.0) for key in _total(bundles)})} free; "
                "wait until others have ended, or ask for fewer"
            )
        return group

    def unplaceable(self, bundles: Sequence[Bundle]) -> str:
        """Return why bundles can never be placed on the nodes that are there now; empty where they could be."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        for bundle in bundles:
            if not any(all(node.get(key, 0.0) >= amount for key, amount in bundle.items()) for node in nodes):
                best = {key: max((node.get(key, 0.0) for node in nodes), default=0.0) for key in bundle}
                return (
                    f"a process needs {_told(bundle)}, and no node has it (the most are {_told(best)}); ask for less, "
                    "or add such a node"
                )
        wanted, there = _total(bundles), _total(nodes)
        for key, amount in wanted.items():
            if amount > there.get(key, 0.0):
                return (
                    f"{_told({key: amount})} are needed together, and the cluster has {_told({key: there.get(key, 0)})}"
                    "; lower cluster.learner or cluster.engines, or add nodes"
                )
        return ""

    def close(self) -> None:
        """Gives the places back; ends a cluster of our own. A second call does nothing."""
        if not self.ray.is_initialized():
            return
        from ray.util.placement_group import remove_placement_group

        for group in self._groups:
            with contextlib.suppress(Exception):
                remove_placement_group(group)
        self._groups = []
        if self._is_ours:
            self.ray.shutdown()


def _check_answers(address: str) -> None:
    """Raises ClusterError where nothing listens at an address."""
    if address in ("auto", "local"):
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ClusterError(f'cluster.address={address!r} is no address: write "auto", "HOST:PORT" or "ray://HOST:PORT"')
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise ClusterError(
            f"nothing answers at cluster.address={address!r} ({error}); start Ray there (ray start --head), or see "
            "that this machine can reach it"
        ) from None


@contextlib.contextmanager
def _tries(settings: ClusterSettings) -> Iterator[None]:
    """Within it Ray tries as often to connect to an address as there is time for: else 20 times, which is a quarter of
    an hour where something listens there that is not Ray."""
    name = "RAY_gcs_server_port_wait_time_s"
    if settings.address is None or name in os.environ:
        yield
        return
    os.environ[name] = str(max(1, int(settings.start_seconds // TRY_SECONDS)))
    try:
        yield
    finally:
        del os.environ[name]


def _total(bundles: Sequence[Bundle]) -> dict[str, float]:
    total: dict[str, float] = {}
    for bundle in bundles:
        for key, amount in bundle.items():
            total[key] = total.get(key, 0.0) + amount
    return total


def _told(resources: Mapping[str, float]) -> str:
    return " and ".join(f"{amount:g} {key}" for key, amount in resources.items()) or "nothing"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

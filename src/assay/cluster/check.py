"""What a cluster can do and what it lacks, found in about a minute: before a run, and not in its first hour."""

from __future__ import annotations

import os
import platform
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from assay.cluster.connect import Bundle, RayConnection
from assay.errors import ClusterError

COMPARED = ("ray", "torch", "transformers", "numpy", "assay")
"""Packages whose versions must be the same on all nodes."""
LEAST_BYTES, MOST_BYTES = 32 * 2**20, 256 * 2**20
"""Smallest and largest buffer that is sent to measure the bandwidth."""
PRODUCT_SIZE, PRODUCT_SECONDS = 512, 0.5


@dataclass(frozen=True)
class ClusterPlan:
    """What a run wants of a cluster."""

    bundles: tuple[Bundle, ...]
    """What each process needs: first the ranks, then the engines."""
    num_ranks: int
    num_parameters: int
    weights_bytes: int
    """Bytes of one publish."""
    step_tokens: int
    """Most tokens that are sampled, and trained on, in a step."""
    device: str = "cpu"


@dataclass(frozen=True)
class NodeFacts:
    """One node, as a process on it found it."""

    address: str
    cpus: float
    gpus: float
    versions: dict[str, str]
    sees_folder: bool
    num_shm_bytes: int
    """Free bytes of shared memory, which holds Ray's objects."""
    receive_seconds: float
    """Seconds until the buffer of the measurement was there, and read."""
    products_per_second: float
    """Multiply-adds per second of one process, by a product of fp32 matrices; on a GPU in bf16."""


class NodeProcess:
    """Looks around on a node."""

    def look(self, file: str, token: str) -> dict[str, Any]:
        try:
            sees = Path(file).read_text(encoding="utf-8") == token
        except OSError:
            sees = False
        shm = os.statvfs("/dev/shm") if Path("/dev/shm").is_dir() else None
        return {
            "versions": versions(),
            "sees_folder": sees,
            "num_shm_bytes": 0 if shm is None else shm.f_bavail * shm.f_frsize,
        }

    def receive(self, buffer: np.ndarray) -> int:
        return int(buffer[::4096].sum())

    def products(self, device: str) -> float:
        import torch

        torch.set_num_threads(1)
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        matrix = torch.randn(PRODUCT_SIZE, PRODUCT_SIZE, device=device, dtype=dtype)
        torch.matmul(matrix, matrix)
        start, number = time.perf_counter(), 0
        while time.perf_counter() - start < PRODUCT_SECONDS:
            torch.matmul(matrix, matrix)
            if device != "cpu":
                torch.cuda.synchronize()
            number += 1
        return number * PRODUCT_SIZE**3 / (time.perf_counter() - start)


def versions() -> dict[str, str]:
    """Return the versions, in this process, that must be the same everywhere."""
    found = {"python": platform.python_version()}
    for package in COMPARED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


@dataclass(frozen=True)
class ClusterReport:
    """What was found."""

    nodes: tuple[NodeFacts, ...]
    problems: tuple[str, ...]
    """What would keep the run from working, a sentence each with its remedy."""
    plan: ClusterPlan
    sent_bytes: int
    """Bytes of the buffer that was sent to each node."""

    def lines(self) -> list[str]:
        """Return the report for a person."""
        plan, lines = self.plan, []
        for node in self.nodes:
            lines.append(
                f"node {node.address}: {node.cpus:g} CPU, {node.gpus:g} GPU, shared memory "
                f"{node.num_shm_bytes / 1e9:.1f} GB free, {self._bandwidth(node) / 1e6:,.0f} MB/s received, "
                f"{node.products_per_second / 1e9:,.1f} billion multiply-adds/s a process"
            )
        slowest = min((self._bandwidth(node) for node in self.nodes), default=0.0)
        speed = min((node.products_per_second for node in self.nodes), default=0.0)
        if slowest and speed:
            engines = len(plan.bundles) - plan.num_ranks
            # Forward and backward are three times a forward pass, which is one multiply-add a parameter and token.
            update = 3 * plan.num_parameters * plan.step_tokens / (speed * plan.num_ranks)
            sampling = plan.num_parameters * plan.step_tokens / (speed * max(1, engines))
            lines += [
                f"publish: {plan.weights_bytes / 1e6:,.1f} MB, {plan.weights_bytes / slowest:.2f} s to each engine",
                f"step of at most {plan.step_tokens:,} tokens, by its products alone: update {update:.1f} s on "
                f"{plan.num_ranks} ranks, sampling {sampling:.1f} s on {engines} engines; more in any case",
            ]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        return [*lines, f"{len(self.nodes)} nodes, {len(self.problems)} problems"]

    def _bandwidth(self, node: NodeFacts) -> float:
        return self.sent_bytes / max(node.receive_seconds, 1e-6)


def check_cluster(connection: RayConnection, plan: ClusterPlan, folder: Path) -> ClusterReport:
    """Looks at every node, and measures.

    Args:
        folder: where runs are kept, which all nodes must share.

    Raises:
        ClusterError: a node does not answer within `start_seconds`.
    """
    ray, seconds = connection.ray, connection.settings.start_seconds
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes = [node for node in ray.nodes() if node["Alive"]]
    problems = [missing] if (missing := connection.unplaceable(plan.bundles)) else []
    folder.mkdir(parents=True, exist_ok=True)
    file, token = folder / f".shared-{secrets.token_hex(4)}", secrets.token_hex(16)
    file.write_text(token, encoding="utf-8")
    sent = min(max(plan.weights_bytes, LEAST_BYTES), MOST_BYTES)
    buffer = ray.put(np.zeros(sent, np.uint8))
    found, actors = [], []
    try:
        for node in nodes:
            has_gpu = plan.device == "cuda" and node["Resources"].get("GPU", 0.0) >= 1
            remote = ray.remote(NodeProcess).options(
                num_cpus=0,
                num_gpus=1 if has_gpu else 0,
                max_restarts=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            )
            actors.append(actor := remote.remote())
            found.append(_look(ray, actor, node, str(file), token, buffer, "cuda" if has_gpu else "cpu", seconds))
    finally:
        file.unlink(missing_ok=True)
        for actor in actors:
            ray.kill(actor)
    return ClusterReport(tuple(found), (*problems, *_differences(found, folder, plan)), plan, sent)


def _look(
    ray: Any, actor: Any, node: dict[str, Any], file: str, token: str, buffer: Any, device: str, seconds: float
) -> NodeFacts:
    address = node["NodeManagerAddress"]
    try:
        facts = ray.get(actor.look.remote(file, token), timeout=seconds)
        start = time.perf_counter()
        ray.get(actor.receive.remote(buffer), timeout=seconds)
        received = time.perf_counter() - start
        products = ray.get(actor.products.remote(device), timeout=seconds)
    except ray.exceptions.GetTimeoutError:
        raise ClusterError(
            f"node {address} did not answer within cluster.start_seconds={seconds:g}; see `ray status`, or take it "
            "out of the cluster"
        ) from None
    except ray.exceptions.RayError as error:
        raise ClusterError(f"node {address} cannot be looked at: {str(error).strip().splitlines()[-1][:300]}") from None
    resources = node["Resources"]
    return NodeFacts(
        address=address,
        cpus=resources.get("CPU", 0.0),
        gpus=resources.get("GPU", 0.0),
        receive_seconds=received,
        products_per_second=products,
        **facts,
    )


def _differences(nodes: Sequence[NodeFacts], folder: Path, plan: ClusterPlan) -> list[str]:
    """Return what is not as it is in this process."""
    problems, ours = [], versions()
    for node in nodes:
        for package, here in ours.items():
            there = node.versions.get(package, "not installed")
            if there != here:
                problems.append(
                    f"{package} is {there} on {node.address} and {here} here: install the same on all nodes "
                    "(constraints.txt)"
                )
        if not node.sees_folder:
            problems.append(
                f"{node.address} does not see {folder}: put runs on a disk that all nodes mount (--run-folder, or "
                "$ASSAY_HOME)"
            )
        if node.num_shm_bytes and node.num_shm_bytes < 2 * plan.weights_bytes:
            problems.append(
                f"{node.address} has {node.num_shm_bytes / 1e9:.1f} GB of shared memory free, and two copies of the "
                f"weights take {2 * plan.weights_bytes / 1e9:.1f} GB: enlarge /dev/shm (docker run --shm-size)"
            )
    return problems

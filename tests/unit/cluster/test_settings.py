"""What bad input gets before Ray is started."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import time
from pathlib import Path

import pytest
import torch

from assay.cluster.check import ClusterPlan, NodeFacts, _differences, versions
from assay.cluster.connect import RayConnection
from assay.cluster.engines import EngineProcess
from assay.cluster.ranks import PORTS, free_port
from assay.cluster.settings import ClusterSettings
from assay.cluster.weights import flat, packed, tensors
from assay.config import validate
from assay.errors import ClusterError, ConfigError, PublishError
from assay.recipe import RunConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cluster": {"address": "auto"}}, r"cluster.address has no effect in one process"),
        ({"cluster": {"max_restarts": 3}}, r"cluster.max_restarts has no effect in one process"),
        ({"cluster": {"learner": -1}}, r"cluster.learner"),
        ({"cluster": {"ranks": 2}}, r"ranks"),
        (
            {"cluster": {"learner": 2}, "algorithm": {"name": "distillation", "teacher": "x", "over": "vocabulary"}},
            r"teacher",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, settings)


def test_one_of_the_two_brings_the_other():
    assert (ClusterSettings(learner=2).num_engines, ClusterSettings(engines=3).num_ranks) == (1, 1)
    assert not ClusterSettings().is_used


def test_without_ray_the_extra_is_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "ray" else found(name, *a))
    with pytest.raises(ClusterError, match=r"pip install 'assay\[cluster\]'"):
        RayConnection(ClusterSettings(learner=1), num_processes=1)


def test_an_address_that_does_not_answer_is_an_error_within_seconds():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(ClusterError, match=rf"nothing answers at cluster.address='ray://127.0.0.1:{port}'"):
        RayConnection(ClusterSettings(learner=1, address=f"ray://127.0.0.1:{port}"), num_processes=1)
    with pytest.raises(ClusterError, match="is no address"):
        RayConnection(ClusterSettings(learner=1, address="my cluster"), num_processes=1)
    assert time.monotonic() - start < 30


def test_ranks_meet_at_a_free_port_that_nobody_is_given_unasked(monkeypatch: pytest.MonkeyPatch):
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(19_999 < free_port("127.0.0.1") < lowest for _ in range(20))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port := free_port("127.0.0.1")))
        monkeypatch.setattr("secrets.randbelow", lambda number: port - PORTS[0])
        assert free_port("127.0.0.1") != port


def test_weights_travel_as_bytes_and_what_was_changed_on_the_way_is_named():
    weights = {"a": torch.randn(3, 5), "counts": torch.tensor([1, 2]), "b": torch.randn(4).bfloat16()}
    buffer, table = flat(weights.items(), torch.bfloat16)
    found = dict(tensors(buffer, table))
    assert found.keys() == weights.keys()
    assert torch.equal(found["a"], weights["a"].bfloat16())
    assert torch.equal(found["counts"], weights["counts"])
    assert torch.equal(found["b"], weights["b"])
    broken = buffer.copy()
    broken[table[2].start] ^= 1
    with pytest.raises(PublishError, match=r"^b arrived with other bytes"):
        dict(tensors(broken, table))
    # What an engine gets is its own: the buffer is shared with other processes.
    found["a"].zero_()
    assert torch.equal(dict(tensors(buffer, table))["a"], weights["a"].bfloat16())


def test_weights_come_under_a_name_that_was_never_used_before():
    class Store:
        """Keeps what is put into it."""

        def put(self, value):
            return value

    class Counting:
        version, num_loads = -1, 0

        async def load_weights(self, weights, version):
            self.version, self.num_loads = version, self.num_loads + len(list(weights))

    factor = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    weights = {"a": torch.randn(3), factor: torch.randn(2, 4)}
    first, second = (packed(weights.items(), torch.bfloat16, Store()) for _ in range(2))
    assert first.name != second.name
    found = dict(tensors(first.reference, first.table))
    assert torch.equal(found[factor], weights[factor]), "factors are rounded once they are merged"
    assert found["a"].dtype == torch.bfloat16
    engine = EngineProcess(Counting)

    async def load(sent, version):
        return await engine.load(sent.reference, sent.table, sent.name, version)

    assert asyncio.run(load(first, 1)) == 1
    with pytest.raises(PublishError, match=r"version 2 came as \w+, which was loaded before"):
        asyncio.run(load(first, 2))
    assert asyncio.run(load(second, 2)) == 2


def test_nodes_that_differ_are_named():
    ours = versions()
    fine = NodeFacts("10.0.0.1", 8, 0, ours, True, 10**12, 1.0, 1e9)
    odd = NodeFacts("10.0.0.2", 8, 0, {**ours, "torch": "1.0"}, False, 10, 1.0, 1e9)
    plan = ClusterPlan(({"CPU": 1.0},), 1, 1000, 4000, 100)
    assert _differences([fine], Path("/shared"), plan) == []
    version, folder, memory = _differences([fine, odd], Path("/shared"), plan)
    assert version.startswith("torch is 1.0 on 10.0.0.2 and ")
    assert folder.startswith("10.0.0.2 does not see /shared")
    assert "two copies of the weights" in memory

"""Every attack on the list comes to its expected end, and leaves no process, file, mount or descriptor behind."""

from __future__ import annotations

import asyncio

import pytest

from assay.errors import ConfigError, SandboxUnavailableError
from assay.sandbox import Sandbox
from assay.sandbox.attacks import ATTACKS
from assay.sandbox.bubblewrap import BubblewrapBackend
from assay.sandbox.cgroup import Hierarchy
from assay.sandbox.selftest import AttackResult, attacks_here, selftest

AREAS = list(dict.fromkeys(attack.area for attack in ATTACKS))


@pytest.fixture(scope="module")
def sandbox():
    try:
        opened = Sandbox("bubblewrap", num_workers=1)
        outcome = asyncio.run(outcomes(opened, []))
        assert outcome == []
    except SandboxUnavailableError as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


async def outcomes(sandbox: Sandbox, attacks) -> list[AttackResult]:
    return [outcome async for outcome in selftest(sandbox, attacks)]


@pytest.mark.parametrize("area", AREAS)
def test_attacks_hold(sandbox, area):
    found = asyncio.run(outcomes(sandbox, [attack for attack in attacks_here() if attack.area == area]))
    assert {outcome.attack.name: outcome.problems for outcome in found if not outcome.held} == {}


@pytest.mark.parametrize("area", ["time", "memory", "processes", "output"])
def test_limits_hold_where_no_control_group_can_be_written(monkeypatch, sandbox, area):
    monkeypatch.setattr("assay.sandbox.bubblewrap.find_hierarchy", lambda: Hierarchy(0, {}))
    with Sandbox("bubblewrap", num_workers=1) as without:
        assert isinstance(without._backend, BubblewrapBackend)
        assert without._backend.hierarchy.folders == {}
        found = asyncio.run(outcomes(without, [attack for attack in attacks_here() if attack.area == area]))
    assert {outcome.attack.name: outcome.problems for outcome in found if not outcome.held} == {}


def test_list_is_long_enough_and_names_are_unique():
    assert len(ATTACKS) >= 60
    names = [(attack.area, attack.name) for attack in ATTACKS]
    assert len(set(names)) == len(names)


def test_an_honest_program_is_accepted(sandbox):
    """What the cheats are held against: the same judgement accepts the function itself."""
    from assay.sandbox.attack import Attack

    honest = Attack("honest", "verdict", "def add(a, b):\n    return a + b", ("accepted",), is_called=True)
    (outcome,) = asyncio.run(outcomes(sandbox, [honest]))
    assert outcome.ended == "accepted"
    assert outcome.held


def test_attacks_are_never_run_without_isolation():
    with Sandbox("unsafe", num_workers=1) as unsafe, pytest.raises(ConfigError, match="this machine"):
        asyncio.run(outcomes(unsafe, ATTACKS[:1]))

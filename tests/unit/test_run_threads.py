"""The number of threads follows what the machine has to give, between steps, and stays where it is to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from assay.run.threads import NUM_THREADS, WAITING, IdleCores, RunThreads
from assay.training.contention import Contention, Shared


class Machine(Contention):
    """Others use its cores as a test says."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.waiting: float | None = 0.0
        self.idle = float(most)

    def look(self) -> Shared:
        return Shared(self.waiting, 500.0 if self.waiting is None else 0.0)

    def threads(self, most: int, *, follows: bool = True) -> RunThreads:
        return RunThreads(most, follows=follows, idle_cores=lambda seconds: self.idle, contention=self)


@pytest.fixture(autouse=True)
def threads_of_torch(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    numbers: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", numbers.append)
    return numbers


def test_threads_go_when_others_come_and_return_when_they_leave(threads_of_torch: list[int]) -> None:
    machine = Machine(2)
    threads = machine.threads(2)
    assert threads.begin() == ""
    machine.idle = 0.0
    assert threads.step_done() == ({NUM_THREADS: 2.0, WAITING: 0.0}, "")
    machine.waiting = 0.33
    metrics, said = threads.step_done()
    assert metrics == {NUM_THREADS: 2.0, WAITING: 0.33}, "of the step that has ended"
    assert said.startswith("others use the cores: 1 of 2 threads")
    machine.waiting = 0.02
    assert threads.step_done() == ({NUM_THREADS: 1.0, WAITING: 0.02}, ""), "the other core is not idle"
    machine.idle = 0.95
    assert threads.step_done()[1].startswith("cores are free again: 2 of 2 threads")
    assert threads_of_torch == [1, 2]


def test_a_run_that_begins_beside_others_begins_with_fewer() -> None:
    machine = Machine(2)
    machine.idle = 1.0
    threads = machine.threads(2)
    assert "1 of 2 threads" in threads.begin()
    assert threads.now == 1


@pytest.mark.parametrize(("waiting", "left"), [(0.2, 3), (0.4, 2), (0.7, 1), (None, 3)])
def test_as_many_as_there_were_cores_for(waiting: float | None, left: int) -> None:
    machine = Machine(4)
    threads = machine.threads(4)
    threads.begin()
    machine.waiting, machine.idle = waiting, 0.0
    threads.step_done()
    assert threads.now == left


def test_a_number_that_is_to_stay_stays(threads_of_torch: list[int]) -> None:
    machine = Machine(2)
    threads = machine.threads(2, follows=False)
    machine.waiting, machine.idle = 0.6, 0.0
    assert threads.begin() == ""
    assert threads.step_done() == ({NUM_THREADS: 2.0, WAITING: 0.6}, "")
    assert not threads_of_torch


def test_idle_cores_are_counted_from_look_to_look(tmp_path: Path) -> None:
    stat = tmp_path / "stat"

    def write(user: int, idle: int) -> None:
        stat.write_text(f"cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 0 0 1\ncpu1 1 0 0 1\nintr 3\n")

    write(100, 100)
    cores = IdleCores(stat)
    write(150, 150)
    assert cores.look(0.0) == pytest.approx(1.0)
    write(250, 150)
    assert cores.look(0.0) == 0.0
    assert IdleCores(tmp_path / "none").look(0.0) == 0.0

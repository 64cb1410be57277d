from __future__ import annotations

from pathlib import Path

import pytest

from assay.training.contention import Contention, Shared


def write(tasks: Path, **threads: tuple[int, int]) -> None:
    for name, (ran, waited) in threads.items():
        (tasks / name).mkdir(exist_ok=True)
        (tasks / name / "schedstat").write_text(f"{ran} {waited} 7\n")


def test_waiting_is_counted_from_look_to_look(tmp_path: Path) -> None:
    write(tmp_path, a=(1000, 50), b=(1000, 0))
    contention = Contention(tmp_path)
    write(tmp_path, a=(1060, 80), b=(1040, 20), c=(0, 50))
    first = contention.look()
    assert first.waiting_share == pytest.approx(100 / 200)
    assert first.is_busy
    write(tmp_path, a=(1160, 81), b=(1040, 20), c=(0, 50))
    second = contention.look()
    assert second.waiting_share == pytest.approx(1 / 101)
    assert not second.is_busy


def test_where_the_system_does_not_count_switches_decide(tmp_path: Path) -> None:
    assert Contention(tmp_path / "none").look().waiting_share is None
    assert Shared(None, 300.0).is_busy
    assert not Shared(None, 3.0).is_busy


def test_this_process_is_looked_at() -> None:
    contention = Contention()
    sum(range(200_000))
    share = contention.look().waiting_share
    assert share is None or 0.0 <= share < 1.0

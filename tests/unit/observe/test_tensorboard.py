from __future__ import annotations

import math
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from assay.observe.tensorboard import EventWriter


def read_steps(folder: Path, name: str) -> list[int]:
    accumulator = EventAccumulator(str(folder), purge_orphaned_data=False)
    accumulator.Reload()
    return [event.step for event in accumulator.Scalars(name)]


def test_points_are_written_and_nan_leaves_a_gap(tmp_path: Path) -> None:
    with EventWriter(tmp_path / "events") as writer:
        for step, value in enumerate((1.0, math.nan, 3.0)):
            writer.write(step, {"loss/policy": value})
    assert read_steps(tmp_path / "events", "loss/policy") == [0, 2]


def test_rollback_cuts_later_points_and_removes_later_files(tmp_path: Path) -> None:
    first = EventWriter(tmp_path)
    first.write(0, {"loss/policy": 1.0})
    first.write(1, {"loss/policy": 1.0})
    sizes = first.flush()
    first.write(2, {"loss/policy": 1.0})
    first.flush()  # killed here: the file is longer than the checkpoint says
    later = EventWriter(tmp_path)
    later.write(3, {"loss/policy": 1.0})
    assert len(later.flush()) == 2

    resumed = EventWriter(tmp_path)
    resumed.rollback(sizes)
    assert resumed.flush() == sizes
    for step in (2, 3):
        resumed.write(step, {"loss/policy": 2.0})
    resumed.close()
    assert read_steps(tmp_path, "loss/policy") == [0, 1, 2, 3]


def test_rollback_to_nothing_and_of_an_open_file(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path)
    assert writer.flush() == {}
    writer.write(0, {"loss/policy": 1.0})
    writer.rollback({})
    assert writer.flush() == {}
    writer.write(0, {"loss/policy": 2.0})
    writer.close()
    assert read_steps(tmp_path, "loss/policy") == [0]

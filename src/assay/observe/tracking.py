"""The trackers of a run, behind the one object that the run speaks to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.config import Settings
from assay.observe.mlflow import MlflowSettings, MlflowTracker
from assay.observe.tensorboard import EventWriter
from assay.observe.tracker import AnyTracker, Tracker, TrackerQueue
from assay.observe.trackio import TrackioSettings, TrackioTracker
from assay.observe.wandb import WandbSettings, WandbTracker


class TrackingSettings(Settings):
    """Settings of the trackers that get a run's numbers beside its own store. A tracker is on where it has a table, an
    empty one included."""

    tensorboard: bool = True
    """Event files in the run folder."""
    wandb: WandbSettings | None = None
    """Weights & Biases, where the table is there."""
    mlflow: MlflowSettings | None = None
    """MLflow, where the table is there."""
    trackio: TrackioSettings | None = None
    """Trackio, where the table is there."""
    more: tuple[AnyTracker, ...] = ()
    """Trackers of your own, each named by path.py:Class or package.module:Class."""


class Trackers:
    """All trackers of a run. TensorBoard's files roll back with a checkpoint; the others get each step once.

    Args:
        folder: the run folder.
    """

    def __init__(self, settings: TrackingSettings, folder: Path) -> None:
        made: list[Tracker] = []
        if settings.wandb is not None:
            made.append(WandbTracker(settings.wandb))
        if settings.mlflow is not None:
            made.append(MlflowTracker(settings.mlflow))
        if settings.trackio is not None:
            made.append(TrackioTracker(settings.trackio))
        made += [tracker.open() for tracker in settings.more]
        self._folder = folder
        self._queues = [TrackerQueue(tracker, folder / "trackers" / f"{tracker.name}.json") for tracker in made]
        self._write_events = settings.tensorboard
        self._events = EventWriter(folder / "events")
        self._step = 0
        self._point: dict[str, float] = {}

    def start(self, name: str, settings: Mapping[str, Any]) -> None:
        """Begins or goes on with the run everywhere.

        Raises:
            ConfigError: a tracker that cannot be used, with the remedy.
        """
        for started, tracker in enumerate(self._queues):
            try:
                tracker.start(self._folder, name, settings)
            except BaseException:
                for earlier in self._queues[:started]:
                    earlier.close()
                raise

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        """Adds to the point of a step, which `send` sends.

        Args:
            step: updates made; 0 before training.
        """
        self._step = step
        self._point |= metrics

    def send(self) -> list[str]:
        """Sends the point; returns problems that nobody has been told of yet."""
        if self._point:
            if self._write_events:
                self._events.write(self._step, self._point)
            for tracker in self._queues:
                tracker.write(self._step, self._point)
        self._point = {}
        return [problem for tracker in self._queues if (problem := tracker.take_problem())]

    def flush(self) -> dict[str, int]:
        """Return the sizes of TensorBoard's files, for a checkpoint to keep and `rollback` to take."""
        return self._events.flush()

    def rollback(self, sizes: Mapping[str, int]) -> None:
        """Puts TensorBoard's files back as they were when `flush` returned these sizes."""
        self._events.rollback(sizes)

    def finish(self, summary: Mapping[str, Any], status: str) -> list[str]:
        """Ends the run everywhere; returns problems as `send`."""
        for tracker in self._queues:
            tracker.finish(summary, status)
        self._events.close()
        return [problem for tracker in self._queues if (problem := tracker.take_problem())]

    def num_failures(self) -> dict[str, int]:
        """Number of points that each tracker has lost, by tracker; those that lost none are left out."""
        return {tracker.tracker.name: tracker.num_failures for tracker in self._queues if tracker.num_failures}

"""TensorBoard event files that roll back with a checkpoint, so that no curve of a resumed run doubles back."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_PATTERN = "events.out.tfevents.*"


class EventWriter:
    """Writes metrics as TensorBoard scalars.

    Args:
        folder: where the event files go; each process that writes adds a file of its own, at its first metric.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> EventWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one point a metric; what is NaN (not measured) leaves a gap."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self.folder.mkdir(parents=True, exist_ok=True)
            self._writer = SummaryWriter(str(self.folder))
        for name, value in metrics.items():
            if not math.isnan(value):
                self._writer.add_scalar(name, value, step)

    def flush(self) -> dict[str, int]:
        """Writes out what is pending; returns file name to bytes, for a checkpoint to keep and `rollback` to take."""
        if self._writer is not None:
            self._writer.flush()
        return {path.name: path.stat().st_size for path in sorted(self.folder.glob(_PATTERN))}

    def rollback(self, sizes: Mapping[str, int]) -> None:
        """Puts the event files back as they were when `flush` returned these sizes: cut to size, later ones removed."""
        self.close()
        for path in self.folder.glob(_PATTERN):
            size = sizes.get(path.name)
            if size is None:
                path.unlink()
            elif path.stat().st_size > size:
                os.truncate(path, size)

    def close(self) -> None:
        """Closes the current file; a later write starts another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

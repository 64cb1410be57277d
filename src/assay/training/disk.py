"""Disk space that the checkpoints of a run take, known before anything is loaded."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from assay.errors import CheckpointError
from assay.training.checkpoint import SPARE_BYTES


@dataclass(frozen=True)
class DiskEstimate:
    """The most that the folder `checkpoints` of a run holds at once: the new checkpoint is whole before one of those
    before it goes.
    """

    model_bytes: int
    """Bytes of the trained values in fp32: of all weights, or of an adapter."""
    checkpoint_bytes: int
    """Bytes of a checkpoint to resume from: the values and two moments of each, of a critic too."""
    num_checkpoints: int
    """Number of checkpoints that lie there at once."""
    has_best: bool
    """True where the best model by validation lies beside them."""

    @property
    def total_bytes(self) -> int:
        return self.num_checkpoints * self.checkpoint_bytes + self.has_best * self.model_bytes

    def line(self) -> str:
        """The estimate in a line."""
        parts = [f"{self.num_checkpoints} x {_megabytes(self.checkpoint_bytes)} to resume from"]
        if self.has_best:
            parts.append(f"{_megabytes(self.model_bytes)} for the best model")
        return f"about {_megabytes(self.total_bytes)} of checkpoints: {', '.join(parts)}"


def disk_estimate(
    num_trained: int, *, critic: bool, keep_last: int, num_written: int, validates: bool, num_merged: int = 0
) -> DiskEstimate:
    """Return the disk space that the checkpoints of a run take.

    Args:
        num_trained: parameters that are trained: all, or those of an adapter.
        critic: whether a value model of the same shape is trained too.
        keep_last: how many of the newest checkpoints are kept.
        num_written: how many the run writes at most.
        validates: whether the best model is kept beside them.
        num_merged: parameters of the whole model that is written too, an adapter merged into it.
    """
    trained, merged = 4 * num_trained, 4 * num_merged
    model, checkpoint = trained + merged, 3 * trained * (2 if critic else 1) + merged
    return DiskEstimate(model, checkpoint, max(1, min(keep_last + 1, num_written)), validates)


def check_disk(folder: Path, estimate: DiskEstimate) -> None:
    """Makes sure that a run's checkpoints fit where its folder is, or will be; those that are there already count.

    Raises:
        CheckpointError: they do not.
    """
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    held = sum(path.stat().st_size for path in (folder / "checkpoints").rglob("*") if path.is_file())
    free = shutil.disk_usage(place).free
    if estimate.total_bytes - held + SPARE_BYTES <= free:
        return
    raise CheckpointError(
        f"no room for this run in {folder}: {estimate.line()}; {_megabytes(free)} are free there"
        f"{f' beside {_megabytes(held)} of earlier checkpoints' if held else ''}. Free some, keep fewer "
        "(checkpoint.keep_last), train an adapter (model.lora), or name a --run-folder on another disk"
    )


def _megabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB"

"""Training: what turns packed samples into better weights, namely the trainer, its checkpoints, its precision and its
memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.later import exports
from assay.training.settings import TrainerSettings

if TYPE_CHECKING:
    from assay.training.checkpoint import (
        Best,
        latest_checkpoint,
        prune,
        read_best,
        read_checkpoint,
        write_best,
        write_checkpoint,
    )
    from assay.training.memory import (
        MemoryEstimate,
        check_memory,
        device_memory_bytes,
        keep_freed_memory,
        memory_estimate,
        tidy_memory,
    )
    from assay.training.precision import PrecisionChoice, choose_dtype
    from assay.training.report import StepReport
    from assay.training.trainer import Trainer, TrainerStateDict

__getattr__ = exports(
    __name__,
    {
        "checkpoint": (
            "Best",
            "latest_checkpoint",
            "prune",
            "read_best",
            "read_checkpoint",
            "write_best",
            "write_checkpoint",
        ),
        "memory": (
            "MemoryEstimate",
            "check_memory",
            "device_memory_bytes",
            "keep_freed_memory",
            "memory_estimate",
            "tidy_memory",
        ),
        "precision": ("PrecisionChoice", "choose_dtype"),
        "report": ("StepReport",),
        "trainer": ("Trainer", "TrainerStateDict"),
    },
)

__all__ = [
    "Best",
    "MemoryEstimate",
    "PrecisionChoice",
    "StepReport",
    "Trainer",
    "TrainerSettings",
    "TrainerStateDict",
    "check_memory",
    "choose_dtype",
    "device_memory_bytes",
    "keep_freed_memory",
    "latest_checkpoint",
    "memory_estimate",
    "prune",
    "read_best",
    "read_checkpoint",
    "tidy_memory",
    "write_best",
    "write_checkpoint",
]

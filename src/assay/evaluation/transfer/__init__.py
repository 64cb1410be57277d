"""Transfer: what training on one environment does to others, from one base, at equal tokens, on the same tasks."""

from __future__ import annotations

from assay.evaluation.transfer.checks import held_out_tasks, overlaps
from assay.evaluation.transfer.matrix import ArmResults, gain_of, shares_of, transfer_matrix
from assay.evaluation.transfer.picture import draw_matrix
from assay.evaluation.transfer.report import matrix_rows, transfer_markdown
from assay.evaluation.transfer.sequence import SequenceStage, sequence_result
from assay.evaluation.transfer.spec import TransferArm, TransferPlan, TransferSettings, TransferSpec, TransferStage

__all__ = [
    "ArmResults",
    "SequenceStage",
    "TransferArm",
    "TransferPlan",
    "TransferSettings",
    "TransferSpec",
    "TransferStage",
    "draw_matrix",
    "gain_of",
    "held_out_tasks",
    "matrix_rows",
    "overlaps",
    "sequence_result",
    "shares_of",
    "transfer_markdown",
    "transfer_matrix",
]

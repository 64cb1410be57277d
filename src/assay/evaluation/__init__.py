"""Evaluation on held-out tasks, and what training bought: scores with intervals, paired comparisons, sweeps."""

from __future__ import annotations

from assay.evaluation.cautions import cautions, commonest_answer, commonest_response
from assay.evaluation.compare import ClaimedGain, compare, smallest_gains
from assay.evaluation.evaluate import evaluate
from assay.evaluation.evaluation import Evaluation, UnmeasuredBounds
from assay.evaluation.folder import EvaluationFolder
from assay.evaluation.over_seeds import accuracy_over_seeds, gain_over_seeds
from assay.evaluation.row import EvalRow
from assay.evaluation.transcripts import transcripts
from assay.evaluation.until import Look, Until, evaluate_until

__all__ = [
    "ClaimedGain",
    "EvalRow",
    "Evaluation",
    "EvaluationFolder",
    "Look",
    "UnmeasuredBounds",
    "Until",
    "accuracy_over_seeds",
    "cautions",
    "commonest_answer",
    "commonest_response",
    "compare",
    "evaluate",
    "evaluate_until",
    "gain_over_seeds",
    "smallest_gains",
    "transcripts",
]

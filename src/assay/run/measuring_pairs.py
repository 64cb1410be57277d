"""Measurements of a run whose responses are given, on comparisons that are never trained on."""

from __future__ import annotations

from typing import Any, ClassVar

from assay.evaluation.held_out_pairs import READING, calibration, length_coefficient
from assay.models import Model
from assay.observe.store import BEFORE_TRAINING
from assay.run.measuring import Measurements

COMPARISONS = "comparisons"
"""Key of a run's summary with the closing test."""


class PairMeasurements(Measurements):
    """Held-out comparisons in place of held-out answers: validated as the run goes, tested once at its end."""

    decoding: ClassVar[str] = "pairs"
    measures_untrained: bool = False
    """True where the untrained model has rewards that order anything."""

    async def validate_untrained(self) -> None:
        # Rewards against a reference are 0 before training, and order nothing.
        if self.measures_untrained:
            await super().validate_untrained()
            return
        self._records.store.rollback(BEFORE_TRAINING)
        self._records.commit()

    async def test(self, model: Model) -> dict[str, Any]:
        """The closing test of the model to use: a part of the summary.

        Args:
            model: that training began with; it is not measured.
        """
        name, level = self._most_trained_level()
        self._keeping.load_model_to_use()
        (result,) = (await self.held_out.test(level, "after")).values()
        self._records.evaluation(self._position.step - 1, "test", self.decoding, result)
        rows = [row.to_dict() for row in result.rows]
        self._records.store.record_evaluation_rows(self._position.step - 1, "test", self.decoding, rows)
        self._records.store.commit()
        accuracy, found, length = result.accuracy(READING), calibration(result), length_coefficient(result)
        measured = {
            "num_comparisons": result.num_tasks,
            "num_not_measured": result.num_not_measured(READING),
            "accuracy": accuracy.to_dict(),
            "calibration": None if found is None else found.to_dict(),
            "length_coefficient": None if length is None else length.to_dict(),
        }
        return {"level": name, COMPARISONS: measured}
